import { type ChildProcess, spawn } from 'node:child_process';
import { eventually, freePort, hasProgram, type Result, runProgram, stopProcess } from './processes.ts';

/** Whether the real program is here. In continuous integration it must be: nothing is skipped there. */
export const HAS_SERF = hasProgram('serf');

if (!HAS_SERF) {
  if (process.env.CI === 'true') throw new Error('the real serf is missing: apt-get install serf');
  process.stderr.write('SKIPPED: tests against the real Serf. To run them: apt-get install serf\n');
}

export interface RealMember {
  readonly name: string;
  readonly status: string;
  readonly tags: Readonly<Record<string, string>>;
}

/** A real `serf agent` process. */
export class RealSerf {
  readonly name: string;
  readonly gossip: string;
  readonly rpc: string;
  readonly child: ChildProcess;
  /** Everything it has said so far. */
  readonly log: () => string;

  private constructor(name: string, gossip: string, rpc: string, child: ChildProcess, log: () => string) {
    this.name = name;
    this.gossip = gossip;
    this.rpc = rpc;
    this.child = child;
    this.log = log;
  }

  static async start(
    name: string,
    options: {
      key?: string;
      join?: string;
      /** Its rpc_auth, where a configuration file gives it one. */
      auth?: string;
      args?: readonly string[];
      env?: NodeJS.ProcessEnv;
    } = {},
  ): Promise<RealSerf> {
    const [gossip, rpc] = [`127.0.0.1:${await freePort()}`, `127.0.0.1:${await freePort()}`];
    const args = ['agent', '-node', name, '-bind', gossip, '-rpc-addr', rpc];
    if (options.key !== undefined) args.push('-encrypt', options.key);
    if (options.join !== undefined) args.push('-join', options.join);
    const child = spawn('serf', [...args, ...(options.args ?? [])], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: options.env ?? process.env,
    });
    let log = '';
    child.stdout.on('data', (chunk) => {
      log += String(chunk);
    });
    child.stderr.on('data', (chunk) => {
      log += String(chunk);
    });
    const serf = new RealSerf(name, gossip, rpc, child, () => log);
    await eventually(`serf agent ${name} to answer`, async () => {
      if (child.exitCode !== null) throw new Error(`serf agent ${name} stopped:\n${log}`);
      return (await serf.cli('members', `-rpc-auth=${options.auth ?? ''}`)).code === 0;
    });
    return serf;
  }

  /** Runs the real command line against this agent. */
  cli(command: string, ...args: readonly string[]): Promise<Result> {
    return runProgram('serf', [command, '-rpc-addr', this.rpc, ...args]);
  }

  async members(): Promise<RealMember[]> {
    const { stdout } = await this.cli('members', '-format', 'json');
    return (JSON.parse(stdout) as { members: RealMember[] | null }).members ?? [];
  }

  /** Waits until this agent sees another in a status; returns how long that took in ms. */
  async sees(name: string, status: string, timeoutMs = 50_000): Promise<number> {
    const started = performance.now();
    await eventually(
      `${this.name} to see ${name} ${status}`,
      async () => (await this.members()).some((member) => member.name === name && member.status === status),
      timeoutMs,
    );
    return performance.now() - started;
  }

  stop(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    return stopProcess(this.child, signal);
  }
}
