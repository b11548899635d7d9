// SPDX-License-Identifier: Apache-2.0
// call.test.js: calls against a server that is played frame by frame.
'use strict';

const assert = require('node:assert/strict');
const {test} = require('node:test');
const {RpcError} = require('..');
const {Frame, OWN, Text, inBatch, packText, root, start, until} = require('./peer');

// ---- unary

test('a unary call carries what it should', async (t) => {
  const {client, server} = await start(t, {token: () => 'abc'});
  const metadata = {'x-a': ['1', '2'], 'x-bin': Buffer.from([255])};
  const call = client.say({text: 'hello'}, {timeoutMs: 5000, metadata});
  const {id, frame} = await server.expect('REQUEST');
  assert.equal(server.greeting.toString('hex'), '0053500000300000');
  assert.ok(id > 0x80000000);
  assert.equal(frame.version, 1);
  assert.equal(frame.method, '/test.Echo/Say');
  assert.ok(Number(frame.timeoutUs) > 0 && Number(frame.timeoutUs) <= 5000000);
  assert.deepEqual(frame.metadata.map((m) => [m.key, m.value.toString('latin1')]),
    [['x-a', '1'], ['x-a', '2'], ['x-bin', '\xff'], ['authorization', 'Bearer abc']]);
  assert.equal(frame.credit, 0);
  assert.equal(Text.decode(frame.payload[0]).text, 'hello');
  server.send(id, 'RESPONSE', {
    payload: [packText('world')], metadata: [{key: 'h', value: Buffer.from('1')}],
    trailers: [{key: 't-bin', value: Buffer.from([1, 2])}],
  });
  assert.equal((await call).text, 'world');
  assert.deepEqual({...call.headers}, {h: ['1']});
  assert.deepEqual({...call.trailers}, {'t-bin': [Buffer.from([1, 2])]});
});

test('an error has its code, text, details and trailers', async (t) => {
  const {client, server} = await start(t);
  const call = client.say({});
  const {id} = await server.expect('REQUEST');
  const url = Buffer.from('x/test.Text');
  const any = Buffer.concat([Buffer.from([0x0a, url.length]), url, Buffer.from([0x12, 3]), packText('d')]);
  server.send(id, 'RESPONSE', {
    status: 9, statusText: 'not yet', statusDetails: Buffer.concat([Buffer.from([0x08, 9, 0x1a, any.length]), any]),
    trailers: [{key: 't', value: Buffer.from('v')}],
  });
  const error = await call.catch((e) => e);
  assert.ok(error instanceof RpcError);
  assert.equal(error.code, 9);
  assert.equal(error.codeName, 'FAILED_PRECONDITION');
  assert.equal(error.message, 'not yet');
  assert.deepEqual(error.trailers.t, ['v']);
  assert.deepEqual(error.details.map((d) => d.typeUrl), ['x/test.Text']);
  assert.equal(error.detail(Text).text, 'd');
  assert.equal(error.detail(root.lookupType('test.Number')), null);
});

test('a deadline ends a call by our clock; the late answer is dropped', async (t) => {
  const {client, server} = await start(t);
  const call = client.say({}, {timeoutMs: 30});
  const {id} = await server.expect('REQUEST');
  await assert.rejects(call, {codeName: 'DEADLINE_EXCEEDED'});
  assert.equal((await server.expect('CANCEL')).id, id);
  server.send(id, 'RESPONSE', {payload: [packText('late')]});
  const next = client.say({});
  server.send((await server.expect('REQUEST')).id, 'RESPONSE', {payload: [packText('next')]});
  assert.equal((await next).text, 'next');
});

test('cancellation: by the call, by a signal, by a signal from before', async (t) => {
  const {client, server} = await start(t);
  const call = client.say({});
  await server.expect('REQUEST');
  call.cancel();
  await assert.rejects(call, {codeName: 'CANCELLED'});
  await server.expect('CANCEL');
  const controller = new AbortController();
  const other = client.say({}, {signal: controller.signal});
  await server.expect('REQUEST');
  controller.abort();
  await assert.rejects(other, {codeName: 'CANCELLED'});
  await server.expect('CANCEL');
  await assert.rejects(client.say({}, {signal: controller.signal}), {codeName: 'CANCELLED'});
  assert.equal(server.frames.length, 0);
});

test('retries: idempotent methods only', async (t) => {
  const {client, server} = await start(t, {retry: {backoffMs: 1}});
  const call = client.ask({text: 'q'});
  for (let i = 0; i < 2; i++) {
    const {id, frame} = await server.expect('REQUEST');
    assert.equal(Text.decode(frame.payload[0]).text, 'q');
    server.send(id, 'RESPONSE', {status: 14});
  }
  server.send((await server.expect('REQUEST')).id, 'RESPONSE', {payload: [packText('a')]});
  assert.equal((await call).text, 'a');
  assert.equal(call.attempts, 3);
  const other = client.say({});
  server.send((await server.expect('REQUEST')).id, 'RESPONSE', {status: 14});
  await assert.rejects(other, {codeName: 'UNAVAILABLE'});
});

