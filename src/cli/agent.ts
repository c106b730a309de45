import { hostname } from 'node:os';
import { setFlagsFromString } from 'node:v8';
import { Agent } from '../agent/agent.ts';
import { Arrival } from '../agent/arrival.ts';
import { AttachedAgent, nameOfSerf } from '../agent/attached-agent.ts';
import type { AgentConfig } from '../agent/config.ts';
import type { Host } from '../agent/host.ts';
import { createLog, type Log, LogWatch } from '../agent/log.ts';
import { type LiveSettings, reload } from '../agent/reload.ts';
import { RpcServer } from '../agent/rpc-server.ts';
import { type LoadedSettings, loadSettings } from '../agent/settings/load.ts';
import { resolveConfig, serfAddress } from '../agent/settings/resolve.ts';
import type { Said } from '../agent/settings/schema.ts';
import { Syslog } from '../agent/syslog.ts';
import { surviveUnforeseen } from '../agent/unforeseen.ts';
import { dataDir } from '../asker/paths.ts';
import { formatEndpoint } from '../lib/net-address.ts';
import { type ControlAddress, formatControlAddress } from '../net/control-address.ts';
import { checkAgent } from './agent-check.ts';
import { saidByFlags } from './agent-flags.ts';
import { untilSignal, untilTold } from './agent-signals.ts';
import { showConfig } from './check-config.ts';

/** The flags that are not settings. Those that are come from the table of settings. */
export interface AgentOptions extends Readonly<Record<string, unknown>> {
  /** Files and folders of --config-file and --config-dir, in their order. */
  readonly configFile?: readonly string[];
  readonly checkConfig?: boolean;
  /** Says what the machine can give, and starts nothing. */
  readonly check?: boolean;
  readonly forgive?: boolean;
}

/** `fanout agent`: runs an agent until it is told to stop. */
export async function agent(options: AgentOptions): Promise<number> {
  const flags = saidByFlags(options, process.env);
  const load = (): LoadedSettings => withSerfKey(loadSettings(options.configFile ?? [], flags), process.env);
  const loaded = load();
  const { forgive = false, check = false, checkConfig = false } = options;
  const hostName = check || checkConfig ? hostname() : await nameOfNode(loaded.said);
  const config = await resolveConfig(loaded.said, { hostName, dataDir, forgive });
  if (checkConfig) return showConfig(config, loaded);
  if (check) return checkAgent(config);
  // An agent idles for months. V8's optimising compiler would keep five megabytes of every machine's memory for it, and
  // what costs time here (ciphers, hashes, the kernel) is not JavaScript: output streams as fast without it.
  setFlagsFromString('--no-opt');
  // Whoever read the log may go away: the agent stays.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});
  const live: LiveSettings = { logLevel: config.log.level, signals: config.signals };
  const watch = new LogWatch();
  const { log, syslog } = openLog(config, live, watch);
  for (const warning of [...loaded.warnings, ...controlWarnings(config.control)]) log.warn(warning);
  if (options.encrypt !== undefined) hideKey(log);
  const { attachTo } = config;
  const { said } = loaded;
  try {
    if (attachTo === undefined)
      return await serve(await Agent.start(config, log, watch), { live, load, said });
    return await serveAttached(await AttachedAgent.start(config, attachTo, log), { live, load, said });
  } finally {
    await syslog?.close();
  }
}

interface Serving {
  readonly live: LiveSettings;
  readonly load: () => LoadedSettings;
  readonly said: Said;
}

/** What was asked for with a started agent, to its end. */
async function serve(running: Agent, { live, load, said: atStart }: Serving): Promise<number> {
  const { config, log, host } = running;
  surviveUnforeseen(log, (name) => host.engine.count(name));
  let control: RpcServer | undefined;
  try {
    control = await RpcServer.start(running, config.control);
    let said = atStart;
    // Before the agent says that it is there: process 1 of a container would not even hear that it has to stop, and an
    // early SIGHUP would end any other.
    const told = untilTold(running, live, () => {
      said = reload({ agent: running, live, load, log }, said);
    });
    const { at, isEncrypted } = running.gossip;
    const gossip = `${formatEndpoint(at)}${isEncrypted ? ', encrypted' : '  NOT ENCRYPTED (see --encrypt)'}`;
    announce(host, [
      ['gossip', gossip],
      ['control', formatControlAddress(control.address)],
    ]);
    return await Promise.race([told, arrive(running)]);
  } finally {
    await control?.close();
    await running.stop();
  }
}

