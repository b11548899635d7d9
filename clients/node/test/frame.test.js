// SPDX-License-Identifier: Apache-2.0
// frame.test.js: frames by hand are frames by the schema; what is malformed is found; limits hold.
'use strict';

const assert = require('node:assert/strict');
const {test} = require('node:test');
const {Kind, decodeFrame, encodeFrame, payloadsOf} = require('../lib/frame');
const {Frame} = require('./peer');

const encode = (fields) => Frame.encode(Frame.fromObject({version: 1, ...fields})).finish();

test('what we write, the schema reads', () => {
  const frame = Frame.toObject(Frame.decode(encodeFrame({
    kind: Kind.REQUEST, method: '/a.B/C', timeoutUs: 5e9,
    metadata: [['k', Buffer.from('v')], ['b-bin', Buffer.from([255])]],
    credit: 77, ack: 4294967295, payload: Buffer.from('xyz'),
  })), {longs: Number});
  assert.deepEqual(frame, {
    version: 1, kind: 1, method: '/a.B/C', timeoutUs: 5e9,
    metadata: [{key: 'k', value: Buffer.from('v')}, {key: 'b-bin', value: Buffer.from([255])}],
    credit: 77, ack: 4294967295, payload: [Buffer.from('xyz')],
  });
});

test('what the schema writes, we read', () => {
  const frame = decodeFrame(encode({
    kind: 2, status: 5, statusText: 'none ☺', statusDetails: Buffer.from('d'), credit: 3, ack: 9,
    metadata: [{key: 'a', value: Buffer.from('1')}, {key: 'a', value: Buffer.from('2')}],
    trailers: [{key: '__proto__', value: Buffer.from('p')}, {key: 'x-bin', value: Buffer.from([0xff])}],
    payload: [Buffer.from('one'), Buffer.alloc(0)],
  }));
  assert.equal(frame.kind, Kind.RESPONSE);
  assert.equal(frame.status, 5);
  assert.equal(frame.statusText, 'none ☺');
  assert.deepEqual(frame.statusDetails, Buffer.from('d'));
  assert.equal(frame.credit, 3);
  assert.equal(frame.ack, 9);
  assert.deepEqual(frame.headers.a, ['1', '2']);
  assert.deepEqual(Object.keys(frame.trailers), ['__proto__', 'x-bin']);
  assert.deepEqual(frame.trailers['x-bin'], [Buffer.from([0xff])]);
  assert.deepEqual([...payloadsOf(frame)], [Buffer.from('one'), Buffer.alloc(0)]);
});

test('unknown fields of all types are passed over', () => {
  const unknown = Buffer.from('f80105' + 'f901' + '0011223344556677' + 'fa0103616263' + 'fd0111223344', 'hex');
  assert.equal(decodeFrame(Buffer.concat([unknown, encode({kind: 3, ack: 4}), unknown])).ack, 4);
});

const malformed = {
  'a group': '0801fb01fc01',
  'field number 0': '08010002',
  'a length beyond the end': '08017a05aa',
  'a varint without an end': '0801ffffffffffffffffffffff',
  'no version': '1003',
  'another version': '08021003',
};
for (const [what, hex] of Object.entries(malformed))
  test(`malformed: ${what}`, () => assert.equal(decodeFrame(Buffer.from(hex, 'hex')).kind, Kind.MALFORMED));

const list = (count, size) =>
  Array.from({length: count}, (_, i) => ({key: `k${i % 10}`, value: Buffer.alloc(size, 0x61)}));

test('limits of metadata', () => {
  const kind = (fields) => decodeFrame(encode({kind: 3, ...fields})).kind;
  assert.equal(kind({metadata: list(32, 1), trailers: list(32, 1)}), Kind.MESSAGE);
  assert.equal(kind({metadata: list(32, 1), trailers: list(33, 1)}), Kind.MALFORMED);
  assert.equal(kind({metadata: list(8, 1022)}), Kind.MESSAGE);
  assert.equal(kind({metadata: list(8, 1023)}), Kind.MALFORMED);
  assert.equal(kind({metadata: [{key: 'A', value: Buffer.from('v')}]}), Kind.MALFORMED);
  assert.equal(kind({metadata: [{key: '', value: Buffer.from('v')}]}), Kind.MALFORMED);
  assert.equal(kind({metadata: [{key: 'a', value: Buffer.from([0xff])}]}), Kind.MALFORMED);
});

test('no bytes make it throw', () => {
  const whole = encode({
    kind: 2, method: '/a.B/C', timeoutUs: 5, status: 1, statusText: 't', statusDetails: Buffer.from('d'), ack: 300,
    metadata: list(2, 3), trailers: list(2, 3), payload: [Buffer.from('one')],
  });
  const readAll = (data) => Array.from(payloadsOf(decodeFrame(data)));
  for (let i = 0; i < whole.length; i++) {
    readAll(whole.subarray(0, i));
    for (let bit = 0; bit < 8; bit++) {
      const changed = Buffer.from(whole);
      changed[i] ^= 1 << bit;
      readAll(changed);
    }
  }
});
