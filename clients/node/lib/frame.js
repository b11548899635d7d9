// SPDX-License-Identifier: Apache-2.0
// frame.js: writes and reads nrpc.v1.Frame (proto/nrpc/v1/frame.proto).
//
// By hand, on protobufjs's reader and writer, so that the limits of docs/PROTOCOL.md hold while a frame is read.
'use strict';

const {Reader, Writer} = require('protobufjs');
const {Collector} = require('./metadata');

const VERSION = 1;

const Kind = Object.freeze({
  REQUEST: 1, RESPONSE: 2, MESSAGE: 3, HALF_CLOSE: 4, CANCEL: 5, CREDIT: 6, GOODBYE: 7, ACK: 8, PING: 9, DRAIN: 10,
  BATCH: 11, MALFORMED: -1,
});

const tag = (number, wireType) => (number << 3) | wireType;
const VARINT = 0;
const FIXED64 = 1;
const BYTES = 2;
const FIXED32 = 5;

const PAYLOAD = tag(15, BYTES);

// ---- writing

function writeMetadata(writer, number, entries) {
  for (const [key, value] of entries)
    writer.uint32(tag(number, BYTES)).fork()
      .uint32(tag(1, BYTES)).string(key)
      .uint32(tag(2, BYTES)).bytes(value)
      .ldelim();
}

// Fields that are left out are not written: kind, method, timeoutUs, metadata (a list of [key, Buffer]), credit,
// ack, payload.
function encodeFrame(frame) {
  const writer = Writer.create();
  writer.uint32(tag(1, VARINT)).uint32(VERSION).uint32(tag(2, VARINT)).uint32(frame.kind);
  if (frame.method)
    writer.uint32(tag(3, BYTES)).string(frame.method);
  if (frame.timeoutUs)
    writer.uint32(tag(4, VARINT)).uint64(frame.timeoutUs);
  if (frame.metadata)
    writeMetadata(writer, 5, frame.metadata);
  if (frame.credit)
    writer.uint32(tag(9, VARINT)).uint32(frame.credit);
  if (frame.ack)
    writer.uint32(tag(10, VARINT)).uint32(frame.ack);
  if (frame.payload)
    writer.uint32(PAYLOAD).bytes(frame.payload);
  return writer.finish();
}

// ---- reading

function readMetadata(data, to, collector) {
  const reader = Reader.create(data);
  let key = '';
  let value = Buffer.alloc(0);
  while (reader.pos < reader.len) {
    const t = reader.uint32();
    if (t === tag(1, BYTES))
      key = reader.string();
    else if (t === tag(2, BYTES))
      value = Buffer.from(reader.bytes()); // a copy: it is kept, the rest is not
    else
      skip(reader, t);
  }
  collector.add(to, key, value);
}

const FIELDS = {
  [tag(1, VARINT)]: (f, reader) => { f.version = reader.uint32(); },
  [tag(2, VARINT)]: (f, reader) => { f.kind = reader.uint32(); },
  [tag(5, BYTES)]: (f, reader, collector) => { readMetadata(reader.bytes(), f.headers, collector); },
  [tag(6, VARINT)]: (f, reader) => { f.status = reader.uint32(); },
  [tag(7, BYTES)]: (f, reader) => { f.statusText = reader.string(); },
  [tag(8, BYTES)]: (f, reader) => { f.statusDetails = Buffer.from(reader.bytes()); },
  [tag(9, VARINT)]: (f, reader) => { f.credit = reader.uint32(); },
  [tag(10, VARINT)]: (f, reader) => { f.ack = reader.uint32(); },
  [tag(12, VARINT)]: (f, reader) => { f.notBegun = reader.bool(); },
  [tag(11, BYTES)]: (f, reader, collector) => { readMetadata(reader.bytes(), f.trailers, collector); },
};

const SKIP = {
  [VARINT]: (reader) => reader.skip(),
  [FIXED64]: (reader) => reader.skip(8),
  [BYTES]: (reader) => reader.skip(reader.uint32()),
  [FIXED32]: (reader) => reader.skip(4),
};

function skip(reader, t) {
  const pass = SKIP[t & 7];
  if (!pass || t >>> 3 === 0)
    throw new RangeError('malformed frame');
  pass(reader);
}

function emptyFrame(data, kind) {
  return {
    data, kind, version: 0, status: 0, statusText: '', statusDetails: null, credit: 0, ack: 0, notBegun: false,
    headers: Object.create(null), trailers: Object.create(null),
  };
}

// Everything but the payloads. A frame that cannot be read, or is of another version, is MALFORMED and empty.
function decodeFrame(data) {
  const frame = emptyFrame(data, 0);
  const collector = new Collector();
  const reader = Reader.create(data);
  try {
    while (reader.pos < reader.len) {
      const t = reader.uint32();
      const take = FIELDS[t];
      if (take)
        take(frame, reader, collector);
      else
        skip(reader, t);
    }
  } catch {
    frame.version = 0;
  }
  return frame.version === VERSION ? frame : emptyFrame(Buffer.alloc(0), Kind.MALFORMED);
}

// The payloads of a frame that was read, one by one: who takes them says when there are too many. They point into
// the frame's bytes.
function* payloadsOf(frame) {
  const reader = Reader.create(frame.data);
  while (reader.pos < reader.len) {
    const t = reader.uint32();
    if (t === PAYLOAD)
      yield reader.bytes();
    else
      skip(reader, t);
  }
}

module.exports = {Kind, decodeFrame, encodeFrame, payloadsOf};
