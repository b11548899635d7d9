// SPDX-License-Identifier: Apache-2.0
// call.js: one call: what the program holds of it, and its part of the protocol.
//
// The channel moves a call from place to place (in line, on a connection, at rest before the next attempt) and
// ends it exactly once.
'use strict';

const {Kind, payloadsOf} = require('./frame');
const {RpcError, StatusCode} = require('./status');

const FIRST_CREDIT = 65536; // bytes that a client may send before it was granted any
const MESSAGE_COST = 16; // bytes that a message costs besides its own
const TIMEOUT_MAX_MS = 1e12; // 31 years: longer is for ever
const WRITES_MAX = 1024; // messages that may wait to be sent

// What the frame that ends a call says.
function outcomeOf(frame) {
  return {
    code: frame.status, message: frame.statusText, details: frame.statusDetails, headers: frame.headers,
    trailers: frame.trailers, notBegun: frame.notBegun,
  };
}

class Call {
  #waiters = [];

  // channel: whom to tell. request: the packed message, or null. metadata: a list of entries.
  constructor(channel, method, request, metadata, {timeoutMs, waitForReady = false, signal} = {}) {
    this.channel = channel;
    this.method = method;
    this.request = request;
    this.metadata = metadata;
    this.deadline = performance.now() + ((timeoutMs ?? Infinity) > TIMEOUT_MAX_MS ? Infinity : timeoutMs);
    this.waitForReady = waitForReady;
    this.connectBy = Infinity;
    this.restUntil = 0;
    this.timer = undefined;
    this.connection = null;
    this.id = 0; // on the connection
    this.attempts = 0;
    this.beginBy = 0; // when a server must have begun it, after one that drains has not
    this.headers = null;
    this.outcome = null; // how it ended
    this.signal = signal;
    this.onAbort = () => this.cancel();
    signal?.addEventListener('abort', this.onAbort, {once: true});
  }

  cancel() {
    this.channel.giveUp(this, StatusCode.CANCELLED, 'the call was cancelled');
  }

