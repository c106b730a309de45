import {
  closeSync,
  lstatSync,
  openSync,
  readlinkSync,
  readSync,
  realpathSync,
  type Stats,
  statSync,
} from 'node:fs';
import { basename, dirname, isAbsolute, join } from 'node:path';
import { codeOf, errnoOf } from '../lib/errors.ts';
import type { Refusal } from './refusal.ts';

/**
 * Where programs are looked for, never the agent's own PATH. The distribution's directories come first, so that what
 * somebody put into /usr/local cannot take the name of a system program.
 */
export const SEARCH_PATH: readonly string[] = [
  '/usr/bin',
  '/bin',
  '/usr/sbin',
  '/sbin',
  '/usr/local/bin',
  '/usr/local/sbin',
];

/** As many symbolic links in one path as the kernel follows. */
const LINKS_MAX = 40;

const WRITABLE_BY_GROUP = 0o020;
const WRITABLE_BY_OTHERS = 0o002;
const SETUID_OR_SETGID = 0o6000;
const EXECUTABLE = 0o111;

/**
 * The file to execute for a program's name (bare or absolute), or for the path that the policy pins. Nobody but root
 * (and, for an agent that is not root, the agent's own account) may be able to replace the file, any directory above
 * it, or anything on the way of its symbolic links. The path is returned as found and not resolved, because many
 * programs choose what they do by the name they are called by (lsmod, lvs, iptables).
 */
export function resolveProgram(
  program: string,
  pinned: string | undefined,
  ownUid = process.getuid?.() ?? 0,
): { readonly path: string } | Refusal {
  const wanted = pinned ?? program;
  if (isAbsolute(wanted)) return checkProgram(wanted, ownUid);
  if (wanted === '' || wanted === '.' || wanted === '..' || wanted.includes('/')) {
    return {
      reason: `"${wanted}" is neither a plain program name nor an absolute path`,
      hint: 'Give the name alone (ps) or the whole path (/usr/bin/ps).',
    };
  }
  for (const directory of SEARCH_PATH) {
    const path = join(directory, wanted);
    if (exists(path)) return checkProgram(path, ownUid);
  }
  return {
    reason: `no program "${wanted}" in ${SEARCH_PATH.join(', ')}`,
    hint: 'Install it on the node, or pin its path in the rule with "path".',
  };
}

/** A folder that this account may not enter is passed over, as execvp(3) does. */
function exists(path: string): boolean {
  try {
    lstatSync(path);
    return true;
  } catch {
    return false;
  }
}

function checkProgram(path: string, ownUid: number): { readonly path: string } | Refusal {
  let problem: string | undefined;
  try {
    problem = walk(path, ownUid);
  } catch (error) {
    const code = codeOf(error);
    problem = code === 'ENOENT' ? `${path} does not exist` : `${path} cannot be examined (${code})`;
  }
  if (problem === undefined) return { path };
  return {
    reason: `${problem}, so it is not run`,
    hint: `Look at it on the node: namei -l ${path}`,
  };
}

/** Follows a path step by step, as the kernel will. Returns what is wrong, or undefined. */
function walk(path: string, ownUid: number): string | undefined {
  const pending = path.split('/').filter((part) => part !== '');
  let current = '/';
  let links = 0;
  for (;;) {
    const unsafe = replaceable(current, statSync(current), ownUid);
    if (unsafe !== undefined) return unsafe;
    const part = pending.shift();
    if (part === undefined) return `${path} is a directory`;
    if (part === '.') continue;
    const next = part === '..' ? dirname(current) : join(current, part);
    const found = lstatSync(next);
    if (found.isSymbolicLink()) {
      if (++links > LINKS_MAX) return `${path} has more than ${LINKS_MAX} symbolic links`;
      const target = readlinkSync(next);
      if (isAbsolute(target)) current = '/';
      pending.unshift(...target.split('/').filter((piece) => piece !== ''));
    } else if (found.isDirectory()) {
      current = next;
    } else if (pending.length > 0) {
      return `${next} is not a directory`;
    } else {
      return replaceable(next, found, ownUid) ?? unfit(next, found);
    }
  }
}

/** Why somebody else could change a file or directory, or undefined when nobody can. */
export function replaceable(path: string, found: Stats, ownUid: number): string | undefined {
  if (found.uid !== 0 && found.uid !== ownUid) return `${path} belongs to uid ${found.uid}, not to root`;
  if ((found.mode & WRITABLE_BY_OTHERS) !== 0) return `${path} is writable by everybody`;
  if ((found.mode & WRITABLE_BY_GROUP) !== 0 && found.gid !== 0) {
    return `${path} is writable by group ${found.gid}`;
  }
  return undefined;
}

function unfit(path: string, found: Stats): string | undefined {
  if (!found.isFile()) return `${path} is not a regular file`;
  if ((found.mode & EXECUTABLE) === 0) return `${path} is not executable`;
  if ((found.mode & SETUID_OR_SETGID) !== 0) return `${path} is setuid or setgid`;
  // execvp(3), which every launcher uses, gives a file that the kernel does not know to a shell.
  if (!isKnownFormat(path)) return `${path} is neither an ELF binary nor a script with "#!"`;
  return undefined;
}

function isKnownFormat(path: string): boolean {
  const head = Buffer.alloc(4);
  let descriptor: number;
  try {
    descriptor = openSync(path, 'r');
  } catch (error) {
    // May be executed but not read: no shell can read it either.
    if (errnoOf(error) === 'EACCES') return true;
    throw error;
  }
  try {
    const length = readSync(descriptor, head, 0, head.length, 0);
    const text = head.toString('latin1', 0, length);
    return text === '\x7fELF' || text.startsWith('#!');
  } finally {
    closeSync(descriptor);
  }
}

/** An argument that the policy allowed as a path, and whose real path it wants to see too. */
export interface RealPathCheck {
  /** The path itself: the whole argument, or what stands behind the = of a long option. */
  readonly path: string;
  readonly accepts: (realPath: string) => boolean;
  readonly pattern: string;
}

/**
 * Holds the real path of each such argument against the rule, so that a symbolic link does not lead out of what the
 * rule allows. A file that does not exist is fine when its directory does and its name there is allowed. Returns the
 * first objection, or undefined. What is swapped between this check and the program's own look is left to the sandbox.
 */
export function checkRealPaths(checks: readonly RealPathCheck[]): string | undefined {
  for (const { path, accepts, pattern } of checks) {
    if (!isAbsolute(path))
      return `"${path}" is not an absolute path, so it cannot be held against "${pattern}"`;
    const real = realPathOf(path);
    if (real === undefined)
      return `${path} cannot be resolved on this node, so it is not within "${pattern}"`;
    if (!accepts(real)) return `${path} is really ${real}, which is not within "${pattern}"`;
  }
  return undefined;
}

function realPathOf(path: string): string | undefined {
  try {
    return realpathSync(path);
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') return undefined;
  }
  try {
    // A dangling link could lead anywhere by the time the program follows it.
    if (exists(path)) return undefined;
    return join(realpathSync(dirname(path)), basename(path));
  } catch {
    return undefined;
  }
}