test('what is wrong before a call starts', async (t) => {
  const {client} = await start(t, {maxMessageBytes: 100});
  await assert.rejects(client.say({data: Buffer.alloc(101)}), {codeName: 'RESOURCE_EXHAUSTED'});
  await assert.rejects(client.say({}, {metadata: {'No': 'x'}}), {codeName: 'INVALID_ARGUMENT'});
  await assert.rejects(client.say({}, {metadata: {a: Buffer.from('x')}}), {codeName: 'INVALID_ARGUMENT'});
  await assert.rejects(client.say({}, {metadata: {a: 'x'.repeat(8192)}}), {codeName: 'INVALID_ARGUMENT'});
  await assert.rejects(client.say({}, {metadata: {a: Array(65).fill('x')}}), {codeName: 'INVALID_ARGUMENT'});
  await assert.rejects(client.say(5), {codeName: 'INVALID_ARGUMENT'});
});

const badAnswers = {
  'no message': {},
  'two messages': {payload: [packText('a'), packText('b')]},
  'no Text': {payload: [Buffer.from([0xff])]},
};
for (const [what, fields] of Object.entries(badAnswers))
  test(`a bad answer: ${what}`, async (t) => {
    const {client, server} = await start(t);
    const call = client.say({});
    server.send((await server.expect('REQUEST')).id, 'RESPONSE', fields);
    await assert.rejects(call, {codeName: 'INTERNAL'});
  });

test('a malformed answer ends the call only', async (t) => {
  const {client, server} = await start(t);
  const call = client.say({});
  const {id} = await server.expect('REQUEST');
  server.sendBytes(id, Buffer.from([0xff]));
  await assert.rejects(call, {codeName: 'INTERNAL'});
  assert.equal((await server.expect('CANCEL')).id, id);
});

test('more calls wait in line, and too many do not', async (t) => {
  const {client, server} = await start(t, {maxOutstanding: 1, maxWaiting: 1});
  const calls = [client.say({text: '1'}), client.say({text: '2'}), client.say({text: '3'})];
  await assert.rejects(calls[2], {codeName: 'RESOURCE_EXHAUSTED'});
  for (let i = 0; i < 2; i++) {
    const {id, frame} = await server.expect('REQUEST');
    server.send(id, 'RESPONSE', {payload: frame.payload});
    assert.equal((await calls[i]).text, String(i + 1));
  }
});

test('a call that nobody waits for harms nobody', async (t) => {
  const {client, server} = await start(t);
  client.say({});
  server.send((await server.expect('REQUEST')).id, 'RESPONSE', {status: 13});
  const call = client.both();
  server.send((await server.expect('REQUEST')).id, 'RESPONSE', {status: 13});
  await until(() => call.trailers, 'the end');
  call.write({});
});

// ---- streams

test('a server streams: messages, headers, the end', async (t) => {
  const {client, server} = await start(t);
  const call = client.down({text: 'go'});
  const {id, frame} = await server.expect('REQUEST');
  assert.equal(frame.credit, 256 << 10);
  server.send(id, 'CREDIT', {credit: 1}); // is not the answer's first frame
  server.send(id, 'MESSAGE', {metadata: [{key: 'h', value: Buffer.from('1')}]});
  server.send(id, 'MESSAGE', {payload: [packText('a'), packText('b')]});
  server.send(id, 'RESPONSE', {trailers: [{key: 't', value: Buffer.from('2')}]});
  const texts = [];
  for await (const {text} of call)
    texts.push(text);
  assert.deepEqual(texts, ['a', 'b']);
  assert.deepEqual(call.headers.h, ['1']);
  assert.deepEqual(call.trailers.t, ['2']);
  assert.equal(server.frames.length, 0);
});

test('messages come before a bad end', async (t) => {
  const {client, server} = await start(t);
  const call = client.down({});
  const {id} = await server.expect('REQUEST');
  server.send(id, 'MESSAGE', {payload: [packText('a')]});
  server.send(id, 'RESPONSE', {status: 5, statusText: 'gone'});
  assert.equal((await call.read()).text, 'a');
  await assert.rejects(call.read(), {codeName: 'NOT_FOUND', message: 'gone'});
});

test('leaving an iteration cancels; what still arrives is answered with CANCEL', async (t) => {
  const {client, server} = await start(t);
  const call = client.down({});
  const {id} = await server.expect('REQUEST');
  server.send(id, 'MESSAGE', {payload: [packText('a')]});
  for await (const {text} of call) {
    assert.equal(text, 'a');
    break;
  }
  assert.equal((await server.expect('CANCEL')).id, id);
  server.send(id, 'MESSAGE', {payload: [packText('b')]});
  assert.equal((await server.expect('CANCEL')).id, id);
});

