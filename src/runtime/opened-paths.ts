import { lstatSync, realpathSync, type Stats, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { codeOf } from '../lib/errors.ts';
import type { Allowances } from '../policy/policy.ts';
import type { RunAs, SandboxProfile } from './command-spec.ts';
import type { Refusal } from './refusal.ts';
import { replaceable } from './resolve-program.ts';

/** fanout's own files: a policy, keys and audit logs are here unless somebody put them elsewhere. */
const OWN_PLACES = ['/etc/fanout', '/var/lib/fanout'];
/** A sandbox has its own of these, and the host's would be a way out of it. */
const NEVER_OPENED = ['/proc', '/dev'];
/** Where a command sees something else than the host. */
const PRIVATE_PLACES = ['/tmp', '/run', '/proc', '/dev'];

/** Whose files are to be kept closed, and who is trusted not to change a folder meanwhile. */
export interface Guard {
  /** The agent's own files, which no command may see. */
  readonly hidePaths: readonly string[];
  readonly ownUid: number;
}

/**
 * Whether what a rule opens is what it seems, or why not. Each path must be there, be its own real path and have nothing
 * above it that anybody but root (or the agent's own account) could replace, so that no link can be planted in it between
 * this look and the mount. What is missing is refused: a command that gets less than its rule says would fail in stranger
 * ways.
 */
export function checkAllowances(allowances: Allowances, guard: Guard): Refusal | undefined {
  for (const kind of ['read', 'write', 'sockets'] as const) {
    for (const path of allowances[kind]) {
      const problem =
        placeProblem(path, guard) ??
        nestingProblem(path, allowances.write) ??
        realProblem(path, guard.ownUid) ??
        kindProblem(path, kind);
      if (problem === undefined) continue;
      return {
        reason: `the rule opens ${path} (${kind}), which is refused: ${problem}`,
        hint: `Look at it on the node: namei -l ${path}`,
      };
    }
  }
  return undefined;
}

/** Whether a command can start in a folder, as far as the host can tell: in a sandbox it must be visible as well. */
export function checkFolder(
  path: string,
  sandbox: SandboxProfile,
  user: RunAs | undefined,
  guard: Guard,
): Refusal | undefined {
  const isPrivate = sandbox !== 'none' && PRIVATE_PLACES.some((place) => isWithin(path, place));
  const problem = isPrivate || path === '/' ? undefined : folderProblem(path, user, guard);
  if (problem === undefined) return undefined;
  const hint = `Look at it on the node: namei -l ${path}`;
  return { reason: `the rule's cwd ${path} is refused: ${problem}`, hint };
}

function folderProblem(path: string, user: RunAs | undefined, guard: Guard): string | undefined {
  const problem = realProblem(path, guard.ownUid);
  if (problem !== undefined) return problem;
  if (!statSync(path).isDirectory()) return 'it is not a folder';
  if (user === undefined) return undefined;
  // The agent is root and can go everywhere: its commands must not start where they could not have gone.
  const closed = [path, ...above(path)].find((folder) => !canEnter(statSync(folder), user));
  return closed === undefined ? undefined : `user ${user.name} may not enter ${closed}`;
}

/** Whether an account may go through a folder, by its mode. */
export function canEnter(directory: Stats, user: RunAs): boolean {
  if (user.uid === 0) return true;
  if (directory.uid === user.uid) return (directory.mode & 0o100) !== 0;
  if (directory.gid === user.gid || user.groups.includes(directory.gid)) {
    return (directory.mode & 0o010) !== 0;
  }
  return (directory.mode & 0o001) !== 0;
}

function placeProblem(path: string, { hidePaths }: Guard): string | undefined {
  if (path === '/') return 'it would open everything';
  const never = NEVER_OPENED.find((place) => isWithin(path, place));
  if (never !== undefined) return `a sandbox has its own ${never}`;
  const own = [...OWN_PLACES, ...hidePaths.flatMap((hidden) => [hidden, realOf(hidden) ?? hidden])].find(
    (place) => isWithin(path, place) || isWithin(place, path),
  );
  return own === undefined ? undefined : `the agent keeps its own files in ${own}`;
}

/** A command that may write in a folder could put another thing in the place of what lies in it. */
function nestingProblem(path: string, write: readonly string[]): string | undefined {
  const outer = write.find((folder) => folder !== path && isWithin(path, folder));
  return outer === undefined ? undefined : `it lies in ${outer}, where the command may write`;
}

function realProblem(path: string, ownUid: number): string | undefined {
  try {
    const real = realpathSync(path);
    if (real !== path) return `it is really ${real}`;
    for (const folder of above(path)) {
      const unsafe = replaceable(folder, statSync(folder), ownUid);
      if (unsafe !== undefined) return `${unsafe}, so that something else could be put in its place`;
    }
    return undefined;
  } catch (error) {
    const code = codeOf(error);
    return code === 'ENOENT' ? 'it does not exist' : `it cannot be examined (${code})`;
  }
}

function kindProblem(path: string, kind: keyof Allowances): string | undefined {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (kind === 'sockets') return found?.isSocket() === true ? undefined : 'it is not a socket';
  if (found?.isDirectory() === true || found?.isFile() === true) return undefined;
  return found?.isSocket() === true
    ? 'it is a socket: list it in "sockets"'
    : 'it is neither a file nor a folder';
}

/** The folders above a path, the nearest first. */
function above(path: string): string[] {
  const folders: string[] = [];
  for (let folder = dirname(path); ; folder = dirname(folder)) {
    folders.push(folder);
    if (folder === '/') return folders;
  }
}

function isWithin(path: string, folder: string): boolean {
  return path === folder || path.startsWith(folder === '/' ? '/' : `${folder}/`);
}

function realOf(path: string): string | undefined {
  try {
    return realpathSync(path);
  } catch {
    return undefined;
  }
}
