import { readdirSync, readFileSync } from 'node:fs';
import { errnoOf } from '../lib/errors.ts';
import { MARKER_VARIABLE } from './launch.ts';

/** Rounds of looking for marked processes. Each stops all it finds, so only a fork in flight can add one. */
const SWEEP_ROUNDS_MAX = 50;
/** No session of any process. */
const NO_SESSION = -1;
const ASSIGNMENT = `${MARKER_VARIABLE}=`;

/** Sends a signal; a process that is gone already, or not ours any more, is no error. */
export function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    const code = errnoOf(error);
    if (code !== 'ESRCH' && code !== 'EPERM') throw error;
  }
}

/** Children of a process, oldest first; none when it is gone or the kernel keeps no such list. */
function childrenOf(pid: number): number[] {
  return (read(`/proc/${pid}/task/${pid}/children`) ?? '')
    .split(' ')
    .filter((word) => word !== '')
    .map(Number);
}

/**
 * The program behind a launcher: its only child is process 1 of the namespace, whose oldest child is the program.
 * Undefined while it is being set up.
 */
export function programBehind(launcher: number): number | undefined {
  const init = childrenOf(launcher)[0];
  return init === undefined ? undefined : childrenOf(init)[0];
}

/**
 * Kills a launcher and process 1 of its namespace, and by that everything in it. One that it makes in this very moment is left
 * to `killMarked`, when the launcher has ended.
 */
export function killNamespace(launcher: number): void {
  const inits = childrenOf(launcher);
  signal(launcher, 'SIGKILL');
  // The launcher's end kills it, unless it had come no further than its first instructions.
  for (const init of inits) signal(init, 'SIGKILL');
}

/**
 * Kills every process that carries the marker in its environment, belongs to the session, or descends from one that
 * does. All are stopped before the first is killed, so that none can make another in between. A process that has
 * left the session, emptied its environment and lost its parent is not found.
 */
export function killMarked(marker: string, session = NO_SESSION): void {
  killTrees((one) => one === marker, session);
}

/** The same for all markers that are meant, in one go: anybody can make processes that carry them. Returns how many it killed. */
export function killAllMarked(isMeant: (marker: string) => boolean): number {
  return killTrees(isMeant, NO_SESSION);
}

function killTrees(isMeant: (marker: string) => boolean, session: number): number {
  const found = new Set<number>();
  for (let round = 0; round < SWEEP_ROUNDS_MAX; round++) {
    const fresh = markedProcesses(isMeant, session, found);
    if (fresh.length === 0) break;
    for (const pid of fresh) {
      found.add(pid);
      signal(pid, 'SIGSTOP');
    }
  }
  for (const pid of found) signal(pid, 'SIGKILL');
  return found.size;
}

/** When a process began, in clock ticks since the machine did; undefined when it is gone. With its number it is that process and no other. */
export function beginningOf(pid: number): string | undefined {
  const state = stateOf(pid);
  return state === undefined || state.isZombie ? undefined : state.beginning;
}

/** All processes but this one: an agent that was itself started by a command does not end itself. */
function processIds(): number[] {
  let names: readonly string[] = [];
  try {
    names = readdirSync('/proc');
  } catch {
    // Without /proc nobody is found.
  }
  return names
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => pid !== process.pid);
}

function markedProcesses(
  isMeant: (marker: string) => boolean,
  session: number,
  known: ReadonlySet<number>,
): number[] {
  const parents = new Map<number, number>();
  const marked = new Set(known);
  for (const pid of processIds()) {
    const state = stateOf(pid);
    if (state === undefined || state.isZombie) continue;
    parents.set(pid, state.parent);
    if (state.session === session || markersOf(pid).some(isMeant)) marked.add(pid);
  }
  // A parent may come after its child in the list.
  for (let before = -1; before !== marked.size; ) {
    before = marked.size;
    for (const [pid, parent] of parents) if (marked.has(parent)) marked.add(pid);
  }
  return [...marked].filter((pid) => !known.has(pid));
}

function markersOf(pid: number): string[] {
  const variables = read(`/proc/${pid}/environ`)?.split('\0') ?? [];
  return variables.filter((one) => one.startsWith(ASSIGNMENT)).map((one) => one.slice(ASSIGNMENT.length));
}

interface ProcessState {
  readonly parent: number;
  readonly session: number;
  readonly isZombie: boolean;
  readonly beginning: string;
}

function stateOf(pid: number): ProcessState | undefined {
  const stat = read(`/proc/${pid}/stat`);
  if (stat === undefined) return undefined;
  // The name in brackets may itself hold brackets and blanks.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const [state, parent, , session] = fields;
  const beginning = fields[19] ?? '';
  return { parent: Number(parent), session: Number(session), isZombie: state === 'Z', beginning };
}

function read(file: string): string | undefined {
  try {
    return readFileSync(file, 'latin1');
  } catch {
    // Gone in the meantime, or not ours to look into.
    return undefined;
  }
}
