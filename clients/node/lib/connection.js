// SPDX-License-Identifier: Apache-2.0
// connection.js: one connection of a channel, from its dialing to its end, and the calls on it.
'use strict';

const {Kind, decodeFrame, encodeFrame, payloadsOf} = require('./frame');
const {Link} = require('./link');
const {StatusCode} = require('./status');
const {CONNECTION_ID, Pipe} = require('./transport');

const GOODBYE_MS = 500; // for the other's answer
const LONG_MS = 500; // a message that takes longer is acknowledged while it arrives
const HELD_PER_CALL = 4; // frames that may wait for acknowledgements
const HELD_LEAST = 1024;

class Connection {
  #channel;
  #options;
  #pipe;
  #link;
  #nextId = 0;
  #heardAt = 0;
  #asked = false; // for a sign of life
  #keepaliveTimer;
  #goodbyeTimer;
  #arriving = 0; // the number of the message that is not complete
  #arrivingSince = 0; // since when, or since it was acknowledged on its way
  #openedAt = Infinity;
  #hasAnswered = false; // a call

  calls = new Map(); // by their ids
  writers = new Set(); // calls with messages that wait for room
  isOpen = false;
  wasOpen = false;
  isLeaving = false; // no more calls

  // The channel is told of connectionOpened(connection), connectionDrains(connection), connectionLost(connection, reason), and
  // of the room for calls: pump().
  constructor(channel, target) {
    this.#channel = channel;
    this.#options = channel.options;
    this.#link = new Link((id, frame) => this.#emit(id, frame));
    this.#pipe = new Pipe(target, this.#options.maxMessageBytes, {
      opened: () => this.#opened(),
      message: (id, bytes) => this.#take(id, decodeFrame(bytes)),
      bytes: (number) => this.#hear(number),
      closed: (reason) => this.#closed(reason),
    });
  }

  // Whether it was worth connecting: the pauses between attempts begin anew.
  get wasUseful() {
    return this.#hasAnswered || performance.now() - this.#openedAt >= this.#options.reconnectMaxMs;
  }

  isUsable() {
    return this.isOpen && !this.isLeaving && this.calls.size < this.#options.maxOutstanding;
  }

  // ---- sending

  #emit(id, frame) {
    if (frame.deadline !== undefined) // what remains of it when it is sent
      frame.timeoutUs = Math.max(1, Math.ceil((frame.deadline - performance.now()) * 1000));
    this.#pipe.send(id, encodeFrame(frame), id === CONNECTION_ID || frame.kind === Kind.CANCEL);
  }

  hasRoom() {
    return this.#link.hasRoom();
  }

  send(id, frame) {
    this.#link.send(id, frame);
    if (this.#link.heldCount > HELD_LEAST + HELD_PER_CALL * this.#options.maxOutstanding)
      this.#pipe.destroy('the server acknowledges nothing');
  }

  #resumeWriters() {
    for (const call of this.writers) { // whoever wants to go on joins again, at the end
      if (!this.#link.hasRoom())
        return;
      this.writers.delete(call);
      call.writeSome(1);
    }
  }

  // ---- calls

  #newId() {
    do
      this.#nextId = (this.#nextId + 1) % CONNECTION_ID;
    while (this.#nextId === 0 || this.calls.has((CONNECTION_ID | this.#nextId) >>> 0));
    return (CONNECTION_ID | this.#nextId) >>> 0;
  }

  place(call) {
    const id = this.#newId();
    this.calls.set(id, call);
    if (this.calls.size === 1) {
      this.#heardAt = performance.now(); // the silence before does not count
      this.#asked = false;
      this.#armKeepalive(this.#options.keepaliveMs);
    }
    call.placed(this, id);
  }

  // The call is no longer on this connection. isCancelled: the server does not know that yet.
  release(call, isCancelled) {
    const wasUnsent = this.#link.forget(call.id);
    this.calls.delete(call.id);
    this.writers.delete(call);
    if (isCancelled && !wasUnsent)
      this.send(call.id, {kind: Kind.CANCEL});
    if (this.calls.size > 0)
      return;
    clearTimeout(this.#keepaliveTimer);
    if (this.isLeaving)
      this.sayGoodbye();
  }

  failAll(code, reason) {
    for (const call of [...this.calls.values()])
      this.#channel.endAttempt(call, {code, message: `${this.#channel.url}: ${reason}`});
  }

  // ---- receiving

  // Every byte is a sign of life. The server's PING waits behind the long message that it writes: it gets a sign of life
  // unasked, as long as the message moves on.
  #hear(number) {
    const now = this.#heardAt = performance.now();
    this.#asked = false;
    if (number === 0 || number !== this.#arriving) {
      this.#arriving = number;
      this.#arrivingSince = now;
    } else if (now - this.#arrivingSince >= LONG_MS) {
      this.#arrivingSince = now;
      this.#link.say(Kind.ACK);
    }
  }

  #take(id, frame) {
    this.#heardAt = performance.now();
    this.#asked = false;
    this.#link.heard(frame);
    if (id === CONNECTION_ID && frame.kind === Kind.BATCH)
      this.#takeBatch(frame);
    else
      this.#takeOne(id, frame);
    this.#resumeWriters();
    this.#channel.pump();
    this.#link.acknowledge();
  }

  #takeBatch(batch) {
    for (const payload of payloadsOf(batch)) {
      if (payload.length < 4)
        return;
      this.#takeOne(payload.readUInt32BE(0), decodeFrame(payload.subarray(4)));
    }
  }

  #takeOne(id, frame) {
    if (id === CONNECTION_ID)
      this.#takeOwn(frame);
    else
      this.#takeOfCall(id, frame);
  }

  #takeOwn(frame) {
    if (frame.kind === Kind.PING) {
      this.#link.say(Kind.ACK);
    } else if (frame.kind === Kind.DRAIN) {
      this.isLeaving = true;
      this.#channel.connectionDrains(this);
      if (this.calls.size === 0)
        this.sayGoodbye();
    } else if (frame.kind === Kind.GOODBYE) {
      this.#takeGoodbye();
    }
  }

  #takeGoodbye() {
    if (this.#link.saidGoodbye) {
      this.#pipe.destroy('the connection was closed'); // both have said it
      return;
    }
    this.isLeaving = true;
    this.failAll(StatusCode.UNAVAILABLE, 'the server closes');
    this.sayGoodbye();
  }

  #takeOfCall(id, frame) {
    const call = this.calls.get(id);
    this.#hasAnswered ||= call !== undefined && frame.kind === Kind.RESPONSE;
    if (call)
      call.take(frame);
    else if (frame.kind === Kind.MESSAGE) // of a call that has ended here
      this.send(id, {kind: Kind.CANCEL});
  }

  // ---- life

  #opened() {
    this.isOpen = this.wasOpen = true;
    this.#openedAt = performance.now();
    this.#channel.connectionOpened(this);
  }

  #closed(reason) {
    this.isOpen = false;
    this.isLeaving = true;
    this.#link.saidGoodbye = true; // nothing more over this one
    clearTimeout(this.#goodbyeTimer);
    this.failAll(StatusCode.UNAVAILABLE, reason);
    clearTimeout(this.#keepaliveTimer);
    this.#channel.connectionLost(this, reason);
  }

  sayGoodbye() {
    this.isLeaving = true;
    if (!this.isOpen) {
      this.#pipe.destroy('the channel was closed');
      return;
    }
    if (this.#link.saidGoodbye)
      return;
    this.#link.say(Kind.GOODBYE);
    this.#goodbyeTimer = setTimeout(() => this.#pipe.destroy('the server does not say goodbye'), GOODBYE_MS);
  }

  // ---- keepalive, while there are calls

  #armKeepalive(ms) {
    clearTimeout(this.#keepaliveTimer);
    if (this.#options.keepaliveMs > 0)
      this.#keepaliveTimer = setTimeout(() => this.#keepaliveTick(), Math.max(1, Math.ceil(ms)));
  }

  #keepaliveTick() {
    const {keepaliveMs, keepaliveTimeoutMs} = this.#options;
    const silentMs = performance.now() - this.#heardAt;
    if (silentMs >= keepaliveMs && !this.#asked) {
      this.#asked = true;
      this.#link.say(Kind.PING);
    }
    if (this.#asked && silentMs >= keepaliveMs + keepaliveTimeoutMs)
      this.#pipe.destroy('the server gives no sign of life');
    else
      this.#armKeepalive(keepaliveMs + (this.#asked ? keepaliveTimeoutMs : 0) - silentMs);
  }
}

module.exports = {Connection};
