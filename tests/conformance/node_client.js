// SPDX-License-Identifier: Apache-2.0
// node_client.js: the conformance suite's client in JavaScript; README.md says what each case does.
'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const {setTimeout: sleep} = require('node:timers/promises');
const {parseArgs} = require('node:util');

const FAILED = 1;
const USAGE = 2;
const NOT_SUPPORTED = 77;

const library = path.join(__dirname, '../../clients/node');

// The library and protobufjs, which `npm ci` in clients/node brings.
function load() {
  try {
    return {...require(library), protobuf: require(require.resolve('protobufjs', {paths: [library]}))};
  } catch (error) {
    if (error.code !== 'MODULE_NOT_FOUND')
      throw error;
    console.log('protobufjs is missing: run npm ci in clients/node');
    process.exit(NOT_SUPPORTED);
  }
}

const {Channel, StatusCode, createClient, protobuf} = load();

const patient = {timeoutMs: 20000, waitForReady: true};
const root = new protobuf.Root().loadSync(path.join(__dirname, 'conformance.proto'));
let client;
let unknown; // of the service that no server has

// ---- what the cases are made of

// The error that this must end with.
async function failure(promise, code) {
  const error = await promise.then(() => assert.fail(`OK instead of ${code}`), (e) => e);
  if (error.code !== StatusCode[code])
    assert.fail(`${error.codeName ?? error.stack} instead of ${code}: ${error.message}`);
  return error;
}

async function unary(options, size, responseSize) {
  const call = client.unaryCall({payload: {body: Buffer.alloc(size)}, responseSize}, options);
  const response = await call;
  assert.equal(response.payload.body.length, responseSize);
  return {call, response};
}

const ask = (call, responseSize, size) =>
  call.write({responseParameters: [{size: responseSize}], payload: {body: Buffer.alloc(size)}});

async function hear(call, size) {
  const message = await call.read();
  assert.equal(message?.payload.body.length, size);
}

async function hearEnd(call) {
  assert.equal(await call.read(), null);
}

const seenCancelled = async () => Number((await client.seen({}, patient)).cancelled);

async function waitForCancelled(before) {
  for (let i = 0; i < 500 && await seenCancelled() === before; i++)
    await sleep(10);
  assert.ok(await seenCancelled() > before);
}

// ---- unary cases

async function emptyUnary() {
  await client.emptyCall({}, patient);
}

async function largeUnary() {
  await unary(patient, 271828, 314159);
}

async function deadlinePropagates() {
  const {response} = await unary({timeoutMs: 10000}, 1, 1);
  const remaining = Number(response.remainingMs);
  assert.ok(remaining >= 1 && remaining <= 10000, `${remaining} ms remain`);
  assert.equal(Number((await unary({}, 1, 1)).response.remainingMs), -1);
}

async function traceparent() {
  const sent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
  assert.equal((await unary({...patient, metadata: {traceparent: sent}}, 1, 1)).response.traceparent, sent);
}

async function expectStatus(message) {
  const error = await failure(client.unaryCall({responseStatus: {code: 2, message}}, patient), 'UNKNOWN');
  assert.equal(error.message, message);
}

async function statusCodeAndMessage() {
  const message = 'test status message';
  await expectStatus(message);
  const call = client.fullDuplexCall(patient);
  await call.write({responseStatus: {code: 2, message}});
  call.end();
  assert.equal((await failure(call.read(), 'UNKNOWN')).message, message);
}

async function specialStatusMessage() {
  await expectStatus('\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n');
}

async function statusDetails() {
  const code = StatusCode.FAILED_PRECONDITION;
  const error = await failure(
    client.unaryCall({responseStatus: {code, message: 'not yet', withDetails: true}}, patient), 'FAILED_PRECONDITION');
  assert.equal(error.message, 'not yet');
  assert.equal(error.detail(root.lookupType('nrpc.testing.Payload'))?.body.toString(), 'detail');
  assert.equal(error.detail(root.lookupType('nrpc.testing.SimpleRequest')), null);
}