  changed() {
    return new Promise((resolve) => { this.#waiters.push(resolve); });
  }

  wake() {
    for (const resolve of this.#waiters.splice(0))
      resolve();
  }

  error() {
    const {code, message, details, trailers} = this.outcome;
    return new RpcError(code, message, {headers: this.headers, trailers, details});
  }

  get trailers() {
    return this.outcome?.trailers ?? null;
  }

  // ---- for the channel and the connection

  requestFrame() {
    return {
      kind: Kind.REQUEST,
      method: this.method.path,
      deadline: this.deadline === Infinity ? undefined : this.deadline,
      metadata: this.metadata,
      payload: this.request,
    };
  }

  placed(connection, id) {
    this.connection = connection;
    this.id = id;
    this.attempts++;
    connection.send(id, this.requestFrame());
  }

  fail(text) {
    this.channel.giveUp(this, StatusCode.INTERNAL, `${this.method.path}: ${text}`);
  }

  finish(outcome) {
    this.signal?.removeEventListener('abort', this.onAbort);
    this.outcome = {trailers: Object.create(null), ...outcome};
    this.headers ??= outcome.headers ?? Object.create(null);
    this.wake();
  }

  // What the RESPONSE of a server that does not stream says: a good end has one message, as `payload`.
  answerOf(frame) {
    const outcome = outcomeOf(frame);
    if (outcome.code !== StatusCode.OK)
      return outcome;
    const payloads = payloadsOf(frame);
    const {value: payload, done} = payloads.next();
    if (done || !payloads.next().done)
      return {...outcome, code: StatusCode.INTERNAL, message: `${this.method.path}: an answer without its one message`};
    return {...outcome, payload: Buffer.from(payload)};
  }
}

// A promise of its response, and more.
class UnaryCall extends Call {
  #promise = this.#result();

  async #result() {
    while (!this.outcome)
      await this.changed();
    if (this.outcome.code !== StatusCode.OK)
      throw this.error();
    try {
      return this.method.responseType.decode(this.outcome.payload);
    } catch {
      throw new RpcError(StatusCode.INTERNAL, `${this.method.path}: the answer is no ${this.method.responseType.name}`);
    }
  }

  constructor(...args) {
    super(...args);
    this.#promise.catch(() => {}); // whoever does not wait does not want to know
  }

  then(...args) {
    return this.#promise.then(...args);
  }

  catch(...args) {
    return this.#promise.catch(...args);
  }

  finally(...args) {
    return this.#promise.finally(...args);
  }

  get canRetry() {
    return this.method.idempotent;
  }

  take(frame) {
    if (frame.kind === Kind.RESPONSE)
      this.channel.endAttempt(this, this.answerOf(frame));
    else if (frame.kind === Kind.MALFORMED)
      this.fail('a malformed answer');
    else if (frame.kind === Kind.MESSAGE || frame.kind === Kind.CREDIT)
      this.fail('the server streams, and the client does not expect it');
  }
}

class StreamCall extends Call {
  #messages = []; // received, packed
  #granted; // bytes that the server may still send
  #taken = 0; // bytes that were read and not granted anew
  #credit = FIRST_CREDIT;
  #writes = []; // {payload, resolve, reject}
  #writeEnded;
  #halfClosed;

  constructor(...args) {
    super(...args);
    this.#granted = this.channel.options.streamWindowBytes;
    this.#writeEnded = this.#halfClosed = !this.method.clientStreams;
  }

  get canRetry() {
    return false;
  }

  // ---- sending

  write(message) {
    const written = this.#write(message);
    written.catch(() => {}); // reading says how the call ended
    return written;
  }

  async #write(message) {
    if (this.#writeEnded)
      throw new RpcError(StatusCode.FAILED_PRECONDITION, `${this.method.path}: no more messages can be sent`);
    const payload = this.channel.pack(this.method.requestType, message);
    if (this.outcome)
      throw this.#writeError();
    if (this.#writes.length >= WRITES_MAX)
      throw new RpcError(StatusCode.RESOURCE_EXHAUSTED, `${this.method.path}: ${WRITES_MAX} messages wait to be sent`);
    await new Promise((resolve, reject) => {
      this.#writes.push({payload, resolve, reject});
      this.writeSome(Infinity);
    });
  }

  #writeError() {
    if (this.outcome.code !== StatusCode.OK)
      return this.error();
    return new RpcError(StatusCode.CANCELLED, 'the server has answered and wants no more');
  }

  end() {
    this.#writeEnded = true;
    this.writeSome(0);
  }

  // Sends up to `count` of the messages that wait, and what follows the last.
  writeSome(count) {
    const connection = this.connection;
    if (!connection)
      return;
    for (; count > 0 && this.#writes.length > 0 && this.#credit > 0 && connection.hasRoom(); count--) {
      const {payload, resolve} = this.#writes.shift();
      this.#credit -= payload.length + MESSAGE_COST;
      connection.send(this.id, {kind: Kind.MESSAGE, payload});
      resolve();
    }
    if (this.#writes.length > 0 && this.#credit > 0)
      connection.writers.add(this); // only the connection lacks room
    if (this.#writes.length > 0 || !this.#writeEnded || this.#halfClosed)
      return;
    this.#halfClosed = true;
    connection.send(this.id, {kind: Kind.HALF_CLOSE});
  }

  // ---- receiving

  async read() {
    while (this.#messages.length === 0 && !this.outcome)
      await this.changed();
    if (this.#messages.length > 0)
      return this.#unpack(this.#messages.shift());
    if (this.outcome.code !== StatusCode.OK)
      throw this.error();
    return null;
  }

  #unpack(payload) {
    this.#taken += payload.length + MESSAGE_COST;
    if (this.connection && this.#taken >= this.channel.options.streamWindowBytes / 2) {
      this.connection.send(this.id, {kind: Kind.CREDIT, credit: this.#taken});
      this.#granted += this.#taken;
      this.#taken = 0;
    }
    try {
      return this.method.responseType.decode(payload);
    } catch {
      const text = `a message is no ${this.method.responseType.name}`;
      this.fail(text);
      throw new RpcError(StatusCode.INTERNAL, `${this.method.path}: ${text}`);
    }
  }

  async result() {
    const message = await this.read();
    if (message === null)
      throw new RpcError(StatusCode.FAILED_PRECONDITION, `${this.method.path}: its messages have been read`);
    return message;
  }

  async *[Symbol.asyncIterator]() {
    try {
      for (let message; (message = await this.read()) !== null;)
        yield message;
    } finally {
      this.cancel();
    }
  }

  // ---- for the channel and the connection

  requestFrame() {
    return {...super.requestFrame(), credit: this.#granted};
  }

  placed(connection, id) {
    super.placed(connection, id);
    this.writeSome(Infinity);
  }

  take(frame) {
    if (frame.kind === Kind.MESSAGE)
      this.#takeMessages(frame);
    else if (frame.kind === Kind.RESPONSE)
      this.#takeResponse(frame);
    else if (frame.kind === Kind.CREDIT)
      this.#takeCredit(frame.credit);
    else if (frame.kind === Kind.MALFORMED)
      this.fail('a malformed frame');
  }

  #takeMessages(frame) {
    if (!this.method.serverStreams) {
      this.fail('the server streams, and the client does not expect it');
      return;
    }
    for (const payload of payloadsOf(frame)) {
      if (this.#granted <= 0) {
        this.fail('more messages than were granted');
        return;
      }
      this.#granted -= payload.length + MESSAGE_COST;
      this.#messages.push(Buffer.from(payload)); // a copy: the frame may be much larger
    }
    this.headers ??= frame.headers;
    this.wake();
  }

  #takeResponse(frame) {
    const outcome = this.method.serverStreams ? outcomeOf(frame) : this.answerOf(frame);
    if (outcome.payload)
      this.#messages.push(outcome.payload);
    this.channel.endAttempt(this, outcome);
  }

  #takeCredit(credit) {
    this.#credit += credit;
    this.writeSome(Infinity);
  }

  finish(outcome) {
    super.finish(outcome);
    for (const {reject} of this.#writes.splice(0))
      reject(this.#writeError());
  }
}

module.exports = {StreamCall, UnaryCall};
