// SPDX-License-Identifier: Apache-2.0
// channel.js: calls to a server, or to one of several: they wait in line for a connection, keep their deadlines, are tried
// again.
//
// One connection takes calls at a time, dialed in the background, and again whenever it was lost or its server drains: to
// the next server, if there are several. Beside it live those that have calls to end.
'use strict';

const {Connection} = require('./connection');
const {entriesOf} = require('./metadata');
const {RetryBudget, backoffMs, pushbackMs, retryWaitMs} = require('./retry');
const {RpcError, StatusCode} = require('./status');
const {parseUrl} = require('./transport');

const TIMER_MAX = 2 ** 31 - 1; // ms; setTimeout takes no more
const WINDOW_MAX = 1 << 30;
const OUTSTANDING_MAX = 65536;

const DEFAULTS = {
  token: undefined,
  tls: undefined,
  maxMessageBytes: 4 << 20,
  maxOutstanding: 1024,
  maxWaiting: 4096,
  connectTimeoutMs: 2000,
  reconnectMinMs: 20,
  reconnectMaxMs: 1000,
  keepaliveMs: 10000,
  keepaliveTimeoutMs: 5000,
  streamWindowBytes: 256 << 10,
  retry: {maxAttempts: 4, backoffMs: 50, backoffMaxMs: 2000},
};

// What was given, and the defaults for the rest.
function merge(defaults, given = {}) {
  const options = {...defaults};
  for (const [name, value] of Object.entries(given)) {
    if (!(name in defaults))
      throw new TypeError(`a channel has no option "${name}"`);
    options[name] = value ?? defaults[name];
  }
  return options;
}

// Left out: no deadline; 0 and less: it has passed.
function checkTimeout(timeoutMs) {
  if (timeoutMs !== undefined && timeoutMs !== null && (typeof timeoutMs !== 'number' || Number.isNaN(timeoutMs)))
    throw new TypeError(`timeoutMs: ${String(timeoutMs)} is no number of milliseconds`);
}

const within = (min, value, max) => Math.min(max, Math.max(min, value));

function withDefaults(given) {
  const options = merge(DEFAULTS, given);
  options.retry = merge(DEFAULTS.retry, given.retry);
  options.maxOutstanding = within(1, options.maxOutstanding, OUTSTANDING_MAX);
  options.streamWindowBytes = within(1, options.streamWindowBytes, WINDOW_MAX);
  return options;
}

class Channel {
  #targets;
  #target; // the index of the one that is connected, or was dialed last
  #line = new Set(); // calls that wait for a connection with room, in order
  #resting = new Set(); // calls that wait for their next attempt
  #connection = null; // the one that takes calls, or is being dialed
  #leaving = new Set(); // those that take no more calls
  #dialTimer;
  #failures = 0; // to connect, one after another
  #lastError = '';
  #budget = new RetryBudget();
  #closing = null; // a promise
  #closed;

  constructor(url, options = {}) {
    this.url = url;
    this.options = withDefaults(options);
    this.#targets = url.split(',').map((one) => parseUrl(one, this.options.tls));
    this.#target = Math.floor(Math.random() * this.#targets.length);
    this.#dial();
  }

  get isConnected() {
    return this.#connection !== null && this.#connection.isOpen && !this.#connection.isLeaving;
  }

  // ---- the connection