test('reading grants again; more than was granted ends the call', async (t) => {
  const {client, server} = await start(t, {streamWindowBytes: 1000});
  const call = client.down({});
  const {id, frame} = await server.expect('REQUEST');
  assert.equal(frame.credit, 1000);
  const data = Text.encode({data: Buffer.alloc(482)}).finish(); // 485 bytes, and 16
  assert.equal(data.length, 485);
  server.send(id, 'MESSAGE', {payload: [data, data]}); // 1002: the second may begin
  await call.read();
  assert.equal((await server.expect('CREDIT')).frame.credit, 501);
  server.send(id, 'MESSAGE', {payload: [data]});
  server.send(id, 'MESSAGE', {payload: [data]});
  assert.equal((await server.expect('CANCEL')).id, id);
  await call.read();
  await call.read();
  await assert.rejects(call.read(), {codeName: 'INTERNAL'});
});

test('a client streams within its credit', async (t) => {
  const {client, server} = await start(t);
  const call = client.up();
  const {id, frame} = await server.expect('REQUEST');
  assert.equal(frame.payload.length, 0);
  await call.write({data: Buffer.alloc(65500)}); // leaves credit, if little
  await call.write({data: Buffer.alloc(100000)}); // may begin
  let isWritten = false;
  const third = call.write({text: 'third'}).then(() => { isWritten = true; });
  call.end();
  await assert.rejects(call.write({}), {codeName: 'FAILED_PRECONDITION'});
  await server.expect('MESSAGE');
  await server.expect('MESSAGE');
  server.say('PING');
  await server.expect('ACK');
  assert.equal(isWritten, false);
  server.send(id, 'CREDIT', {credit: 200000});
  await third;
  assert.equal(Text.decode((await server.expect('MESSAGE')).frame.payload[0]).text, 'third');
  assert.equal((await server.expect('HALF_CLOSE')).id, id);
  server.send(id, 'RESPONSE', {payload: [packText('sum')]});
  assert.equal((await call.result()).text, 'sum');
  assert.equal(await call.read(), null);
});

test('a client streams within the window of the connection', async (t) => {
  const {client, server} = await start(t);
  const call = client.up();
  const {id} = await server.expect('REQUEST');
  let written = 0;
  const all = Promise.all(Array.from({length: 60}, (_, i) => call.write({text: `${i}`}).then(() => { written++; })));
  for (let i = 0; i < 47; i++)
    await server.expect('MESSAGE');
  server.say('PING', {ack: 2}); // its answer takes one place, too
  await server.expect('ACK');
  await server.expect('MESSAGE'); // for the one that was acknowledged
  assert.equal(written, 48);
  server.say('ACK');
  for (let i = 48; i < 60; i++)
    assert.equal(Text.decode((await server.expect('MESSAGE')).frame.payload[0]).text, `${i}`);
  await all;
  server.send(id, 'RESPONSE', {status: 10});
  await assert.rejects(call.result(), {codeName: 'ABORTED'});
});

test('a call that has ended takes no messages', async (t) => {
  const {client, server} = await start(t);
  const call = client.both();
  const {id} = await server.expect('REQUEST');
  const blocked = [call.write({data: Buffer.alloc(65536)}), call.write({text: 'waits'})];
  await server.expect('MESSAGE');
  server.send(id, 'RESPONSE', {});
  await blocked[0];
  await assert.rejects(blocked[1], {codeName: 'CANCELLED'});
  await assert.rejects(call.write({}), {codeName: 'CANCELLED'});
  assert.equal(await call.read(), null);
});

test('messages are acknowledged though nobody reads them', async (t) => {
  const {client, server} = await start(t);
  client.down({});
  const {id} = await server.expect('REQUEST');
  for (let i = 0; i < 4; i++)
    server.send(id, 'MESSAGE', {payload: [packText('a')]});
  assert.equal((await server.expect('ACK')).frame.ack, 4);
});

test('a batch means what its frames mean, and counts as one', async (t) => {
  const {client, server} = await start(t);
  const calls = [client.say({}), client.both()];
  const {id: first} = await server.expect('REQUEST');
  const {id: second} = await server.expect('REQUEST');
  server.say('BATCH', {payload: [
    inBatch(first, 'RESPONSE', {payload: [packText('one')]}),
    inBatch(second, 'MESSAGE', {payload: [packText('two')]}),
    inBatch(OWN, 'PING', {ack: 999}),
    inBatch(OWN, 'BATCH', {payload: [inBatch(second, 'RESPONSE', {status: 13})]}), // not allowed: dropped
    inBatch(second, 'RESPONSE', {}),
    Buffer.alloc(3), // malformed: the rest is lost
    inBatch(OWN, 'PING', {}),
  ]});
  assert.equal((await calls[0]).text, 'one');
  assert.equal((await calls[1].read()).text, 'two');
  assert.equal(await calls[1].read(), null);
  assert.equal((await server.expect('ACK')).frame.ack, 1);
  server.say('PING');
  assert.equal((await server.expect('ACK')).frame.ack, 2);
});

test('frames of an unknown kind are dropped', async (t) => {
  const {client, server} = await start(t);
  const call = client.both();
  const {id} = await server.expect('REQUEST');
  server.sendBytes(id, Frame.encode({version: 1, kind: 99}).finish());
  server.send(id, 'RESPONSE', {});
  assert.equal(await call.read(), null);
});
