// SPDX-License-Identifier: Apache-2.0
// peer.js: the server's end of a connection, played by a test frame by frame. It reads and writes frames by the
// schema itself.
'use strict';

const assert = require('node:assert/strict');
const net = require('node:net');
const path = require('node:path');
const protobuf = require('protobufjs');
const {Channel, createClient} = require('..');

const protoRoot = path.join(__dirname, '../../../proto');
const Frame = new protobuf.Root().loadSync(path.join(protoRoot, 'nrpc/v1/frame.proto')).lookupType('nrpc.v1.Frame');
const kinds = Frame.root.lookupEnum('nrpc.v1.Kind').values;

const OWN = 0x80000000;
const WAIT_MS = 10000;

// A promise that fails loudly instead of never.
function soon(promise, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no ${what} within ${WAIT_MS} ms`)), WAIT_MS);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

async function until(condition, what) {
  const end = performance.now() + WAIT_MS;
  while (!condition()) {
    assert.ok(performance.now() < end, `not so within ${WAIT_MS} ms: ${what}`);
    await new Promise(setImmediate);
  }
}

// A channel, a client of test.Echo, and the server's end of their connection; all end with the test.
async function start(t, options) {
  const peer = await Peer.listen();
  const channel = new Channel(peer.url, options);
  t.after(async () => {
    const closed = channel.close();
    await peer.close();
    await closed;
  });
  const server = await peer.accept();
  await until(() => channel.isConnected, 'connected');
  return {peer, channel, server, client: createClient(channel, root, 'test.Echo')};
}

// A frame as one of the payloads of a BATCH.
function inBatch(id, kind, fields) {
  const head = Buffer.alloc(4);
  head.writeUInt32BE(id);
  return Buffer.concat([head, Frame.encode(Frame.fromObject({version: 1, kind: kinds[kind], ...fields})).finish()]);
}

// Things that arrive, and who waits for them.
class Inbox {
  #items = [];
  #waiters = [];

  put(item) {
    this.#items.push(item);
    this.#waiters.shift()?.();
  }

  async take(what) {
    while (this.#items.length === 0)
      await soon(new Promise((resolve) => { this.#waiters.push(resolve); }), what);
    return this.#items.shift();
  }

  get length() {
    return this.#items.length;
  }
}

class PeerConnection {
  #socket;
  #bytes = Buffer.alloc(0);
  #greeted = false;
  frames = new Inbox();
  received = 0;
  closed;

  constructor(socket) {
    this.#socket = socket;
    socket.on('error', () => {});
    socket.on('data', (chunk) => this.#take(chunk));
    this.closed = new Promise((resolve) => { socket.on('close', resolve); });
  }

  #take(chunk) {
    this.#bytes = Buffer.concat([this.#bytes, chunk]);
    if (!this.#greeted && this.#bytes.length >= 8) {
      this.#greeted = true;
      this.greeting = this.#bytes.subarray(0, 8);
      this.#bytes = this.#bytes.subarray(8);
    }
    while (this.#greeted && this.#bytes.length >= 8) {
      const size = Number(this.#bytes.readBigUInt64BE(0));
      if (this.#bytes.length < 8 + size)
        return;
      const frame = Frame.decode(this.#bytes.subarray(12, 8 + size));
      this.received++;
      this.frames.put({id: this.#bytes.readUInt32BE(8), frame});
      this.#bytes = this.#bytes.subarray(8 + size);
    }
  }

  greet() {
    this.write(Buffer.from('0053500000310000', 'hex'));
  }

  write(bytes) {
    this.#socket.write(bytes);
  }

  sendBytes(id, body) {
    const head = Buffer.alloc(12);
    head.writeBigUInt64BE(BigInt(4 + body.length));
    head.writeUInt32BE(id, 8);
    this.write(Buffer.concat([head, body]));
  }

  // Says what was received, unless the frame says otherwise.
  send(id, kind, fields = {}) {
    const frame = Frame.fromObject({version: 1, kind: kinds[kind], ack: this.received, ...fields});
    this.sendBytes(id, Frame.encode(frame).finish());
  }

  say(kind, fields) {
    this.send(OWN, kind, fields);
  }

  // The next frame, which must be of this kind.
  async expect(kind) {
    const {id, frame} = await this.frames.take(kind);
    const name = Frame.root.lookupEnum('nrpc.v1.Kind').valuesById[frame.kind];
    if (name !== kind)
      throw new Error(`${name} instead of ${kind}`);
    return {id, frame};
  }

  destroy() {
    this.#socket.destroy();
  }
}

class Peer {
  #server;
  #connections = new Inbox();
  #open = new Set();

  static async listen(port = 0) {
    const peer = new Peer();
    peer.#server = net.createServer((socket) => {
      const connection = new PeerConnection(socket);
      peer.#open.add(connection);
      peer.#connections.put(connection);
    });
    await new Promise((resolve) => { peer.#server.listen(port, '127.0.0.1', resolve); });
    peer.port = peer.#server.address().port;
    peer.url = `tcp://127.0.0.1:${peer.port}`;
    return peer;
  }

  // The next connection, greeted.
  async accept() {
    const connection = await this.acceptSilently();
    connection.greet();
    return connection;
  }

  acceptSilently() {
    return this.#connections.take('connection');
  }

  async close() {
    for (const connection of this.#open)
      connection.destroy();
    await new Promise((resolve) => { this.#server.close(resolve); });
  }
}

const root = protobuf.parse(`
  syntax = "proto3";
  package test;
  message Text { string text = 1; bytes data = 2; }
  message Number { int32 number = 1; }
  service Echo {
    rpc Say(Text) returns (Text);
    rpc Ask(Text) returns (Text) { option idempotency_level = NO_SIDE_EFFECTS; }
    rpc Down(Text) returns (stream Text);
    rpc Up(stream Text) returns (Text);
    rpc Both(stream Text) returns (stream Text);
  }`).root;

const Text = root.lookupType('test.Text');
const packText = (text) => Text.encode({text}).finish();

module.exports = {Frame, OWN, Peer, Text, inBatch, packText, root, start, until};
