// SPDX-License-Identifier: Apache-2.0
// channel.test.js: connections: coming, going, keepalive, goodbyes.
'use strict';

const assert = require('node:assert/strict');
const {spawnSync} = require('node:child_process');
const {test} = require('node:test');
const {Channel, createClient} = require('..');
const {OWN, Peer, packText, root, start} = require('./peer');

const open = (url, options) => {
  const channel = new Channel(url, options);
  return {channel, client: createClient(channel, root, 'test.Echo')};
};

async function answer(server, text) {
  server.send((await server.expect('REQUEST')).id, 'RESPONSE', {payload: [packText(text)]});
}

test('malformed urls and options', () => {
  const malformed = ['', 'tcp://', 'tcp://host', 'tcp://host:0', 'tcp://host:70000', 'http://host:1', 'host:1', 'ipc://', 'tcp://h:1,',
    'tcp://h:1,h:2'];
  for (const url of malformed)
    assert.throws(() => new Channel(url), TypeError, url);
  assert.throws(() => new Channel('tcp://127.0.0.1:1', {timeout: 1}), /no option "timeout"/);
});

test('no connection: UNAVAILABLE, or the deadline if it waits for one', async () => {
  const peer = await Peer.listen();
  await peer.close();
  const {channel, client} = open(peer.url, {connectTimeoutMs: 20});
  await assert.rejects(client.say({}), {codeName: 'UNAVAILABLE'});
  await assert.rejects(client.say({}, {timeoutMs: 50, waitForReady: true}), {codeName: 'DEADLINE_EXCEEDED'});
  await channel.close();
});

test('a call waits until the server is there', async (t) => {
  const gone = await Peer.listen();
  await gone.close();
  const {channel, client} = open(gone.url, {connectTimeoutMs: 20, reconnectMaxMs: 20});
  const call = client.say({}, {waitForReady: true});
  await assert.rejects(client.say({}), {codeName: 'UNAVAILABLE'});
  const peer = await Peer.listen(gone.port);
  t.after(() => peer.close());
  await answer(await peer.accept(), 'late');
  assert.equal((await call).text, 'late');
  const closed = channel.close();
  await peer.close();
  await closed;
});

test('a lost connection ends its calls, and another is made', async (t) => {
  const {peer, client, server} = await start(t);
  const calls = [client.say({}), client.both()];
  await server.expect('REQUEST');
  await server.expect('REQUEST');
  server.destroy();
  await assert.rejects(calls[0], {codeName: 'UNAVAILABLE'});
  await assert.rejects(calls[1].read(), {codeName: 'UNAVAILABLE'});
  const call = client.say({});
  await answer(await peer.accept(), 'again');
  assert.equal((await call).text, 'again');
});

test('an idempotent call survives a lost connection', async (t) => {
  const {peer, client, server} = await start(t, {retry: {backoffMs: 1}});
  const call = client.ask({});
  await server.expect('REQUEST');
  server.destroy();
  await answer(await peer.accept(), 'again');
  assert.equal((await call).text, 'again');
});

test('several servers: calls keep to one, and go on with another when it is gone', async (t) => {
  const peers = [await Peer.listen(), await Peer.listen()];
  const {channel, client} = open(peers.map((peer) => peer.url).join());
  t.after(async () => {
    const closed = channel.close();
    await Promise.all(peers.map((peer) => peer.close()));
    await closed;
  });
  const calls = [client.say({}), client.say({})];
  const accepted = peers.map((peer) => peer.accept());
  const [first, server] = await Promise.race(accepted.map(async (one, i) => [i, await one]));
  await answer(server, 'one');
  await answer(server, 'two');
  assert.deepEqual((await Promise.all(calls)).map((m) => m.text), ['one', 'two']);
  const again = client.ask({});
  await server.expect('REQUEST');
  server.destroy();
  await peers[first].close();
  await answer(await accepted[1 - first], 'elsewhere');
  assert.equal((await again).text, 'elsewhere');
});

