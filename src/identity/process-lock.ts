import { randomBytes } from 'node:crypto';
import {
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  statSync,
  unlinkSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { errnoOf, FanoutError } from '../lib/errors.ts';
import type { Millis } from '../lib/time.ts';
import { checkFolders, quote } from './owned-file.ts';

// Lamport's bakery in a folder. Node has no flock, and a lock file that the dead leave behind cannot be removed safely:
// of two who find it, the slower removes the lock that the faster has just taken. Here everybody has a file of their
// own, whose name no other process ever has, so whoever removes the file of a dead one removes nothing else.

/** How long to wait for the others. Each holds the lock for a few milliseconds. */
const WAIT_MS_MAX: Millis = 20_000;
/** A ticket from another machine or container, where nobody can be looked up, is forgotten after this time. */
const FOREIGN_MS_MAX: Millis = 60_000;
const POLL_MS_MAX = 20;
const TICKET_DIGITS = 15;

const CHOOSING = 'choosing';
const NAME = /^(choosing|\d{15})-([0-9a-f]*)-(\d*)-(\d+)-(\d*)-([0-9a-f]{16})$/;

interface Ticket {
  readonly name: string;
  readonly isChoosing: boolean;
  readonly number: number;
  readonly place: string;
  readonly pid: number;
  readonly startedAt: string;
}

/**
 * Runs `work` while no other process runs its own under the same folder, which is made (0700) when it is missing.
 * What a process leaves that dies meanwhile is recognised and removed. Throws FanoutError CONFIG when the others hold
 * it for too long, or the folder cannot be used, and what `work` throws.
 */
export async function withProcessLock<T>(
  folder: string,
  work: () => T,
  waitMs: Millis = WAIT_MS_MAX,
): Promise<T> {
  const me = `${placeOf()}-${process.pid}-${startOf(process.pid) ?? ''}-${randomBytes(8).toString('hex')}`;
  const choosing = `${CHOOSING}-${me}`;
  let mine: string | undefined;
  try {
    prepare(folder);
    create(join(folder, choosing));
    const highest = Math.max(0, ...tickets(folder).map(({ number }) => number));
    mine = `${String(highest + 1).padStart(TICKET_DIGITS, '0')}-${me}`;
    create(join(folder, mine));
    remove(join(folder, choosing));
    await waitForTurn(folder, mine, performance.now() + waitMs);
    return work();
  } catch (error) {
    if (error instanceof FanoutError || errnoOf(error) === undefined) throw error;
    throw new FanoutError('CONFIG', `the lock ${folder} cannot be taken: ${errnoOf(error)}`, {
      hint: `Look at: ls -la ${quote(folder)}; df -h ${quote(folder)}`,
      cause: error,
    });
  } finally {
    remove(join(folder, choosing));
    if (mine !== undefined) remove(join(folder, mine));
  }
}

function prepare(folder: string): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  checkFolders(realpathSync(folder), 'CONFIG');
}

async function waitForTurn(folder: string, mine: string, until: Millis): Promise<void> {
  // Whoever was choosing when our ticket came may have a smaller one, or the same: of those, the smaller name goes first.
  await waitWhile(folder, until, ({ isChoosing }) => isChoosing);
  await waitWhile(folder, until, ({ isChoosing, name }) => !isChoosing && name < mine);
}

async function waitWhile(
  folder: string,
  until: Millis,
  isBefore: (ticket: Ticket) => boolean,
): Promise<void> {
  const own = `-${process.pid}-`;
  for (let pauseMs = 1; ; pauseMs = Math.min(2 * pauseMs, POLL_MS_MAX)) {
    const before = tickets(folder).find((ticket) => isBefore(ticket) && !isOver(folder, ticket));
    if (before === undefined) return;
    if (performance.now() > until) {
      const who = before.name.includes(own) ? 'this process itself' : `process ${before.pid}`;
      throw new FanoutError('CONFIG', `${who} has held the lock ${folder} for too long`, {
        hint: `Is it stopped? Look at: ps -fp ${before.pid}; end it, or wait.`,
      });
    }
    await sleep(pauseMs);
  }
}

function tickets(folder: string): Ticket[] {
  const found: Ticket[] = [];
  for (const name of readdirSync(folder)) {
    const match = NAME.exec(name);
    if (match === null) continue;
    const [, first = '', boot, space, pid, startedAt = ''] = match;
    const isChoosing = first === CHOOSING;
    const number = isChoosing ? 0 : Number(first);
    found.push({ name, isChoosing, number, place: `${boot}-${space}`, pid: Number(pid), startedAt });
  }
  return found;
}

/** Whether the process of a ticket is gone; its file then goes too. */
function isOver(folder: string, ticket: Ticket): boolean {
  const path = join(folder, ticket.name);
  const isHere = ticket.place === placeOf();
  if (isHere ? startOf(ticket.pid) === ticket.startedAt : ageOf(path) < FOREIGN_MS_MAX) return false;
  remove(path);
  return true;
}

/** This boot of this machine and this space of process ids: only there a pid means something. */
function placeOf(): string {
  try {
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').replace(/[^0-9a-f]/g, '');
    return `${boot.slice(0, 16)}-${/\d+/.exec(readlinkSync('/proc/self/ns/pid'))?.[0] ?? ''}`;
  } catch {
    return '-';
  }
}

/** When a process began, in the kernel's ticks; undefined when there is none (any more). */
function startOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const [state, ...fields] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return state === 'Z' || state === 'X' ? undefined : fields[18];
  } catch (error) {
    // Elsewhere than on Linux the number itself has to do.
    if (errnoOf(error) !== 'ENOENT' || statOrNothing('/proc/self/stat')) return undefined;
    return isAlive(pid) ? '' : undefined;
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

function statOrNothing(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false }) !== undefined;
}

function ageOf(path: string): number {
  const mtimeMs = statSync(path, { throwIfNoEntry: false })?.mtimeMs;
  return mtimeMs === undefined ? Number.POSITIVE_INFINITY : Date.now() - mtimeMs;
}

function create(path: string): void {
  closeSync(openSync(path, 'wx', 0o600));
}

function remove(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error;
  }
}
