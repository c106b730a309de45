import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { expect } from 'vitest';
import type { CommandSpec, RunAs, SandboxProfile } from '../../src/runtime/command-spec.ts';
import { planLaunch } from '../../src/runtime/launch.ts';
import { type RunningCommand, startCommand } from '../../src/runtime/process.ts';
import { resolveProgram } from '../../src/runtime/resolve-program.ts';
import { resolveUser } from '../../src/runtime/run-as.ts';
import { probeSandboxes } from '../../src/runtime/sandbox-probe.ts';

export const IS_ROOT = process.getuid?.() === 0;

const sandboxes = await probeSandboxes();
export const PROFILES: readonly SandboxProfile[] = sandboxes
  .filter(({ available }) => available)
  .map(({ profile }) => profile);
for (const { profile, available, reason } of sandboxes) {
  if (!available) console.info(`tests of sandbox "${profile}" are skipped: ${reason}`);
}

export function has(profile: SandboxProfile): boolean {
  return PROFILES.includes(profile);
}

/** The account that commands get by default on this machine. */
export function defaultUser(): RunAs | undefined {
  const user = resolveUser(undefined);
  if (user !== undefined && 'reason' in user) throw new Error(user.reason);
  return user;
}

/** Whether a command without a sandbox still gets a process namespace, which takes root with all its capabilities. */
export function hasNamespaceWithoutSandbox(): boolean {
  const launch = planLaunch(specOf(['true']));
  return 'killBy' in launch && launch.killBy === 'namespace';
}

export function specOf(argv: readonly string[], changes: Partial<CommandSpec> = {}): CommandSpec {
  const program = resolveProgram(argv[0]!, undefined);
  if ('reason' in program) throw new Error(program.reason);
  return {
    path: program.path,
    argv,
    sandbox: 'none',
    network: 'none',
    user: defaultUser(),
    timeoutMs: 30_000,
    outputBytesMax: 2 ** 20,
    ...changes,
  };
}

export interface Started {
  readonly command: RunningCommand;
  readonly stdout: () => string;
  readonly stderr: () => string;
  /** Settles when stdout holds the text. */
  readonly shows: (text: string) => Promise<void>;
}

export function start(argv: readonly string[], changes: Partial<CommandSpec> = {}): Started {
  const chunks: Record<'stdout' | 'stderr', Uint8Array[]> = { stdout: [], stderr: [] };
  const text = (stream: 'stdout' | 'stderr') => Buffer.concat(chunks[stream]).toString('utf8');
  let notify = (): void => {};
  const command = startCommand(specOf(argv, changes), (stream, chunk) => {
    chunks[stream].push(chunk);
    notify();
  });
  const shows = (wanted: string): Promise<void> =>
    new Promise((resolve, reject) => {
      notify = () => {
        if (text('stdout').includes(wanted)) resolve();
      };
      notify();
      void command.ended.then((end) =>
        reject(new Error(`ended without showing ${wanted}: ${JSON.stringify(end)} ${text('stderr')}`)),
      );
    });
  return { command, stdout: () => text('stdout'), stderr: () => text('stderr'), shows };
}

/** Runs a command to its end; the program must have been executed. */
export async function run(argv: readonly string[], changes: Partial<CommandSpec> = {}) {
  const { command, stdout, stderr } = start(argv, changes);
  const end = await command.ended;
  if (end.kind === 'failed') throw new Error(`${argv[0]} did not start: ${end.reason} (${end.hint})`);
  return { end, stdout: stdout(), stderr: stderr() };
}

/** A word that no other process on the machine has among its arguments. */
export function uniqueWord(): string {
  return `fanout-test-${randomBytes(8).toString('hex')}`;
}

/** Processes with the word among their arguments. Zombies hold nothing any more and are not counted. */
export function processesWith(word: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(word) && stateOf(pid) !== 'Z';
      } catch {
        return false;
      }
    });
}

/** The letter that ps shows: R, S, T, Z, ... */
export function stateOf(pid: number): string {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  return stat.charAt(stat.lastIndexOf(')') + 2);
}

/** Waits for a condition that another process brings about. */
export async function eventually(condition: () => boolean, limitMs = 10_000): Promise<void> {
  const end = performance.now() + limitMs;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`not within ${limitMs} ms: ${condition.toString()}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** The kernel takes down a namespace in the background; that takes milliseconds, and this allows two seconds. */
export async function expectNoSurvivors(word: string): Promise<void> {
  await eventually(() => processesWith(word).length === 0, 2000).catch(() => {});
  expect(processesWith(word)).toEqual([]);
}