test('another protocol, a message too large, a message without an id: hung up on', async (t) => {
  const {peer, server, client} = await start(t, {maxMessageBytes: 1000, reconnectMaxMs: 20});
  const large = Buffer.alloc(8);
  large.writeBigUInt64BE(1000n + (40n << 10n) + 1n);
  server.write(large);
  await server.closed;
  const second = await peer.accept();
  second.sendBytes(5, Buffer.alloc(4));
  await second.closed;
  const third = await peer.acceptSilently();
  third.write(Buffer.from('HTTP/1.1 400'));
  await third.closed;
  const fourth = await peer.accept();
  const call = client.say({});
  await answer(fourth, 'well');
  assert.equal((await call).text, 'well');
});

test('messages in pieces, and many at once', async (t) => {
  const {client, server} = await start(t);
  const calls = [client.say({}), client.say({})];
  const written = [];
  server.write = (bytes) => written.push(bytes);
  await answer(server, 'first');
  await answer(server, 'second');
  delete server.write;
  const bytes = Buffer.concat(written);
  for (let i = 0; i < bytes.length; i += 7) {
    server.write(bytes.subarray(i, i + 7));
    await new Promise(setImmediate);
  }
  assert.deepEqual((await Promise.all(calls)).map((m) => m.text), ['first', 'second']);
});

test('PING is answered at once', async (t) => {
  const {server} = await start(t);
  server.say('PING');
  assert.equal((await server.expect('ACK')).id, OWN);
});

test('a silent server is asked, then given up', async (t) => {
  const {peer, client, server} = await start(t, {keepaliveMs: 20, keepaliveTimeoutMs: 300});
  const call = client.say({});
  await server.expect('REQUEST');
  await server.expect('PING');
  server.say('ACK'); // a sign of life
  await server.expect('PING');
  await assert.rejects(call, {codeName: 'UNAVAILABLE', message: /no sign of life/});
  await server.closed;
  await peer.accept();
});

test('DRAIN: the running call goes on, then goodbye, then another connection', async (t) => {
  const {peer, client, server} = await start(t);
  const call = client.say({});
  const {id} = await server.expect('REQUEST');
  server.say('DRAIN');
  server.say('PING');
  await server.expect('ACK'); // it has heard of it
  const next = client.say({});
  server.send(id, 'RESPONSE', {payload: [packText('old')]});
  assert.equal((await call).text, 'old');
  await server.expect('GOODBYE');
  server.say('GOODBYE');
  await server.closed;
  await answer(await peer.accept(), 'new');
  assert.equal((await next).text, 'new');
});

test('GOODBYE of the server is answered, and ends the calls', async (t) => {
  const {client, server} = await start(t);
  const call = client.say({});
  await server.expect('REQUEST');
  server.say('GOODBYE');
  await assert.rejects(call, {codeName: 'UNAVAILABLE'});
  await server.expect('GOODBYE');
  server.destroy();
});

test('close: calls end, goodbye is said and answered', async (t) => {
  const {channel, client, server} = await start(t, {maxOutstanding: 1});
  const calls = [client.say({}), client.say({})];
  await server.expect('REQUEST');
  const closed = channel.close();
  assert.equal(channel.close(), closed);
  for (const call of [...calls, client.say({})])
    await assert.rejects(call, {codeName: 'CANCELLED'});
  await server.expect('GOODBYE');
  server.say('GOODBYE');
  await server.closed;
  await closed;
  assert.equal(server.frames.length, 0);
});

test('close does not wait for ever for a goodbye', async (t) => {
  const {channel, server} = await start(t);
  await channel.close();
  await server.expect('GOODBYE');
});

test('a server that leaves what we must answer unread is hung up on', async (t) => {
  const {server} = await start(t);
  for (let i = 0; i < 3000; i++)
    server.say('PING');
  await server.closed;
});

test('nothing keeps the process alive after close', async () => {
  const script = `
    const {Channel, createClient} = require('.');
    const {root} = require('./test/peer');
    const channel = new Channel('tcp://127.0.0.1:1');
    createClient(channel, root, 'test.Echo').say({}, {timeoutMs: 1e6, waitForReady: true});
    setTimeout(() => channel.close(), 50);`;
  const {status, stderr} = spawnSync(process.execPath, ['-e', script], {cwd: `${__dirname}/..`, timeout: 30000});
  assert.equal(status, 0, String(stderr));
});
