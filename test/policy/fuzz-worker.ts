import { parentPort, workerData } from 'node:worker_threads';
import { fuzz } from './fuzz.ts';

// One share of `npm run fuzz`: rounds of its own seeds, reported one by one so that a long run shows where it is.
for (const { seed, cases } of workerData.rounds) parentPort?.postMessage(fuzz(seed, cases));