async function unimplementedMethod() {
  await failure(client.unimplementedCall({}, patient), 'UNIMPLEMENTED');
}

async function unimplementedService() {
  await failure(unknown.unimplementedCall({}, patient), 'UNIMPLEMENTED');
}

async function retryIdempotent() {
  const call = client.idempotentCall({key: `node-${process.pid}`, failFirst: 2}, patient);
  await call;
  assert.equal(call.attempts, 3);
  const other = client.unaryCall({responseStatus: {code: StatusCode.UNAVAILABLE, message: 'x'}}, patient);
  await failure(other, 'UNAVAILABLE');
  assert.equal(other.attempts, 1);
}

async function customMetadata() {
  const initial = 'test_initial_metadata_value';
  const trailing = Buffer.from([0xab, 0xab, 0xab]);
  const metadata = {'x-test-echo-initial': initial, 'x-test-echo-trailing-bin': trailing};
  const {call: first} = await unary({...patient, metadata}, 10, 20);
  const second = client.fullDuplexCall({...patient, metadata});
  await ask(second, 10, 10);
  second.end();
  await hear(second, 10);
  await hearEnd(second);
  for (const call of [first, second]) {
    assert.deepEqual(call.headers['x-test-echo-initial'], [initial]);
    assert.deepEqual(call.trailers['x-test-echo-trailing-bin'], [trailing]);
  }
}

// ---- streaming cases

const responseSizes = [31415, 9, 2653, 58979];
const requestSizes = [27182, 8, 1828, 45904];

async function clientStreaming() {
  const call = client.streamingInputCall(patient);
  for (const size of requestSizes)
    await call.write({payload: {body: Buffer.alloc(size)}});
  call.end();
  assert.equal((await call.result()).aggregatedPayloadSize, 74922);
  await hearEnd(call);
}

const openOutput = (sizes) =>
  client.streamingOutputCall({responseParameters: sizes.map((size) => ({size}))}, patient);

async function serverStreaming() {
  const sizes = [];
  for await (const message of openOutput(responseSizes))
    sizes.push(message.payload.body.length);
  assert.deepEqual(sizes, responseSizes);
}

async function serverStreamingMany() {
  const call = openOutput(Array(10000).fill(100));
  for (let i = 0; i < 10000; i++) {
    if (i < 20)
      await sleep(10);
    await hear(call, 100);
  }
  await hearEnd(call);
}

async function pingPong() {
  const call = client.fullDuplexCall(patient);
  for (const [i, size] of responseSizes.entries()) {
    await ask(call, size, requestSizes[i]);
    await hear(call, size);
  }
  call.end();
  await hearEnd(call);
}

async function halfDuplex() {
  const call = client.halfDuplexCall(patient);
  for (const [i, size] of responseSizes.entries())
    await ask(call, size, requestSizes[i]);
  call.end();
  for (const size of responseSizes)
    await hear(call, size);
  await hearEnd(call);
}

async function emptyStream() {
  const call = client.fullDuplexCall(patient);
  call.end();
  await hearEnd(call);
}

// ---- cancellation and deadlines

async function cancelAfterBegin() {
  const call = client.streamingInputCall(patient);
  call.cancel();
  await failure(call.read(), 'CANCELLED');
}

async function cancelAfterFirstResponse() {
  const before = await seenCancelled();
  const call = client.fullDuplexCall(patient);
  await ask(call, 31415, 27182);
  await hear(call, 31415);
  call.cancel();
  await failure(call.read(), 'CANCELLED');
  await waitForCancelled(before);
}

async function cancelReachesServer() {
  const before = await seenCancelled();
  const controller = new AbortController();
  const call = client.hang({}, {...patient, signal: controller.signal});
  await seenCancelled(); // the server has the other call by now
  controller.abort();
  await failure(call, 'CANCELLED');
  await waitForCancelled(before);
}

