import { mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { errnoOf } from '../lib/errors.ts';
import type { Millis } from '../lib/time.ts';
import type { Budget } from './command-spec.ts';
import type { Controller, GroupHome, Hierarchy } from './group-home.ts';

/** The launcher that stays outside of the sandbox. Commands are not charged for it. */
const LAUNCHER_TASKS = 1;
/** A group can be removed when the kernel is done with its processes, some milliseconds after their end. */
const REMOVE_RETRY_MS: Millis = 20;
const REMOVE_TRIES_MAX = 250;

const PREFIX = 'fanout-job';
let made = 0;

const CONTROLLERS = ['memory', 'pids', 'cpu'] as const;

/** Which limit a command went beyond. */
export type Overrun = 'cpu-limit' | 'memory-limit';

/** Whether the budget asks for something that groups give here. */
export function needsGroup(home: GroupHome | undefined, budget: Budget | undefined): boolean {
  const wanted = wantedOf(budget);
  return CONTROLLERS.some(
    (controller) => wanted[controller] !== undefined && home?.[controller] !== undefined,
  );
}

function wantedOf({
  memoryBytes,
  tasks,
  cpuMs,
}: Partial<Budget> = {}): Record<Controller, number | undefined> {
  return { memory: memoryBytes, pids: tasks, cpu: cpuMs };
}

/**
 * The control groups of one command: what its processes use together, and a bound on it that the kernel keeps. One
 * folder in each hierarchy that the budget needs.
 */
export class JobGroup {
  private readonly groups: ReadonlyMap<Controller, Hierarchy>;
  private readonly cpuMs: Millis | undefined;

  private constructor(groups: ReadonlyMap<Controller, Hierarchy>, cpuMs: Millis | undefined) {
    this.groups = groups;
    this.cpuMs = cpuMs;
  }

  /** Undefined when the budget asks for nothing that groups could give here. Throws Error when one cannot be made. */
  static create(home: GroupHome | undefined, budget: Budget | undefined): JobGroup | undefined {
    if (!needsGroup(home, budget)) return undefined;
    const wanted = wantedOf(budget);
    const { memoryBytes, tasks, cpuMs } = budget ?? {};
    const name = `${PREFIX}-${process.pid}-${++made}`;
    const groups = new Map<Controller, Hierarchy>();
    const group = new JobGroup(groups, cpuMs);
    try {
      for (const controller of CONTROLLERS) {
        const place = home?.[controller];
        if (place === undefined || wanted[controller] === undefined) continue;
        const folder = join(place.folder, name);
        // In version 2 one folder is for all of them. Not "recursive": Node would try for ever where there is no place.
        if (!group.folders.includes(folder)) mkdirSync(folder);
        groups.set(controller, { version: place.version, folder });
      }
      if (memoryBytes !== undefined) group.limitMemory(memoryBytes);
      if (tasks !== undefined) group.write('pids', 'pids.max', tasks + LAUNCHER_TASKS);
    } catch (error) {
      group.remove();
      throw error;
    }
    return group;
  }

  /** Puts a process into the groups, and by that everything that it will start. */
  join(pid: number): void {
    for (const folder of this.folders) writeFileSync(join(folder, 'cgroup.procs'), String(pid));
  }

  /** Which limit was passed, if one was. */
  overrun(): Overrun | undefined {
    if (this.killsByMemory() > 0) return 'memory-limit';
    return this.cpuMs !== undefined && this.usedMs() > this.cpuMs ? 'cpu-limit' : undefined;
  }

  /** Kills whatever is in the groups, wherever in the tree of processes it has gone. */
  kill(): void {
    for (const folder of this.folders) {
      for (const pid of this.members(folder)) {
        try {
          process.kill(pid, 'SIGKILL');
        } catch {
          // Gone by itself, or not ours any more.
        }
      }
    }
  }

  /** Removes the groups, as soon as nothing is left in them. */
  remove(triesLeft = REMOVE_TRIES_MAX): void {
    const left = this.folders.filter((folder) => !isRemoved(folder));
    // What is left behind is swept up by the next agent.
    if (left.length === 0 || triesLeft === 0) return;
    setTimeout(() => this.remove(triesLeft - 1), REMOVE_RETRY_MS).unref();
  }

  private get folders(): string[] {
    return [...new Set([...this.groups.values()].map(({ folder }) => folder))];
  }

  private members(folder: string): number[] {
    return this.read(folder, 'cgroup.procs')
      .split('\n')
      .map(Number)
      .filter((pid) => pid > 0);
  }

  private limitMemory(bytes: number): void {
    if (this.groups.get('memory')?.version === 2) {
      this.write('memory', 'memory.max', bytes);
      // All die together, or a program goes on without the part that it has lost.
      this.write('memory', 'memory.oom.group', 1);
      this.limitSwap('memory.swap.max', 0);
    } else {
      this.write('memory', 'memory.limit_in_bytes', bytes);
      // Memory and swap together.
      this.limitSwap('memory.memsw.limit_in_bytes', bytes);
    }
  }

  private killsByMemory(): number {
    const group = this.groups.get('memory');
    if (group === undefined) return 0;
    const text = this.read(group.folder, group.version === 2 ? 'memory.events' : 'memory.oom_control');
    return Number(/^oom_kill (\d+)$/m.exec(text)?.[1] ?? 0);
  }

  private usedMs(): Millis {
    const group = this.groups.get('cpu');
    if (group === undefined) return 0;
    if (group.version === 1) return Number(this.read(group.folder, 'cpuacct.usage')) / 1e6;
    return Number(/^usage_usec (\d+)$/m.exec(this.read(group.folder, 'cpu.stat'))?.[1] ?? 0) / 1000;
  }

  private read(folder: string, name: string): string {
    try {
      return readFileSync(join(folder, name), 'utf8');
    } catch {
      return '';
    }
  }

  private write(controller: Controller, name: string, value: number): void {
    const group = this.groups.get(controller);
    if (group !== undefined) writeFileSync(join(group.folder, name), String(value));
  }

  /** The file is there where the kernel counts swap. Elsewhere a command could use all of it. */
  private limitSwap(name: string, value: number): void {
    try {
      this.write('memory', name, value);
    } catch (error) {
      if (readFileSync('/proc/swaps', 'utf8').trim().includes('\n')) {
        throw new Error(`the machine has swap, and ${name} cannot be set`, { cause: error });
      }
    }
  }
}

/** Removes the groups that agents left behind who were killed. Those of living processes are left alone. */
export function sweepGroups(home: GroupHome): void {
  for (const folder of new Set(Object.values(home).map((place) => place.folder))) {
    for (const name of readdirSync(folder)) {
      const pid = new RegExp(`^${PREFIX}-(\\d+)-\\d+$`).exec(name)?.[1];
      if (pid !== undefined && !isAlive(Number(pid))) isRemoved(join(folder, name));
    }
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return errnoOf(error) === 'EPERM';
  }
}

function isRemoved(folder: string): boolean {
  try {
    rmdirSync(folder);
    return true;
  } catch (error) {
    return errnoOf(error) === 'ENOENT';
  }
}
