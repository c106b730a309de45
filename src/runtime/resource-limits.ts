import { readdirSync, readFileSync, type Stats, statSync } from 'node:fs';
import { availableParallelism, release } from 'node:os';
import type { CommandSpec } from './command-spec.ts';

/** Processes and threads of one command. A build may want more; a look at a machine does not. */
const PROCESSES_MAX = 256;
/** Open files of one process. */
const FILES_MAX = 256;
/** Bytes of one file, wherever a command may write at all. */
const FILE_BYTES_MAX = 64 * 2 ** 20;

/**
 * `prlimit` arguments for a command. The kernel counts processes by account: `sharedUid` is the account whose other
 * processes are counted together with the command's, and which need room too.
 */
export function limitArguments(spec: CommandSpec, sharedUid: number | undefined): string[] {
  const hard = hardLimits();
  const most = (name: string, wanted: number): number => Math.min(wanted, hard.get(name) ?? wanted);
  const wanted = spec.budget?.tasks ?? PROCESSES_MAX;
  // Where a control group counts them, what others of the account start meanwhile must not be in the way.
  const tasks = spec.groupHome?.pids === undefined ? wanted : Math.max(wanted, PROCESSES_MAX);
  // One process cannot use more than this before the wall clock ends it: a backstop, should the agent be stopped.
  const cpuSeconds = Math.ceil((spec.timeoutMs / 1000) * availableParallelism()) + 1;
  return [
    `--nproc=${most('Max processes', tasks + tasksOf(sharedUid))}`,
    `--nofile=${most('Max open files', FILES_MAX)}`,
    `--fsize=${most('Max file size', FILE_BYTES_MAX)}`,
    `--cpu=${cpuLimit(spec, most('Max cpu time', cpuSeconds))}`,
    '--core=0',
  ];
}

/** Whether the kernel gives each user namespace a count of processes of its own (Linux 5.14 and later). */
export function countsByNamespace(kernel = release()): boolean {
  const [major = 0, minor = 0] = kernel.split('.').map((part) => Number.parseInt(part, 10));
  return major > 5 || (major === 5 && minor >= 14);
}

/** SIGXCPU at what the rule gives, which tells why it ended, and SIGKILL a second later. */
function cpuLimit({ budget }: CommandSpec, mostSeconds: number): string {
  if (budget?.cpuMs === undefined) return String(mostSeconds);
  const seconds = Math.min(Math.ceil(budget.cpuMs / 1000), mostSeconds);
  return `${seconds}:${Math.min(seconds + 1, mostSeconds)}`;
}

/** The agent's own hard limits, which no command can go beyond; missing where there is no limit. */
function hardLimits(): Map<string, number> {
  const limits = new Map<string, number>();
  for (const line of readFileSync('/proc/self/limits', 'utf8').split('\n')) {
    const match = /^(Max [a-z ]+?)\s{2,}\S+\s+(\d+)\s/.exec(line);
    if (match !== null) limits.set(match[1] as string, Number(match[2]));
  }
  return limits;
}

/** Processes and threads that an account runs at the moment, as `/proc` (or a folder of its form) lists them. */
export function tasksOf(uid: number | undefined, processes = '/proc'): number {
  if (uid === undefined) return 0;
  let tasks = 0;
  for (const name of readdirSync(processes)) {
    if (!/^\d+$/.test(name)) continue;
    const found = statIfThere(`${processes}/${name}/task`);
    // The link count of the directory is the number of threads and two.
    if (found?.uid === uid) tasks += found.nlink - 2;
  }
  return tasks;
}

/** A process that ends during the look is ESRCH as often as ENOENT, and `throwIfNoEntry` is about the second alone. */
function statIfThere(path: string): Stats | undefined {
  try {
    return statSync(path);
  } catch {
    return undefined;
  }
}
