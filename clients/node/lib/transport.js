// SPDX-License-Identifier: Apache-2.0
// transport.js: messages over TCP, TLS and IPC as SP's REQ peer sends and receives them (docs/PROTOCOL.md,
// "Transport").
'use strict';

const net = require('node:net');
const tls = require('node:tls');

const GREETING = Buffer.from([0x00, 0x53, 0x50, 0x00, 0x00, 0x30, 0x00, 0x00]); // we are REQ
const EXPECTED = Buffer.from([0x00, 0x53, 0x50, 0x00, 0x00, 0x31, 0x00, 0x00]); // the server is REP
const IPC_MARK = 1; // before each length
const ID_BYTES = 4;
const CONNECTION_ID = 0x80000000; // no call's id: speaks of the connection; no id is below it
const FRAME_ROOM = 40 << 10; // of a message, besides its payload
const CONNECT_MS = 10000; // for the connection and its greeting
const CONTROL_MAX = 1024; // frames of the connection that a server may leave unread

// {tls, options}: how to reach a url. Throws a TypeError if it is none.
function parseUrl(url, tlsOptions) {
  const network = /^(tls\+)?tcp:\/\/(\[[0-9a-fA-F:.]+\]|[^:/[\]]+):(\d{1,5})$/.exec(url);
  if (network) {
    const host = network[2].replace(/^\[|\]$/g, '');
    const options = {host, port: Number(network[3])};
    if (options.port >= 1 && options.port <= 65535)
      return network[1] ? {tls: true, options: {...options, ...tlsOfHost(host, tlsOptions)}} : {tls: false, options};
  }
  const local = /^ipc:\/\/(.+)$/.exec(url);
  if (local)
    return {tls: false, ipc: true, options: {path: local[1]}};
  throw new TypeError(`"${url}" is no url like tcp://host:port, tls+tcp://host:port or ipc:///path`);
}

// An address cannot be asked for by name in TLS; the certificate is checked against it all the same.
function tlsOfHost(host, {ca, cert, key, passphrase, serverName} = {}) {
  const servername = serverName ?? (net.isIP(host) ? undefined : host);
  const secureContext = tls.createSecureContext({ca, cert, key, passphrase});
  return {secureContext, ...(servername === undefined ? {} : {servername})};
}

// One connection. `on` is told of what happens: opened(), message(id, frameBytes), closed(reason), and whenever bytes have
// arrived: bytes(number), of the message that is not complete yet (each has another), or 0.
class Pipe {
  #socket;
  #on;
  #ipc;
  #messageMax;
  #timer;
  #chunks = [];
  #size = 0;
  #wanted = GREETING.length;
  #take = this.#takeGreeting;
  #reason = 'the connection was lost';
  #corked = false;
  #begun = 0; // messages, whose length was read
  #isOpen = false; // greeted
  #controls = 0; // frames of the connection that are not written yet

  constructor(target, maxMessageBytes, on) {
    this.#on = on;
    this.#ipc = target.ipc === true;
    this.#messageMax = maxMessageBytes + FRAME_ROOM;
    this.#timer = setTimeout(() => this.destroy('no connection in time'), CONNECT_MS);
    const socket = this.#socket = target.tls ? tls.connect(target.options) : net.connect(target.options);
    socket.setNoDelay(true);
    socket.setKeepAlive(true, 60000);
    socket.on(target.tls ? 'secureConnect' : 'connect', () => socket.write(GREETING));
    socket.on('data', (chunk) => this.#receive(chunk));
    socket.on('end', () => socket.destroy());
    socket.on('error', (error) => { this.#reason = error.message || error.code; });
    socket.on('close', () => this.#closed());
  }

  #closed() {
    clearTimeout(this.#timer);
    this.#take = null;
    this.#on.closed(this.#reason);
  }

  // `closed` follows.
  destroy(reason) {
    if (this.#socket.destroyed)
      return;
    this.#reason = reason;
    this.#take = null;
    this.#socket.destroy();
  }

  // ---- sending

  #cork() {
    if (this.#corked)
      return;
    this.#corked = true;
    this.#socket.cork();
    process.nextTick(() => {
      this.#corked = false;
      this.#socket.uncork();
    });
  }

  // isControl: the server can make us send it, so that it must not be able to make us keep it.
  send(id, frame, isControl) {
    if (this.#socket.destroyed)
      return;
    if (isControl && ++this.#controls > CONTROL_MAX) {
      this.destroy('the server does not read');
      return;
    }
    const mark = this.#ipc ? 1 : 0;
    const head = Buffer.alloc(mark + 8 + ID_BYTES, IPC_MARK);
    head.writeBigUInt64BE(BigInt(ID_BYTES + frame.length), mark);
    head.writeUInt32BE(id, mark + 8);
    this.#cork();
    this.#socket.write(head);
    this.#socket.write(frame, isControl ? () => { this.#controls--; } : undefined);
  }

  // ---- receiving

  #receive(chunk) {
    this.#chunks.push(chunk);
    this.#size += chunk.length;
    while (this.#take && this.#size >= this.#wanted)
      this.#take(this.#cut(this.#wanted));
    if (this.#isOpen && this.#take)
      this.#on.bytes(this.#take === this.#takeBody ? this.#begun : 0);
  }

  #cut(size) {
    const whole = this.#chunks[0].length >= size ? this.#chunks[0] : Buffer.concat(this.#chunks);
    if (whole !== this.#chunks[0])
      this.#chunks = [whole];
    if (whole.length === size)
      this.#chunks.shift();
    else
      this.#chunks[0] = whole.subarray(size);
    this.#size -= size;
    return whole.subarray(0, size);
  }

  #takeGreeting(bytes) {
    if (!bytes.equals(EXPECTED)) {
      this.destroy('the other side is no nrpc server');
      return;
    }
    clearTimeout(this.#timer);
    this.#expectHead();
    this.#isOpen = true;
    this.#on.opened();
  }

  #expectHead() {
    this.#wanted = this.#ipc ? 9 : 8;
    this.#take = this.#takeHead;
  }

  #takeHead(bytes) {
    const size = bytes.readBigUInt64BE(bytes.length - 8);
    if ((this.#ipc && bytes[0] !== IPC_MARK) || size < ID_BYTES || size > this.#messageMax) {
      this.destroy(`a message of ${size} bytes, or a malformed one`);
      return;
    }
    this.#wanted = Number(size);
    this.#begun++;
    this.#take = this.#takeBody;
  }

  #takeBody(bytes) {
    const id = bytes.readUInt32BE(0);
    this.#expectHead();
    if (id < CONNECTION_ID)
      this.destroy('a message without a request id');
    else
      this.#on.message(id, bytes.subarray(ID_BYTES));
  }
}

module.exports = {CONNECTION_ID, Pipe, parseUrl};
