import { afterAll, beforeAll, expect, test } from 'vitest';
import { encodeGossip } from '../../src/lib/msgpack.ts';
import { encodeAlive } from '../../src/memberlist/messages.ts';
import { encodeUserStream } from '../../src/memberlist/stream.ts';
import { encodeTagFilter } from '../../src/serf/filters.ts';
import { type AgentProcess, TestCluster } from '../support/cluster.ts';
import { eventually } from '../support/processes.ts';
import { isAlive, Rogue, counters, operatorKey } from './rogue.ts';

const RULES = `
  - id: basics
    effect: allow
    operators: ["group:sre"]
    commands:
      - { program: echo, positionals: { max: 60, match: ["any:4096"] } }
      - { program: sleep, argv: ["int:1..10000"] }
`;
const cluster = new TestCluster();
let web1: AgentProcess;
let rogue: Rogue;
beforeAll(async () => {
  await cluster.operator();
  web1 = await cluster.start({ name: 'web1', tags: { role: 'web' }, policy: cluster.addPolicy('p', RULES) });
  rogue = await Rogue.join(cluster, web1);
});
afterAll(async () => { await rogue.leave(); await cluster.stop(); });

async function check(what: string) {
  const t = performance.now();
  const run = await cluster.fanout(['echo hi', '--node', 'web1', '--timeout', '20s']);
  console.log(what, isAlive(web1), run.code, (performance.now() - t).toFixed(0), run.stderr, isAlive(web1) ? JSON.stringify(await counters(cluster, web1)) : web1.log().slice(-1500));
  if (!isAlive(web1)) { cluster.agents.length = 0; web1 = await cluster.start({ name: 'web1', tags: { role: 'web' }, policy: cluster.addPolicy('p', RULES) }); await rogue.leave(); rogue = await Rogue.join(cluster, web1); }
}
test('probe', async () => {
  await check('base');
  const tx = { a: 1 };
  rogue.query(web1, new Uint8Array(3), { port: 0 });
  await check('port0');
  rogue.query(web1, new Uint8Array(3), { addr: new Uint8Array(16).fill(1) });
  await check('v6');
  const re = encodeTagFilter('role', '(.*){1000}'.repeat(90));
  rogue.query(web1, new Uint8Array(3), { name: 'x', filters: [re] });
  await check('regex');
  rogue.packet(web1, encodeAlive({ incarnation: 1, node: 'n'.repeat(900), addr: Uint8Array.of(127,0,0,66), port: 1, meta: new Uint8Array(500), vsn: Uint8Array.of(1,5,2,2,5,5) }));
  await check('long name');
  const q = rogue.queryBytes(Buffer.from('n'.repeat(900)), { name: '_serf_conflict' });
  const s = await rogue.dial(web1);
  s.write(rogue.sealed(encodeUserStream(q)));
  await new Promise((r) => s.once('close', r));
  await check('conflict stream');
}, 120000);