  #dial() {
    this.#connection = new Connection(this, this.#targets[this.#target]);
  }

  connectionOpened(connection) {
    if (this.#closing)
      connection.sayGoodbye();
    else
      this.pump();
  }

  // The next is made immediately, beside the one that drains; unless that was good for nothing.
  connectionDrains(connection) {
    if (connection !== this.#connection)
      return;
    this.#leaving.add(connection);
    this.#replace(connection, 'the server drains', connection.wasUseful ? 0 : undefined);
  }

  connectionLost(connection, reason) {
    if (connection === this.#connection)
      this.#replace(connection, reason);
    this.#leaving.delete(connection);
    if (this.#closing && !this.#connection && this.#leaving.size === 0)
      this.#closed();
  }

  #replace({wasOpen, wasUseful}, reason, pauseMs) {
    const {options} = this;
    this.#connection = null;
    this.#target = (this.#target + 1) % this.#targets.length;
    this.#failures = wasUseful ? 1 : this.#failures + 1;
    this.#lastError = reason;
    if (this.#closing)
      return;
    if (wasOpen) // calls in line have as long again to wait for a connection
      for (const call of this.#line) {
        this.#restartConnectTimeout(call);
        this.#arm(call);
      }
    const waitMs = backoffMs(options.reconnectMinMs, options.reconnectMaxMs, this.#failures, Math.random());
    this.#dialTimer = setTimeout(() => this.#dial(), pauseMs ?? waitMs);
  }

  // ---- starting calls

  pack(type, message) {
    let bytes;
    try {
      const m = message instanceof type.ctor ? message : type.fromObject(message ?? {});
      bytes = type.encode(m).finish();
    } catch (error) {
      throw new RpcError(StatusCode.INVALID_ARGUMENT, `${type.name}: ${error.message}`);
    }
    if (bytes.length > this.options.maxMessageBytes)
      throw new RpcError(StatusCode.RESOURCE_EXHAUSTED,
        `${type.name}: ${bytes.length} bytes, and at most ${this.options.maxMessageBytes} can be sent`);
    return bytes;
  }

  #entries(metadata) {
    const entries = entriesOf(metadata);
    const {token} = this.options;
    if (token === undefined || entries.some(([key]) => key === 'authorization'))
      return entries;
    return entriesOf({...metadata, authorization: `Bearer ${typeof token === 'function' ? token() : token}`});
  }

  // Starts a call. A TypeError: its timeout is no time. request: what the program gave, or undefined if the client streams.
  call(CallType, method, request, options = {}) {
    let packed = null;
    let entries = [];
    let refused = null;
    checkTimeout(options.timeoutMs);
    try {
      packed = method.clientStreams ? null : this.pack(method.requestType, request);
      entries = this.#entries(options.metadata);
    } catch (error) {
      refused = {
        code: error instanceof RpcError ? error.code : StatusCode.INVALID_ARGUMENT, message: error.message,
      };
    }
    const call = new CallType(this, method, packed, entries, options);
    refused ??= this.#refusal(call);
    if (refused)
      call.finish(refused);
    else
      this.#join(call);
    return call;
  }

  #refusal(call) {
    if (call.deadline <= performance.now())
      return {
        code: StatusCode.DEADLINE_EXCEEDED, message: `${call.method.path}: the deadline had passed before the call began`,
      };
    if (call.signal?.aborted)
      return {code: StatusCode.CANCELLED, message: 'the call was cancelled'};
    if (this.#closing)
      return {code: StatusCode.CANCELLED, message: `${this.url}: the channel was closed`};
    if (this.#line.size >= this.options.maxWaiting)
      return {
        code: StatusCode.RESOURCE_EXHAUSTED, message: `${this.url}: ${this.#line.size} calls wait in line already`,
      };
    return null;
  }

  // ---- the line

  #join(call) {
    this.#restartConnectTimeout(call);
    this.#line.add(call);
    this.pump();
    this.#arm(call);
  }

  #restartConnectTimeout(call) {
    call.connectBy = call.waitForReady ? Infinity : performance.now() + this.options.connectTimeoutMs;
  }

  // Puts waiting calls on the wire.
  pump() {
    for (const call of this.#line) {
      if (this.#closing || !this.#connection?.isUsable())
        return;
      this.#line.delete(call);
      this.#connection.place(call);
      this.#arm(call);
    }
  }

  // ---- timers: one for each call

  #wakeAt(call) {
    if (this.#resting.has(call))
      return call.restUntil;
    const waitsForConnection = !call.connection && !this.isConnected;
    return waitsForConnection ? Math.min(call.connectBy, call.deadline) : call.deadline;
  }

  #arm(call) {
    clearTimeout(call.timer);
    const at = this.#wakeAt(call);
    const ms = Math.min(TIMER_MAX, Math.max(0, Math.ceil(at - performance.now())));
    if (at !== Infinity && !call.outcome)
      call.timer = setTimeout(() => this.#rang(call), ms);
  }

  #rang(call) {
    if (performance.now() < this.#wakeAt(call))
      this.#arm(call);
    else if (this.#resting.delete(call))
      this.#join(call);
    else
      this.#setOverdue(call);
  }

  #setOverdue(call) {
    const noConnection = !call.connection && !this.isConnected;
    const code = performance.now() >= call.deadline ? StatusCode.DEADLINE_EXCEEDED : StatusCode.UNAVAILABLE;
    const why = this.#lastError && `: ${this.#lastError}`;
    this.giveUp(call, code, noConnection ? `no connection to ${this.url}${why}`
      : `${call.method.path}: no answer from ${this.url} within the deadline`);
  }

  // ---- ends

  // On a connection: with what the server said, or because it was lost.
  endAttempt(call, outcome) {
    if (outcome.notBegun && outcome.code === StatusCode.UNAVAILABLE && this.#beginElsewhere(call))
      return;
    this.#budget.count(outcome.code);
    const pushback = pushbackMs(outcome.trailers ?? {});
    const waitMs = call.canRetry && !this.#closing
      ? retryWaitMs(this.#budget, this.options.retry, call.attempts, outcome.code, pushback, Math.random()) : -1;
    const restUntil = performance.now() + waitMs;
    if (waitMs < 0 || restUntil >= call.deadline) {
      this.#end(call, outcome, false);
      return;
    }
    call.connection.release(call, false);
    call.connection = null;
    call.restUntil = restUntil;
    this.#resting.add(call);
    this.#arm(call);
  }

  // A server that drains did not begin the call: it goes into the line again, unless its messages are gone, or no server has
  // begun it in the time that a connection may take.
  #beginElsewhere(call) {
    call.beginBy ||= performance.now() + this.options.connectTimeoutMs;
    if (call.method.clientStreams || this.#closing || performance.now() >= call.beginBy)
      return false;
    call.connection.release(call, false);
    call.connection = null;
    call.attempts--;
    this.#join(call);
    return true;
  }

  // From this side.
  giveUp(call, code, message) {
    if (call.outcome)
      return;
    this.#end(call, {code, message}, true);
    this.pump();
  }

  #end(call, outcome, isCancelled) {
    const {connection} = call;
    clearTimeout(call.timer);
    this.#line.delete(call);
    this.#resting.delete(call);
    call.connection = null;
    call.finish(outcome);
    connection?.release(call, isCancelled);
  }

  // Ends all calls with CANCELLED and says goodbye. The promise is kept when the connection is gone.
  close() {
    if (this.#closing)
      return this.#closing;
    this.#closing = new Promise((resolve) => { this.#closed = resolve; });
    clearTimeout(this.#dialTimer);
    for (const call of [...this.#line, ...this.#resting])
      this.giveUp(call, StatusCode.CANCELLED, `${this.url}: the channel was closed`);
    const connections = [...this.#leaving, ...(this.#connection ? [this.#connection] : [])];
    for (const connection of connections) {
      connection.failAll(StatusCode.CANCELLED, 'the channel was closed');
      connection.sayGoodbye();
    }
    if (connections.length === 0)
      this.#closed();
    return this.#closing;
  }
}

module.exports = {Channel};
