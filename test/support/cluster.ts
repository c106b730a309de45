import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { connectAgent } from '../../src/asker/connect.ts';
import { parseControlAddress } from '../../src/net/control-address.ts';
import {
  eventually,
  FANOUT,
  freePort,
  type Result,
  removeFolder,
  runProgram,
  stopProcess,
  temporaryFolder,
} from './processes.ts';

export interface AgentProcess {
  readonly name: string;
  readonly child: ChildProcess;
  /** host:port of its gossip. */
  readonly gossip: string;
  readonly control: string;
  readonly dataDir: string;
  /** Everything it has said so far. */
  readonly log: () => string;
}

export interface AgentSpec {
  readonly name: string;
  readonly tags?: Readonly<Record<string, string>>;
  /** A policy of `addPolicy`; none: it runs nothing. */
  readonly policy?: string;
  readonly join?: string;
  /** False: without the cluster's key, which then comes in another way. */
  readonly encrypt?: boolean;
  readonly args?: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
}

/** A cluster of real agent processes on loopback, with one operator, in a folder of its own. */
export class TestCluster {
  readonly dir = temporaryFolder();
  /** Base64. */
  readonly key = randomBytes(32).toString('base64');
  readonly agents: AgentProcess[] = [];
  readonly env: NodeJS.ProcessEnv;
  publicLine = '';

  constructor() {
    this.env = {
      ...process.env,
      XDG_CONFIG_HOME: join(this.dir, 'config'),
      XDG_STATE_HOME: join(this.dir, 'state'),
      NO_COLOR: '1',
    };
    delete this.env.FANOUT_IDENTITY;
    delete this.env.FANOUT_RPC_ADDR;
    writeFileSync(join(this.dir, 'cluster.key'), this.key, { mode: 0o600 });
  }

  /** Makes the operator's key. */
  async operator(name = 'alice'): Promise<string> {
    const made = await this.fanout(['operator', 'keygen', '--name', name]);
    if (made.code !== 0) throw new Error(made.stderr);
    this.publicLine = made.stdout.trim();
    return this.publicLine;
  }

  /** Writes a policy for environment "test"; `rules` is YAML at the indentation of the list. */
  addPolicy(name: string, rules: string, defaults = 'sandbox: [standard, none]'): string {
    const file = join(this.dir, `${name}.yaml`);
    writeFileSync(
      file,
      `version: 1
environment: test
operators:
  alice: { key: "${this.publicLine}", groups: [sre] }
defaults: { ${defaults}, dangerous: tests, limits: { timeout: 30s, output: 1GiB, concurrency: 50 } }
rules:
${rules}`,
    );
    return file;
  }

  async start(spec: AgentSpec): Promise<AgentProcess> {
    const control = join(this.dir, `${spec.name}.sock`);
    const dataDir = join(this.dir, 'data', spec.name);
    const bind = `127.0.0.1:${await freePort()}`;
    const args = [FANOUT, 'agent', '--node', spec.name, '--bind', bind, '--rpc-addr', control];
    if (spec.encrypt !== false) args.push('--encrypt-file', join(this.dir, 'cluster.key'));
    args.push('--data-dir', dataDir, '--log-level', 'debug');
    for (const [name, value] of Object.entries(spec.tags ?? {})) args.push('--tag', `${name}=${value}`);
    if (spec.policy !== undefined) args.push('--policy', spec.policy);
    if (spec.join !== undefined) args.push('--join', spec.join);
    args.push(...(spec.args ?? []));
    const child = spawn(process.execPath, args, {
      env: { ...this.env, ...spec.env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let log = '';
    child.stdout.on('data', (chunk) => {
      log += String(chunk);
    });
    child.stderr.on('data', (chunk) => {
      log += String(chunk);
    });
    const gossip = await eventually(
      () => `agent ${spec.name} to start; it said:\n${log}`,
      () => {
        const address = /gossip:\s+(\S+:\d+)/.exec(log)?.[1];
        if (address === undefined && child.exitCode !== null)
          throw new Error(`agent ${spec.name} stopped:\n${log}`);
        return address;
      },
    );
    const agent: AgentProcess = { name: spec.name, child, gossip, control, dataDir, log: () => log };
    this.agents.push(agent);
    return agent;
  }

  /** Runs the built command against the first agent, or the given one. */
  fanout(
    args: readonly string[],
    options: { via?: AgentProcess; timeoutMs?: number; input?: string; env?: NodeJS.ProcessEnv } = {},
  ): Promise<Result> {
    const control = (options.via ?? this.agents[0])?.control;
    const own = { ...this.env, ...options.env };
    const env = control === undefined ? own : { ...own, FANOUT_RPC_ADDR: control };
    return runProgram(process.execPath, [FANOUT, ...args], { ...options, env });
  }

  /** Waits until the first agent, or the given one, sees `count` living members. */
  async complete(count: number, via = this.agents[0]): Promise<void> {
    if (via === undefined) throw new Error('no agent was started');
    // Not by the command line: to start one takes more of the processor than all that is asked here.
    const client = await connectAgent(parseControlAddress(via.control));
    try {
      await eventually(`${count} living members in the eyes of ${via.name}`, async () => {
        const members = await client.members();
        return members.filter(({ status }) => status === 'alive').length === count;
      });
    } finally {
      client.close();
    }
  }

  /** Ends all agents. Throws when one came upon a bug, which it survives: a test that passed all the same has found it. */
  async stop(): Promise<void> {
    await Promise.all(this.agents.map(({ child }) => stopProcess(child)));
    removeFolder(this.dir);
    for (const { log } of this.agents) {
      const bug = /^.*a bug in fanout itself.*$/m.exec(log());
      if (bug !== null && !bug[0].includes('provoked by the test')) throw new Error(bug[0]);
    }
  }
}
