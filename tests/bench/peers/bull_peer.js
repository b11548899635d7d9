// SPDX-License-Identifier: Apache-2.0
// bull_peer.js: no-op jobs through BullMQ.
//
//     bull_peer.js worker PORT          works until it is killed, 100 jobs at once
//     bull_peer.js client PORT JOBS     adds batches of 1,000, waits until none is left; prints jobs per second
'use strict';
const { Queue, Worker } = require('bullmq');

const [role, port, jobs] = process.argv.slice(2);
const connection = { host: '127.0.0.1', port: Number(port), maxRetriesPerRequest: null };
const data = { param: 'x'.repeat(100) };

async function submit(total) {
  const queue = new Queue('noop', { connection });
  await queue.waitUntilReady();
  const start = process.hrtime.bigint();
  for (let i = 0; i < total; i += 1000) await queue.addBulk(Array.from({ length: 1000 }, () => ({ name: 'n', data })));
  for (let left = 1; left;) {
    const counts = await queue.getJobCounts('waiting', 'active');
    left = counts.waiting + counts.active;
    if (left) await new Promise((resolve) => setTimeout(resolve, 5));
  }
  console.log(Math.round(total * 1e9 / Number(process.hrtime.bigint() - start)));
  process.exit(0);
}

if (role === 'worker') {
  new Worker('noop', async () => null, { connection, concurrency: 100 });
} else {
  submit(Number(jobs)).catch((error) => { console.error(error); process.exit(1); });
}
