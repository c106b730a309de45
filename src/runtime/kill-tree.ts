import { readdirSync, readFileSync } from 'node:fs';
import { errnoOf } from '../lib/errors.ts';
import { MARKER_VARIABLE } from './launch.ts';

/** Rounds of looking for marked processes. Each stops all it finds, so only a fork in flight can add one. */
const SWEEP_ROUNDS_MAX = 50;

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
export function killMarked(marker: string, session: number): void {
  const found = new Set<number>();
  for (let round = 0; round < SWEEP_ROUNDS_MAX; round++) {
    const fresh = markedProcesses(`${MARKER_VARIABLE}=${marker}`, session, found);
    if (fresh.length === 0) break;
    for (const pid of fresh) {
      found.add(pid);
      signal(pid, 'SIGSTOP');
    }
  }
  for (const pid of found) signal(pid, 'SIGKILL');
}

function markedProcesses(variable: string, session: number, known: ReadonlySet<number>): number[] {
  const parents = new Map<number, number>();
  const marked = new Set(known);
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const pid = Number(name);
    const state = stateOf(pid);
    if (state === undefined || state.isZombie) continue;
    parents.set(pid, state.parent);
    if (state.session === session || hasVariable(pid, variable)) marked.add(pid);
  }
  // A parent may come after its child in the list.
  for (let before = -1; before !== marked.size; ) {
    before = marked.size;
    for (const [pid, parent] of parents) if (marked.has(parent)) marked.add(pid);
  }
  return [...marked].filter((pid) => !known.has(pid));
}

function hasVariable(pid: number, variable: string): boolean {
  return read(`/proc/${pid}/environ`)?.split('\0').includes(variable) ?? false;
}

function stateOf(pid: number): { parent: number; session: number; isZombie: boolean } | undefined {
  const stat = read(`/proc/${pid}/stat`);
  if (stat === undefined) return undefined;
  // The name in brackets may itself hold brackets and blanks.
  const [state, parent, , session] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return { parent: Number(parent), session: Number(session), isZombie: state === 'Z' };
}

function read(file: string): string | undefined {
  try {
    return readFileSync(file, 'latin1');
  } catch {
    // Gone in the meantime, or not ours to look into.
    return undefined;
  }
}
