// SPDX-License-Identifier: Apache-2.0
// link.test.js: the window, what is held back, and when acknowledgements are due.
'use strict';

const assert = require('node:assert/strict');
const {test} = require('node:test');
const {Kind} = require('../lib/frame');
const {Link, WINDOW} = require('../lib/link');

function newLink() {
  const sent = [];
  return {sent, link: new Link((id, frame) => sent.push({id, ...frame}))};
}

function fill(link, count) {
  for (let i = 0; i < count; i++)
    link.send(1, {kind: Kind.MESSAGE, n: i});
}

test('frames beyond the window wait, in order', () => {
  const {link, sent} = newLink();
  fill(link, WINDOW + 3);
  assert.equal(sent.length, WINDOW);
  assert.equal(link.hasRoom(), false);
  link.heard({kind: Kind.ACK, ack: 2});
  assert.deepEqual(sent.slice(WINDOW).map((f) => f.n), [WINDOW, WINDOW + 1]);
  link.heard({kind: Kind.ACK, ack: 2}); // nothing new
  link.heard({kind: Kind.ACK, ack: 1}); // overtaken
  link.heard({kind: Kind.ACK, ack: 1000}); // no number of ours
  link.heard({kind: Kind.ACK, ack: 0}); // says nothing
  assert.equal(link.heldCount, 1);
  link.heard({kind: Kind.ACK, ack: WINDOW + 2});
  assert.equal(link.heldCount, 0);
  assert.equal(link.hasRoom(), true);
});

test('frames of the connection wait for nothing', () => {
  const {link, sent} = newLink();
  fill(link, WINDOW + 1);
  link.say(Kind.PING);
  assert.equal(sent.at(-1).kind, Kind.PING);
});

test('after goodbye nothing is sent', () => {
  const {link, sent} = newLink();
  fill(link, WINDOW + 1);
  link.say(Kind.GOODBYE);
  link.say(Kind.ACK);
  fill(link, 1);
  link.heard({kind: Kind.ACK, ack: WINDOW});
  assert.equal(sent.at(-1).kind, Kind.GOODBYE);
  assert.equal(sent.length, WINDOW + 1);
});

test('what is held of a call is forgotten', () => {
  const {link, sent} = newLink();
  fill(link, WINDOW);
  link.send(2, {kind: Kind.REQUEST});
  link.send(1, {kind: Kind.HALF_CLOSE});
  assert.equal(link.forget(1), false);
  assert.equal(link.forget(2), true);
  link.heard({kind: Kind.ACK, ack: WINDOW});
  assert.equal(sent.length, WINDOW);
});

const due = [
  {count: 3, acks: []},
  {count: 4, acks: [4]},
  {count: 9, acks: [4, 8]},
];
for (const {count, acks} of due)
  test(`acknowledged: ${count} messages`, () => {
    const {link, sent} = newLink();
    for (let i = 0; i < count; i++) {
      link.heard({kind: Kind.RESPONSE, ack: 0});
      link.acknowledge();
    }
    assert.deepEqual(sent.map((f) => f.ack), acks);
  });

test('a frame that is sent anyway has said it', () => {
  const {link, sent} = newLink();
  for (let i = 0; i < 4; i++)
    link.heard({kind: Kind.MESSAGE, ack: 0});
  link.send(1, {kind: Kind.CREDIT});
  link.acknowledge();
  assert.deepEqual(sent.map((f) => [f.kind, f.ack]), [[Kind.CREDIT, 4]]);
});
