// SPDX-License-Identifier: Apache-2.0
// retry.test.js: backoff, pushback, the budget.
'use strict';

const assert = require('node:assert/strict');
const {test} = require('node:test');
const {RetryBudget, pushbackMs, retryWaitMs} = require('../lib/retry');
const {StatusCode} = require('../lib/status');

const options = {maxAttempts: 4, backoffMs: 50, backoffMaxMs: 150};
const {UNAVAILABLE, RESOURCE_EXHAUSTED, INTERNAL, OK} = StatusCode;

const waits = [
  {name: 'the first', attempts: 1, code: UNAVAILABLE, pushback: 0, random: 0.5, ms: 50},
  {name: 'the second', attempts: 2, code: UNAVAILABLE, pushback: 0, random: 0.5, ms: 100},
  {name: 'at most', attempts: 3, code: UNAVAILABLE, pushback: 0, random: 0.5, ms: 150},
  {name: 'the least jitter', attempts: 1, code: UNAVAILABLE, pushback: 0, random: 0, ms: 40},
  {name: 'the most jitter', attempts: 1, code: UNAVAILABLE, pushback: 0, random: 1, ms: 60},
  {name: 'too many attempts', attempts: 4, code: UNAVAILABLE, pushback: 0, random: 0, ms: -1},
  {name: 'the server says when', attempts: 1, code: UNAVAILABLE, pushback: 7, random: 0, ms: 7},
  {name: 'the server says never', attempts: 1, code: UNAVAILABLE, pushback: -1, random: 0, ms: -1},
  {name: 'overload, and when', attempts: 1, code: RESOURCE_EXHAUSTED, pushback: 9, random: 0, ms: 9},
  {name: 'overload, and not when', attempts: 1, code: RESOURCE_EXHAUSTED, pushback: 0, random: 0, ms: -1},
  {name: 'another error', attempts: 1, code: INTERNAL, pushback: 0, random: 0, ms: -1},
];
for (const {name, attempts, code, pushback, random, ms} of waits)
  test(`wait: ${name}`, () => {
    assert.equal(Math.round(retryWaitMs(new RetryBudget(), options, attempts, code, pushback, random)), ms);
  });

test('below half of the budget nothing is retried', () => {
  const budget = new RetryBudget();
  for (let i = 0; i < 50; i++)
    budget.count(UNAVAILABLE);
  assert.equal(budget.allows(), true);
  budget.count(UNAVAILABLE);
  assert.equal(budget.allows(), false);
  for (let i = 0; i < 10; i++)
    budget.count(OK);
  assert.equal(budget.allows(), true);
});

test('pushback', () => {
  const read = (...values) => pushbackMs({'retry-after-ms': values});
  assert.equal(pushbackMs({}), 0);
  assert.equal(read('120'), 120);
  assert.equal(read('-1'), -1);
  assert.equal(read('soon'), -1);
  assert.equal(read('1', '2'), 1);
});
