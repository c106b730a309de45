import { hostname } from 'node:os';
import { setFlagsFromString } from 'node:v8';
import { Agent } from '../agent/agent.ts';
import type { AgentConfig } from '../agent/config.ts';
import { createLog, type Log, type LogLevel, LogWatch } from '../agent/log.ts';
import { RpcServer } from '../agent/rpc-server.ts';
import { dataDir } from '../asker/paths.ts';
import { readSecretFile } from '../identity/secret-file.ts';
import { utf8Text } from '../lib/bytes.ts';
import { FanoutError } from '../lib/errors.ts';
import { type Endpoint, formatEndpoint, ipBytes, splitHostPort } from '../lib/net-address.ts';
import { LAN_PROFILE, LOCAL_PROFILE, type Profile, WAN_PROFILE } from '../memberlist/config.ts';
import { defaultControlAddress, formatControlAddress, parseControlAddress } from '../net/control-address.ts';
import { selfAddress } from '../net/self-address.ts';
import { encodeTags } from '../serf/tags.ts';
import { tagValues } from './tag-values.ts';

const GOSSIP_PORT = 7946;
/** As Serf: a leave that takes longer than this ends in a plain stop. */
const LEAVE_TIMEOUT_MS = 5000;
const PROFILES: Readonly<Record<string, Profile>> = {
  lan: LAN_PROFILE,
  wan: WAN_PROFILE,
  local: LOCAL_PROFILE,
};

export interface AgentOptions {
  readonly node?: string;
  readonly bind: string;
  readonly advertise?: string;
  readonly rpcAddr?: string;
  readonly encrypt?: string;
  readonly encryptFile?: string;
  readonly tag?: readonly string[];
  readonly profile: string;
  readonly env?: string;
  readonly policy?: string;
  readonly dataDir?: string;
  readonly join?: readonly string[];
  readonly logLevel: LogLevel;
}

/** `fanout agent`: runs an agent until it is told to stop. */
export async function agent(options: AgentOptions): Promise<number> {
  // An agent idles for months. V8's optimising compiler would keep five megabytes of every machine's memory for it, and
  // what costs time here (ciphers, hashes, the kernel) is not JavaScript: output streams as fast without it.
  setFlagsFromString('--no-opt');
  // Whoever read the log may go away: the agent stays.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});
  const config = configFrom(options);
  const watch = new LogWatch();
  const log = createLog(options.logLevel, (line) => process.stderr.write(`${line}\n`), watch);
  const running = await Agent.start(config, log, watch);
  const control = await RpcServer.start(running, config.control).catch(async (error: unknown) => {
    await running.stop();
    throw error;
  });
  announce(running, config, formatControlAddress(control.address));
  if (config.join.length > 0 && !(await joinAtStart(running, config, log))) {
    await control.close();
    await running.stop();
    return 1;
  }
  const code = await untilTold(running, log);
  await control.close();
  await running.stop();
  return code;
}

function configFrom(options: AgentOptions): AgentConfig {
  const node = options.node ?? hostname();
  const bind = endpoint('--bind', options.bind);
  const told = options.advertise === undefined ? undefined : endpoint('--advertise', options.advertise);
  const tags = tagValues(options.tag);
  encodeTags(tags);
  return {
    node,
    bind,
    advertise: told ?? advertised(bind),
    control: options.rpcAddr === undefined ? defaultControlAddress() : parseControlAddress(options.rpcAddr),
    encryptKey: clusterKey(options),
    tags,
    profile: PROFILES[options.profile] ?? LAN_PROFILE,
    environment: options.env,
    policyFile: options.policy,
    dataDir: options.dataDir ?? dataDir(node),
    join: options.join ?? [],
  };
}

function endpoint(flag: string, text: string): Endpoint {
  const parsed = splitHostPort(text, GOSSIP_PORT);
  if (parsed !== undefined && ipBytes(parsed.host) !== undefined) return parsed;
  throw new FanoutError('USAGE', `${flag} ${text}: not an IP address with an optional port`, {
    hint: `For example ${flag} 10.0.0.5:7946.`,
  });
}

/** Bound to all interfaces, an agent must still tell the others one address. */
function advertised(bind: Endpoint): Endpoint | undefined {
  if (bind.host !== '0.0.0.0') return undefined;
  const host = selfAddress();
  if (host !== undefined) return { host, port: bind.port };
  throw new FanoutError('CONFIG', 'this machine has no address but loopback to tell the others', {
    hint: 'Give one with --advertise, or bind to 127.0.0.1 for a cluster on this machine.',
  });
}

function clusterKey(options: AgentOptions): string | undefined {
  if (options.encryptFile === undefined) return options.encrypt;
  if (options.encrypt !== undefined) {
    throw new FanoutError('USAGE', '--encrypt and --encrypt-file exclude each other', {
      hint: 'Give one of them.',
    });
  }
  return utf8Text(readSecretFile(options.encryptFile))?.trim();
}

function announce(running: Agent, config: AgentConfig, control: string): void {
  const { policies, sandboxes, driver } = running;
  const policy = policies.current;
  const at = formatEndpoint({ host: config.bind.host, port: driver.transport.port });
  const lines = [
    `==> fanout agent running`,
    `    node:        ${config.node}`,
    `    gossip:      ${at}${config.encryptKey === undefined ? '  NOT ENCRYPTED (see --encrypt)' : ', encrypted'}`,
    `    control:     ${control}`,
    `    node key:    ${running.nodeKey.fingerprint}`,
    `    environment: ${policy?.environment ?? config.environment ?? '-'}`,
    `    policy:      ${policy === undefined ? 'none: this node runs nothing' : `${config.policyFile} (${policy.hash.slice(0, 12)})`}`,
  ];
  for (const { profile, available, reason, fix } of sandboxes) {
    if (!available) lines.push(`    sandbox:     "${profile}" cannot be had: ${reason}. ${fix}`);
  }
  process.stdout.write(`${lines.join('\n')}\n`);
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

/** Runs until a signal or the agent's own departure; returns the exit code, as Serf's agent does. */
function untilTold(running: Agent, log: Log): Promise<number> {
  return new Promise((resolve) => {
    let leaving = false;
    void running.gone.then(() => resolve(0));
    process.on('SIGHUP', () => running.reloadPolicy());
    process.on('SIGTERM', () => resolve(1));
    process.on('SIGINT', () => {
      if (leaving) return resolve(1);
      leaving = true;
      log.info('leaving the cluster; press Ctrl-C again to stop at once');
      running.leave();
      setTimeout(() => resolve(1), LEAVE_TIMEOUT_MS).unref();
    });
  });
}
