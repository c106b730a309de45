import { closeSync, constants, mkdirSync, openSync, readdirSync, unlinkSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { utf8 } from '../lib/bytes.ts';
import { FanoutError } from '../lib/errors.ts';
import { createRenderer, type OutputSink } from '../report/renderers.ts';
import { FileNames } from '../report/safe-file-name.ts';
import { outcomeOf } from '../run/outcome.ts';
import type { RunRecord } from './run-record.ts';

export type ExportFormat = 'text' | 'dir' | 'json' | 'ndjson' | 'csv';

const CREATE = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;

/**
 * Saves a recorded run, readable by its owner alone. Nothing that exists is overwritten. Returns what was written, for
 * people. Throws FanoutError USAGE when it cannot be.
 */
export function exportRun(record: RunRecord, format: ExportFormat, path: string): string {
  try {
    return format === 'dir' ? exportFolder(record, path) : exportFile(record, format, path);
  } catch (error) {
    if (error instanceof FanoutError || !(error instanceof Error && 'code' in error)) throw error;
    const why = error.code === 'EEXIST' ? 'it exists already' : error.message;
    throw new FanoutError('USAGE', `${path} was not written: ${why}`, {
      hint: 'Give another name.',
      cause: error,
    });
  }
}

function exportFile(record: RunRecord, format: Exclude<ExportFormat, 'dir'>, path: string): string {
  const file = openSync(path, CREATE, 0o600);
  let bytes = 0;
  try {
    const sink: OutputSink = {
      // As text both streams go into one file, as they would on a terminal.
      write: (_stream, data) => {
        for (let at = 0; at < data.length; ) at += writeSync(file, data, at);
        bytes += data.length;
      },
    };
    const looks = { stdout: false, stderr: false, colours: false };
    record.replay(createRenderer({ format }, sink, record.head, looks));
  } catch (error) {
    unlinkSync(path);
    throw error;
  } finally {
    closeSync(file);
  }
  return `${path}, ${bytes} bytes`;
}

/** `DIR/NODE` with stdout, `NODE.err` with stderr where there was any, `NODE.rc` with the exit code or how it ended. */
function exportFolder(record: RunRecord, folder: string): string {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  if (readdirSync(folder).length > 0) {
    throw new FanoutError('USAGE', `${folder} is not empty`, { hint: 'Give a new folder.' });
  }
  const names = new FileNames();
  for (const target of record.state.targets.values()) {
    const name = names.of(target.name);
    const files: Record<string, number> = {};
    const append = (suffix: string, data: Uint8Array): void => {
      files[suffix] ??= openSync(join(folder, name + suffix), CREATE, 0o600);
      for (let at = 0; at < data.length; ) at += writeSync(files[suffix], data, at);
    };
    append('', new Uint8Array(0));
    for (const { stream, data } of record.outputs.chunks(target.name)) {
      append(stream === 'stdout' ? '' : '.err', data);
    }
    append('.rc', utf8(`${target.code ?? target.signal ?? outcomeOf(target)}\n`));
    for (const file of Object.values(files)) closeSync(file);
  }
  return `${folder}, ${record.state.targets.size} nodes`;
}
