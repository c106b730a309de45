// npm run bench [-- spread memory throughput startup session sandbox]: the figures of the README, as ratios in one run on one machine.
import { memory } from './memory.mjs';
import { sandbox } from './sandbox.mjs';
import { session } from './session.mjs';
import { spread } from './spread.mjs';
import { startup } from './startup.mjs';
import { throughput } from './throughput.mjs';

const figures = { startup, session, sandbox, spread, memory, throughput };
const wanted = process.argv.slice(2);
for (const [name, measure] of Object.entries(figures)) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  console.log(`\n${name}`);
  await measure();
}
