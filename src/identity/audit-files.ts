import { closeSync, constants, fsyncSync, lstatSync, openSync, readdirSync, renameSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { errnoOf } from '../lib/errors.ts';
import { LINE_BYTES_MAX, parseAuditLine } from './audit-record.ts';
import { linesForward, TOO_LONG } from './file-lines.ts';

// A log is the file PATH and, before it, PATH.1, PATH.2 and so on, each the continuation of the next. A crash in the
// middle of a rotation leaves a gap in the numbers or no PATH at all: both are read as if nothing had happened.

/** Rotated files that are kept beside the one that is written. */
export const FILES_KEPT = 10;

/** Records that are not kept any more, because the file with them was the oldest. */
export interface DroppedRecords {
  readonly first: number;
  readonly last: number;
}

/** The rotated files of a log that are there, the newest first. `PATH` itself is not among them. */
export function rotatedFiles(path: string): string[] {
  const prefix = `${basename(path)}.`;
  let names: string[];
  try {
    names = readdirSync(dirname(path));
  } catch {
    return [];
  }
  return names
    .filter((name) => name.startsWith(prefix) && /^[1-9]\d{0,3}$/.test(name.slice(prefix.length)))
    .map((name) => Number(name.slice(prefix.length)))
    .sort((a, b) => a - b)
    .map((number) => `${path}.${number}`);
}

/**
 * Moves PATH to PATH.1 and what was there one further, and says which records the oldest took with it. Every step is
 * one rename, so that a crash between any two loses no record. Throws what rename throws.
 */
export function rotate(path: string, kept: number = FILES_KEPT): DroppedRecords | undefined {
  let free = 1;
  while (free < kept && exists(`${path}.${free}`)) free++;
  const dropped = exists(`${path}.${free}`) ? spanOf(`${path}.${free}`, `${path}.${free - 1}`) : undefined;
  for (let number = free; number > 1; number--) {
    renameSync(`${path}.${number - 1}`, `${path}.${number}`);
  }
  renameSync(path, `${path}.1`);
  syncFolder(dirname(path));
  return dropped;
}

/** The number of the first record of a file; undefined when there is none. */
function firstSeqOf(path: string): number | undefined {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch {
    return undefined;
  }
  try {
    const first = linesForward(fd, LINE_BYTES_MAX).next().value;
    if (first === undefined || first.line === TOO_LONG || !first.isWhole) return undefined;
    return parseAuditLine(first.line)?.seq;
  } finally {
    closeSync(fd);
  }
}

function spanOf(path: string, next: string): DroppedRecords | undefined {
  const first = firstSeqOf(path);
  const end = firstSeqOf(next);
  return first === undefined || end === undefined ? undefined : { first, last: end - 1 };
}

function exists(path: string): boolean {
  try {
    lstatSync(path);
    return true;
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return false;
    throw error;
  }
}

function syncFolder(path: string): void {
  const fd = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