async function timeoutOnSleepingServer() {
  const hasty = {timeoutMs: 50, waitForReady: true};
  const before = await seenCancelled();
  await failure(client.fullDuplexCall(hasty).read(), 'DEADLINE_EXCEEDED');
  await failure(client.hang({}, hasty), 'DEADLINE_EXCEEDED');
  await waitForCancelled(before);
}

// ---- tokens, connections

async function unauthenticated() {
  await failure(client.emptyCall({}, patient), 'UNAUTHENTICATED');
}

async function sayRunning() {
  console.log('running');
  await new Promise((resolve, reject) => {
    process.stdin.once('data', resolve);
    process.stdin.once('end', () => reject(new Error('the standard input ended')));
  });
  process.stdin.destroy();
}

async function openRunning() {
  const call = client.fullDuplexCall(patient);
  await ask(call, 1, 1);
  await hear(call, 1);
  await sayRunning();
  return call;
}

async function reconnect() {
  const call = await openRunning();
  await failure(call.read(), 'UNAVAILABLE');
  await emptyUnary();
}

async function drain() {
  const call = await openRunning(); // from here on the server drains
  let error = null;
  for (let i = 0; i < 500 && !error; i++)
    error = await client.emptyCall({}, {timeoutMs: 100}).then(() => null, (e) => e);
  assert.match(error?.codeName ?? 'OK', /^(UNAVAILABLE|DEADLINE_EXCEEDED)$/);
  await ask(call, 5, 5); // the old call goes on
  await hear(call, 5);
  call.end();
  await hearEnd(call);
}

const cases = {
  empty_unary: emptyUnary,
  large_unary: largeUnary,
  client_streaming: clientStreaming,
  server_streaming: serverStreaming,
  server_streaming_many: serverStreamingMany,
  ping_pong: pingPong,
  half_duplex: halfDuplex,
  empty_stream: emptyStream,
  cancel_after_begin: cancelAfterBegin,
  cancel_after_first_response: cancelAfterFirstResponse,
  cancel_reaches_server: cancelReachesServer,
  timeout_on_sleeping_server: timeoutOnSleepingServer,
  deadline_propagates: deadlinePropagates,
  custom_metadata: customMetadata,
  status_code_and_message: statusCodeAndMessage,
  special_status_message: specialStatusMessage,
  status_details: statusDetails,
  unimplemented_method: unimplementedMethod,
  unimplemented_service: unimplementedService,
  retry_idempotent: retryIdempotent,
  traceparent,
  wrong_token: unauthenticated,
  no_token: unauthenticated,
  reconnect,
  drain,
};

const texts = ['url', 'case', 'ca', 'cert', 'key', 'token'];

function arguments_() {
  try {
    return parseArgs({options: Object.fromEntries(texts.map((name) => [name, {type: 'string'}]))}).values;
  } catch {
    return {};
  }
}

async function main() {
  const {url, case: name, token, ...files} = arguments_();
  if (!url || !name) {
    console.log('usage: --url URL --case NAME [--ca FILE] [--cert FILE --key FILE] [--token TOKEN]');
    return USAGE;
  }
  if (!Object.hasOwn(cases, name))
    return NOT_SUPPORTED;
  const tls = Object.fromEntries(Object.entries(files).map(([what, file]) => [what, fs.readFileSync(file)]));
  const channel = new Channel(url, {token, tls});
  client = createClient(channel, root, 'nrpc.testing.TestService');
  unknown = createClient(channel, root, 'nrpc.testing.UnimplementedService');
  try {
    await cases[name]();
    return 0;
  } catch (error) {
    console.log(error.code === 'ERR_ASSERTION' ? error.message.split('\n').join(' ') : error.stack);
    return FAILED;
  } finally {
    await channel.close();
  }
}

main().then((code) => { process.exitCode = code; });
