// SPDX-License-Identifier: Apache-2.0
// bee_peer.js: no-op jobs through bee-queue.
//
//     bee_peer.js worker PORT          works until it is killed, 100 jobs at once
//     bee_peer.js client PORT JOBS     saves batches of 1,000, waits for every success; prints jobs per second
'use strict';
const Queue = require('bee-queue');

const [role, port, jobs] = process.argv.slice(2);
const redis = { host: '127.0.0.1', port: Number(port) };
const param = 'x'.repeat(100);

async function submit(total) {
  const queue = new Queue('noop', { redis, isWorker: false, removeOnSuccess: true, storeJobs: false });
  await queue.ready();
  let done = 0;
  const all = new Promise((resolve) => queue.on('job succeeded', () => { if (++done === total) resolve(); }));
  const start = process.hrtime.bigint();
  for (let i = 0; i < total; i += 1000) {
    const errors = await queue.saveAll(Array.from({ length: 1000 }, () => queue.createJob({ param })));
    if (errors.size) throw new Error(`${errors.size} jobs were not saved`);
  }
  await all;
  console.log(Math.round(total * 1e9 / Number(process.hrtime.bigint() - start)));
  process.exit(0);
}

if (role === 'worker') {
  new Queue('noop', { redis, removeOnSuccess: true, getEvents: false }).process(100, async () => null);
} else {
  submit(Number(jobs)).catch((error) => { console.error(error); process.exit(1); });
}
