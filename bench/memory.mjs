// Resident memory and processor time of an idle agent, against a bare Node process with the same sockets, and Serf's.
import { spawn } from 'node:child_process';
import {
  cpuMs,
  fanoutCluster,
  hasProgram,
  median,
  mib,
  residentBytes,
  serfCluster,
  sleep,
} from './support.mjs';

const MEMBERS = 20;
const IDLE_MS = 30_000;

const BARE = `
const udp = require('node:dgram').createSocket('udp4'); udp.bind(0, '127.0.0.1');
require('node:net').createServer().listen(0, '127.0.0.1');
require('node:net').createServer().listen('\\0fanout-bench-' + process.pid);
`;

async function idle(cluster) {
  await sleep(10_000);
  const before = cluster.children.map(({ pid }) => cpuMs(pid));
  await sleep(IDLE_MS);
  const cpu = median(cluster.children.map(({ pid }, i) => cpuMs(pid) - before[i])) / (IDLE_MS / 1000);
  return { rss: median(cluster.children.map(({ pid }) => residentBytes(pid))), cpu };
}

export async function memory() {
  const bare = spawn(process.execPath, ['-e', BARE], { stdio: 'ignore' });
  await sleep(2000);
  const node = residentBytes(bare.pid);
  bare.kill();
  const rows = [
    { what: 'bare node, same sockets', memory: mib(node), 'against bare node': '1.00', 'cpu ms per s': '' },
  ];
  const clusters = [
    ['fanout agent', fanoutCluster],
    ...(hasProgram('serf') ? [['serf agent', serfCluster]] : []),
  ];
  for (const [what, start] of clusters) {
    const cluster = await start(MEMBERS);
    const { rss, cpu } = await idle(cluster);
    await cluster.stop();
    rows.push({
      what,
      memory: mib(rss),
      'against bare node': (rss / node).toFixed(2),
      'cpu ms per s': cpu.toFixed(1),
    });
  }
  console.table(rows);
}