/** The same beside a Serf agent, which is neither joined nor left here. */
async function serveAttached(
  running: AttachedAgent,
  { live, load, said: atStart }: Serving,
): Promise<number> {
  const { config, log, host } = running;
  surviveUnforeseen(log, (name) => host.engine.count(name));
  let control: RpcServer | undefined;
  try {
    control = await RpcServer.start(running, config.control);
    let said = atStart;
    const told = untilSignal(() => {
      said = reload({ agent: running, live, load, log }, said);
    });
    const serf = config.attachTo === undefined ? '' : formatControlAddress(config.attachTo);
    announce(host, [
      ['gossip', `by the Serf agent at ${serf}`],
      ['streams', formatEndpoint({ host: config.bind.host, port: running.streamPort })],
      ['control', formatControlAddress(control.address)],
    ]);
    await told;
    return 0;
  } finally {
    await control?.close();
    await running.stop();
  }
}

/** Beside a Serf agent, the key that it asks for may be where its own command line looks for it. */
function withSerfKey(loaded: LoadedSettings, env: NodeJS.ProcessEnv): LoadedSettings {
  const { said } = loaded;
  const key = env.SERF_RPC_AUTH ?? '';
  if (said.engine !== 'serf' || said.rpc_auth !== undefined || key === '') return loaded;
  return { ...loaded, said: { ...said, rpc_auth: key } };
}

/** The name that this node has when none is given: that of the Serf agent beside us, or the machine's. */
async function nameOfNode(said: Said): Promise<string> {
  if (said.engine !== 'serf' || said.node_name !== undefined) return hostname();
  return nameOfSerf(serfAddress(said), said.rpc_auth);
}

/** Comes into the cluster; resolves, with the exit code, only when that is in vain. */
async function arrive(running: Agent): Promise<number> {
  const { config, log } = running;
  if (config.join.length > 0 && !(await joinAtStart(running, config, log))) return 1;
  const arrival = await Arrival.start(running);
  running.onStop(() => arrival.close());
  return arrival.gaveUp.then(() => 1);
}

function openLog(
  config: AgentConfig,
  live: LiveSettings,
  watch: LogWatch,
): { log: Log; syslog: Syslog | undefined } {
  const toStderr = (line: string): void => void process.stderr.write(`${line}\n`);
  const { syslogFacility: facility, format } = config.log;
  const options = { level: () => live.logLevel, format, watch };
  if (facility === undefined) return { log: createLog(options, { write: toStderr }), syslog: undefined };
  const syslog = new Syslog({ facility, onTrouble: (text) => log.warn(text) });
  const log = createLog(options, { write: toStderr, syslog: (level, text) => syslog.write(level, text) });
  return { log, syslog };
}

/** A socket's file mode keeps strangers out; an address does not. */
function controlWarnings(control: ControlAddress): string[] {
  if ('path' in control || /^(127\.|::1$|localhost$)/.test(control.host)) return [];
  const at = formatControlAddress(control);
  return [
    `whoever reaches ${at} can make this agent leave, change its tags and ask its cluster: use a unix socket`,
  ];
}

/** Serf takes the key on its command line, so people will; from there every user of the machine could read it. */
function hideKey(log: Log): void {
  // Takes the place of the arguments in /proc, where everybody can read them.
  process.title = 'fanout agent';
  log.warn('--encrypt shows the cluster key to whoever lists processes at the start: use --encrypt-file');
}

function announce(host: Host, places: readonly (readonly [string, string])[]): void {
  const { config, nodeKey, sandboxes } = host;
  const policy = host.policies.current;
  const facts: (readonly [string, string])[] = [
    ['node', config.node],
    ...places,
    ['node key', nodeKey.fingerprint],
    ['environment', policy?.environment ?? config.environment ?? '-'],
    [
      'policy',
      policy === undefined
        ? 'none: this node runs nothing'
        : `${config.policyFile} (${policy.hash.slice(0, 12)})`,
    ],
  ];
  if (config.auditOnFailure === 'run') {
    facts.push(['audit', 'WHAT CANNOT BE RECORDED RUNS ALL THE SAME (--audit-on-failure run)']);
  }
  for (const { profile, available, reason, fix } of sandboxes) {
    if (!available) facts.push(['sandbox', `"${profile}" cannot be had: ${reason}. ${fix}`]);
  }
  const lines = facts.map(([name, fact]) => `    ${`${name}:`.padEnd(12)} ${fact}`);
  process.stdout.write(`${['==> fanout agent running', ...lines].join('\n')}\n`);
}

async function joinAtStart(running: Agent, config: AgentConfig, log: Log): Promise<boolean> {
  const { joined, failures } = await running.join(config.join);
  for (const failure of failures) log.warn(`join: ${failure}`);
  if (joined > 0) {
    log.info(`joined through ${joined} member${joined === 1 ? '' : 's'}`);
    return true;
  }
  process.stderr.write(
    `fanout: could not join the cluster through any of: ${config.join.join(', ')}\n  Is an agent running there, with the same cluster key?\n`,
  );
  return false;
}
