// SPDX-License-Identifier: Apache-2.0
// life.test.js: timeouts of any kind; servers that drain; peers that are slow.
'use strict';

const assert = require('node:assert/strict');
const {setTimeout: sleep} = require('node:timers/promises');
const {test} = require('node:test');
const {Channel} = require('..');
const {Frame, OWN, Peer, packText, start, until} = require('./peer');

async function answer(server, text) {
  server.send((await server.expect('REQUEST')).id, 'RESPONSE', {payload: [packText(text)]});
}

test('a timeout that is none', async (t) => {
  const {client, server} = await start(t);
  for (const timeoutMs of [undefined, null, Infinity, 1e15, 1e300]) {
    const call = client.say({}, {timeoutMs});
    const {id, frame} = await server.expect('REQUEST');
    assert.equal(Number(frame.timeoutUs), 0);
    server.send(id, 'RESPONSE', {payload: [packText('x')]});
    assert.equal((await call).text, 'x');
  }
});

test('a timeout that has passed', async (t) => {
  const {client, server} = await start(t);
  for (const timeoutMs of [0, -1, -1e300, -Infinity]) {
    await assert.rejects(client.say({}, {timeoutMs}), {codeName: 'DEADLINE_EXCEEDED'}, String(timeoutMs));
    await assert.rejects(client.down({}, {timeoutMs}).read(), {codeName: 'DEADLINE_EXCEEDED'});
  }
  const call = client.say({text: 'x'}, {timeoutMs: 5000});
  assert.ok(Number((await server.expect('REQUEST')).frame.timeoutUs) > 0); // the first that the server hears
  call.cancel();
});

test('a timeout that is no time', async (t) => {
  const {client} = await start(t);
  for (const timeoutMs of [NaN, '5s', '5', {}, true, 5n])
    assert.throws(() => client.say({}, {timeoutMs}), TypeError, String(timeoutMs));
});

test('beside a server that drains, the next one behind the address takes the calls', async (t) => {
  const {peer, channel, client, server} = await start(t);
  const first = client.say({});
  await answer(server, 'useful');
  assert.equal((await first).text, 'useful');
  const running = client.say({});
  const {id} = await server.expect('REQUEST');
  server.say('DRAIN');
  await until(() => !channel.isConnected, 'the client has heard of it');
  const calls = ['a', 'b', 'c'].map(() => client.say({}));
  const next = await peer.accept();
  for (const text of ['a', 'b', 'c'])
    await answer(next, text);
  assert.deepEqual((await Promise.all(calls)).map((m) => m.text), ['a', 'b', 'c']);
  server.send(id, 'RESPONSE', {payload: [packText('old')]}); // the old one has lived on
  assert.equal((await running).text, 'old');
  await server.expect('GOODBYE');
  server.say('GOODBYE');
  await server.closed;
  const later = client.say({});
  await answer(next, 'later');
  assert.equal((await later).text, 'later');
});

test('a call that was not begun goes elsewhere, whatever its method', async (t) => {
  const {peer, client, server} = await start(t);
  const call = client.say({text: 'x'}, {timeoutMs: 10000});
  const {id} = await server.expect('REQUEST');
  server.say('DRAIN');
  server.send(id, 'RESPONSE', {status: 14, notBegun: true});
  await answer(await peer.accept(), 'y');
  assert.equal((await call).text, 'y');
  assert.equal(call.attempts, 1);
});

test('a call that nobody begins ends', async (t) => {
  const {client, server} = await start(t, {connectTimeoutMs: 200});
  const call = client.say({text: 'x'}, {timeoutMs: 10000});
  let ended = false;
  call.catch(() => { ended = true; });
  while (!ended) {
    const {id} = await server.expect('REQUEST');
    await sleep(20);
    server.send(id, 'RESPONSE', {status: 14, notBegun: true});
    await sleep(20);
  }
  await assert.rejects(call, {codeName: 'UNAVAILABLE'});
});

test('close ends the calls of all connections', async (t) => {
  const {peer, channel, client, server} = await start(t);
  const old = client.say({});
  await server.expect('REQUEST');
  server.say('DRAIN');
  const next = await peer.accept();
  const young = client.say({});
  await next.expect('REQUEST');
  const closed = channel.close();
  await assert.rejects(old, {codeName: 'CANCELLED'});
  await assert.rejects(young, {codeName: 'CANCELLED'});
  for (const one of [server, next])
    one.say('GOODBYE');
  await closed;
});

test('who says DRAIN and nothing else is dialed with growing pauses', async (t) => {
  const peer = await Peer.listen();
  const channel = new Channel(peer.url, {});
  let accepted = 0;
  let over = false;
  const serve = async () => {
    while (!over) {
      const connection = await peer.accept();
      accepted++;
      connection.say('DRAIN');
    }
  };
  serve().catch(() => {});
  await sleep(1000);
  over = true;
  const closed = channel.close();
  await peer.close();
  await closed;
  assert.ok(accepted > 2 && accepted < 14, `${accepted} connections`);
});

// Sends a message in so many small steps as fill the time.
async function dribble(server, id, frame, ms) {
  const body = Frame.encode(Frame.fromObject(frame)).finish();
  const head = Buffer.alloc(12);
  head.writeBigUInt64BE(BigInt(4 + body.length));
  head.writeUInt32BE(id, 8);
  const whole = Buffer.concat([head, body]);
  const steps = 40;
  const size = Math.ceil(whole.length / steps);
  for (let at = 0; at < whole.length; at += size) {
    server.write(whole.subarray(at, at + size));
    await sleep(ms / steps);
  }
}

test('a long answer is a sign of life all the time, and is acknowledged on its way', async (t) => {
  const {client, server} = await start(t, {keepaliveMs: 200, keepaliveTimeoutMs: 200});
  const call = client.say({}, {timeoutMs: 10000});
  const {id} = await server.expect('REQUEST');
  await dribble(server, id, {version: 1, kind: 2, payload: [packText('y'.repeat(100000))]}, 2000);
  assert.equal((await call).text.length, 100000);
  let acks = 0;
  while (server.frames.length > 0)
    acks += (await server.frames.take('ACK')).id === OWN ? 1 : 0;
  assert.ok(acks >= 2 && acks <= 8, `${acks} acknowledgements`);
});

test('who stops in the middle of a message is found', async (t) => {
  const {client, server} = await start(t, {keepaliveMs: 100, keepaliveTimeoutMs: 200});
  const call = client.say({}, {timeoutMs: 10000});
  const {id} = await server.expect('REQUEST');
  const head = Buffer.alloc(12 + 100);
  head.writeBigUInt64BE(100000n);
  head.writeUInt32BE(id, 8);
  server.write(head);
  const began = performance.now();
  await assert.rejects(call, {codeName: 'UNAVAILABLE', message: /no sign of life/});
  assert.ok(performance.now() - began < 3000);
});
