// SPDX-License-Identifier: Apache-2.0
// retry.js: whether and when a failed call is tried again. Time and chance are arguments.
'use strict';

const {StatusCode} = require('./status');

const TENTHS_MAX = 1000; // of a token
const FAILURE_COSTS = 10;
const SUCCESS_EARNS = 1;
const JITTER = 0.2;

// Against retry storms, as gRPC's throttling: below half of the tokens nothing is retried.
class RetryBudget {
  #tenths = TENTHS_MAX;

  count(code) {
    if (code === StatusCode.OK)
      this.#tenths = Math.min(TENTHS_MAX, this.#tenths + SUCCESS_EARNS);
    else if (code === StatusCode.UNAVAILABLE)
      this.#tenths = Math.max(0, this.#tenths - FAILURE_COSTS);
  }

  allows() {
    return this.#tenths >= TENTHS_MAX / 2;
  }
}

// What the trailer retry-after-ms says: 0: nothing; below 0: never. As in gRPC, what cannot be read means never.
function pushbackMs(trailers) {
  const value = trailers['retry-after-ms']?.[0];
  if (value === undefined)
    return 0;
  return /^\d{1,9}$/.test(value) ? Number(value) : -1;
}

// An exponential pause with jitter: before the attempt after so many; random: 0..1.
function backoffMs(minMs, maxMs, attempts, random) {
  const ms = Math.min(maxMs, minMs * 2 ** Math.min(attempts - 1, 30));
  return ms * (1 - JITTER + 2 * JITTER * random);
}

// How long to wait before the next attempt; below 0: there is none. attempts: so far.
function retryWaitMs(budget, options, attempts, code, pushback, random) {
  const may = code === StatusCode.UNAVAILABLE || (code === StatusCode.RESOURCE_EXHAUSTED && pushback > 0);
  if (!may || pushback < 0 || attempts >= options.maxAttempts || !budget.allows())
    return -1;
  return pushback > 0 ? pushback : backoffMs(options.backoffMs, options.backoffMaxMs, attempts, random);
}

module.exports = {RetryBudget, backoffMs, pushbackMs, retryWaitMs};
