import { closeSync, constants, mkdirSync, openSync, readdirSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { FanoutError } from '../lib/errors.ts';
import type { FileWriter } from '../report/render-files.ts';

/** Files that stay open at a time; the others are opened again. */
const OPEN_MAX = 200;

/** Writers for -o and -e. The folders are made; one that has something in it is refused, so that nothing is overwritten. */
export function fileWriters(
  outdir: string | undefined,
  errdir: string | undefined,
): { stdout: FileWriter | undefined; stderr: FileWriter | undefined } {
  for (const folder of new Set([outdir, errdir])) if (folder !== undefined) prepareFolder(folder);
  const suffix = outdir === errdir ? '.err' : '';
  return {
    stdout: outdir === undefined ? undefined : writerInto(outdir, ''),
    stderr: errdir === undefined ? undefined : writerInto(errdir, suffix),
  };
}

function prepareFolder(folder: string): void {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    if (readdirSync(folder).length === 0) return;
  } catch (error) {
    throw new FanoutError('USAGE', `the folder ${folder} cannot be used: ${(error as Error).message}`, {
      hint: 'Give one that you may make or write to.',
    });
  }
  throw new FanoutError('USAGE', `the folder ${folder} is not empty`, {
    hint: 'Give a new one: files of before would be mixed with those of this run.',
  });
}

/** Throws FanoutError where something lies that this run has not made, such as a link that somebody planted. */
function openOutput(path: string, flags: number): number {
  try {
    return openSync(path, flags, 0o600);
  } catch (error) {
    throw new FanoutError('CONFIG', `${path} cannot be written: ${(error as Error).message}`, {
      hint: 'Give a folder that nobody else can write to, on a disk with room.',
      cause: error,
    });
  }
}

/** Appends to files by name, which are made when they are first written to. Readable by their owner alone. */
function writerInto(folder: string, suffix: string): FileWriter {
  const open = new Map<string, number>();
  const made = new Set<string>();
  return (name, bytes) => {
    let file = open.get(name);
    if (file === undefined) {
      if (open.size >= OPEN_MAX) {
        const [[oldest, descriptor] = []] = open;
        if (oldest !== undefined && descriptor !== undefined) {
          closeSync(descriptor);
          open.delete(oldest);
        }
      }
      const flags =
        constants.O_WRONLY |
        constants.O_APPEND |
        constants.O_CREAT |
        constants.O_NOFOLLOW |
        (made.has(name) ? 0 : constants.O_EXCL);
      file = openOutput(join(folder, name + suffix), flags);
      open.set(name, file);
      made.add(name);
    }
    for (let at = 0; at < bytes.length; ) at += writeSync(file, bytes, at);
  };
}
