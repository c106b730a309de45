// A real five-node cluster on this machine, and the main job on it. With --keep the cluster stays up.
import { spawn, spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const keep = process.argv.includes('--keep');
const cli = fileURLToPath(new URL('../dist/fanout.js', import.meta.url));
const dir = mkdtempSync(join(tmpdir(), 'fanout-demo-'));
const control = (node) => join(dir, `${node}.sock`);
const env = { ...process.env, XDG_CONFIG_HOME: join(dir, 'config'), FANOUT_RPC_ADDR: control('web1') };
delete env.FANOUT_IDENTITY;
const agents = [];

const NODES = [
  { name: 'web1', role: 'web', policy: 'demo.yaml' },
  { name: 'web2', role: 'web', policy: 'demo.yaml' },
  { name: 'web3', role: 'web', policy: 'demo.yaml' },
  { name: 'web4', role: 'web', policy: 'no-ps.yaml' },
  { name: 'db1', role: 'db', policy: 'demo.yaml' },
];
const START_TIMEOUT_MS = 30_000;

function say(text = '') {
  process.stdout.write(`${text}\n`);
}

/** Runs the command line as a person would, shows it, and returns what it printed and its exit code. */
function fanout(args, { show = 'all' } = {}) {
  say(`$ fanout ${args.map((arg) => (/^[\w./:=@-]+$/.test(arg) ? arg : `"${arg}"`)).join(' ')}`);
  const stdio = show === 'all' ? ['ignore', 'inherit', 'inherit'] : ['ignore', 'pipe', 'inherit'];
  const { status, stdout } = spawnSync(process.execPath, [cli, ...args], { env, stdio });
  return { status, text: String(stdout ?? '').trim() };
}

function policy(publicLine, neverRules) {
  return `version: 1
environment: demo
operators:
  you: { key: "${publicLine}", groups: [demo] }
defaults:
  # An order of preference that this policy states itself: in a sandbox where the machine has one, else without.
  sandbox: [standard, none]
  dangerous: a demo on one machine, as whoever starts it
  limits: { timeout: 20s, output: 4MiB, concurrency: 8 }
rules:${neverRules}
  - id: look-around
    effect: allow
    readOnly: true
    operators: ["group:demo"]
    commands:
      - { program: ps, argv: [[ax, aux, "-ef"]] }
      - { program: df, flags: ["-h"], positionals: { max: 1, match: ["/", "path:/srv/**", "path:/var/**"] } }
      - { program: uptime, argv: [] }
`;
}

/** Starts an agent and waits until it has said where it gossips. Its words go to a file, which outlives this script. */
async function startAgent({ name, role, policy: file }, joinVia, keyFile) {
  const args = ['agent', '--node', name, '--bind', '127.0.0.1:0', '--rpc-addr', control(name)];
  args.push('--encrypt-file', keyFile, '--tag', `role=${role}`, '--env', 'demo');
  args.push('--policy', join(dir, file), '--data-dir', join(dir, name));
  if (joinVia !== undefined) args.push('--join', joinVia);
  const logFile = join(dir, `${name}.log`);
  const log = openSync(logFile, 'a', 0o600);
  const child = spawn(process.execPath, [cli, ...args], { env, stdio: ['ignore', log, log], detached: keep });
  closeSync(log);
  agents.push(child);
  for (const end = Date.now() + START_TIMEOUT_MS; Date.now() < end; await sleep(50)) {
    const said = readFileSync(logFile, 'utf8');
    if (child.exitCode !== null) throw new Error(`${name} stopped:\n${said}`);
    const gossip = /gossip:\s+(\S+:\d+)/.exec(said);
    if (gossip === null || !said.includes('policy:')) continue;
    const without = /sandbox:\s+"standard" cannot be had: (.*)/.exec(said);
    return { gossip: gossip[1], without: without?.[1] };
  }
  throw new Error(`${name} did not start:\n${readFileSync(logFile, 'utf8')}`);
}

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Waits until the cluster is complete, as its first member sees it. */
async function untilComplete() {
  for (const end = Date.now() + START_TIMEOUT_MS; Date.now() < end; ) {
    const { stdout } = spawnSync(
      process.execPath,
      [cli, 'members', '--status', 'alive', '--format', 'json'],
      { env },
    );
    if (JSON.parse(String(stdout)).members?.length === NODES.length) return;
    await sleep(100);
  }
  throw new Error('the five agents did not find each other');
}

async function stopAll() {
  const gone = agents.map(
    (child) => new Promise((resolve) => (child.exitCode === null ? child.once('exit', resolve) : resolve())),
  );
  for (const child of agents) child.kill('SIGTERM');
  await Promise.all(gone);
  rmSync(dir, { recursive: true, force: true });
}

async function main() {
  say('A cluster key, which lets agents gossip (encrypted) and nothing else:');
  const clusterKey = fanout(['keygen'], { show: 'none' }).text;
  const keyFile = join(dir, 'cluster.key');
  writeFileSync(keyFile, clusterKey, { mode: 0o600 });
  say();
  say('Your own key, with which you sign every command:');
  const { text: publicLine } = fanout(['operator', 'keygen', '--name', 'you'], { show: 'none' });
  say(publicLine);
  say();

  writeFileSync(join(dir, 'demo.yaml'), policy(publicLine, ''));
  const never = `
  - id: no-process-list
    effect: deny
    why: command lines on this node hold customer names
    programs: [ps]`;
  writeFileSync(join(dir, 'no-ps.yaml'), policy(publicLine, never));

  say('Five agents: web1 to web4 and db1. The policy of web4 refuses ps.');
  const [first, ...others] = NODES;
  const { gossip, without } = await startAgent(first, undefined, keyFile);
  await Promise.all(others.map((node) => startAgent(node, gossip, keyFile)));
  await untilComplete();
  fanout(['members']);
  say();
  if (without !== undefined) say(`Without a sandbox, as the demo's policy permits: ${without}\n`);

  say('The main job:');
  const { status } = fanout(['ps ax', '--tag', 'role=web']);
  say(`(exit status ${status}: 5 means that a node refused, and web4 said why)`);
  say();

  if (!keep) {
    await stopAll();
    say(
      'The cluster is stopped and its files are removed. "npm run demo -- --keep" leaves it up for you to try.',
    );
    return status === 5 ? 0 : 1;
  }
  for (const child of agents) child.unref();
  say('The cluster stays up. To use it:');
  say(`  export XDG_CONFIG_HOME=${env.XDG_CONFIG_HOME} FANOUT_RPC_ADDR=${env.FANOUT_RPC_ADDR}`);
  say(`  alias fanout="${process.execPath} ${cli}"`);
  say('  fanout                          # the interactive session');
  say('  fanout members');
  say('  fanout "df -h" --tag role=db');
  say(`To stop it:\n  kill ${agents.map((child) => child.pid).join(' ')} && rm -r ${dir}`);
  return 0;
}

process.on('SIGINT', () => void stopAll().then(() => process.exit(130)));
try {
  process.exitCode = await main();
} catch (error) {
  say(`The demo failed: ${error instanceof Error ? error.message : error}`);
  await stopAll();
  process.exitCode = 1;
}
