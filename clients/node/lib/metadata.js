// SPDX-License-Identifier: Apache-2.0
// metadata.js: metadata as programs see it ({key: [value, ...]}) and as it travels (a list of entries).
'use strict';

const ENTRIES_MAX = 64;
const BYTES_MAX = 8 << 10;

const KEY = /^[a-z0-9_.-]+$/;
const text = new TextDecoder('utf-8', {fatal: true, ignoreBOM: true});

const isBinary = (key) => key.endsWith('-bin');

// What a program gave, as [key, Buffer] pairs. Throws a TypeError that says what is wrong.
function entriesOf(metadata) {
  const entries = [];
  let bytes = 0;
  for (const [key, values] of Object.entries(metadata ?? {})) {
    if (!KEY.test(key))
      throw new TypeError(`metadata key "${key}": only a-z 0-9 - _ . are allowed`);
    for (const value of Array.isArray(values) ? values : [values]) {
      if (!(typeof value === 'string' || (isBinary(key) && value instanceof Uint8Array)))
        throw new TypeError(`metadata "${key}": its value must be a string, or bytes if the key ends in -bin`);
      entries.push([key, Buffer.from(value)]);
      bytes += Buffer.byteLength(key) + entries.at(-1)[1].length;
    }
  }
  if (entries.length > ENTRIES_MAX || bytes > BYTES_MAX)
    throw new TypeError(`metadata over ${ENTRIES_MAX} entries or ${BYTES_MAX} bytes`);
  return entries;
}

// Gathers what arrived in one frame; `add` throws if it breaks the rules.
class Collector {
  #entries = 0;
  #bytes = 0;

  add(to, key, value) {
    this.#bytes += Buffer.byteLength(key) + value.length;
    if (!KEY.test(key) || ++this.#entries > ENTRIES_MAX || this.#bytes > BYTES_MAX)
      throw new RangeError('malformed metadata, or too much of it');
    (to[key] ??= []).push(isBinary(key) ? value : text.decode(value));
  }
}

module.exports = {entriesOf, Collector};
