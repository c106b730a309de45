import { namesFrom } from '../asker/from.ts';
import { hasSelection, type SelectionFlags, selectorFrom } from '../asker/select.ts';
import { FanoutError } from '../lib/errors.ts';
import { formatDuration, type Millis, parseDuration } from '../lib/time.ts';
import { allOf, exactText, type Selector, selectorText } from '../policy/selector.ts';
import { parseSelector, termOf } from '../policy/selector-parser.ts';
import type { GatherOptions } from '../report/render-gathered.ts';
import type { OutputOptions } from '../report/renderers.ts';
import { type Amount, parseAmount, type RolloutPlan } from '../run/rollout.ts';
import { fileWriters } from './output-files.ts';
import type { ColourChoice } from './terminals.ts';

const TIMEOUT_MS_MAX: Millis = 24 * 3_600_000;

/** The flags of a run as commander gives them. */
export interface RunOptions extends SelectionFlags {
  readonly all?: boolean;
  readonly from?: string;
  readonly identity?: string;
  readonly timeout: string;
  readonly format: OutputOptions['format'];
  readonly rpcAddr?: string;
  readonly fanout?: string;
  readonly batch?: string;
  readonly batchSleep?: string;
  readonly canary?: string;
  readonly maxErrors?: string;
  readonly yes?: boolean;
  readonly dryRun?: boolean;
  readonly gather?: boolean;
  readonly gatherAll?: boolean;
  readonly lines?: boolean;
  readonly diff?: boolean;
  /** False with -N. */
  readonly label: boolean;
  readonly quiet?: boolean;
  readonly outdir?: string;
  readonly errdir?: string;
  readonly maxrc?: boolean;
  readonly color: ColourChoice;
  /** False with --no-record. */
  readonly record: boolean;
}

/** Whom the run is for. Throws FanoutError. */
export function selectionOf(options: SelectionFlags & Pick<RunOptions, 'all' | 'from'>): Selector {
  if (options.all === true && (hasSelection(options) || options.from !== undefined)) {
    throw new FanoutError('USAGE', '--all and a selection exclude each other', {
      hint: 'Leave one of them out.',
    });
  }
  const selector = selectorFrom(options);
  if (options.from === undefined) return selector;
  const names = namesFrom(options.from);
  const odd = names.find((name) => exactText(name) === undefined);
  if (odd !== undefined) {
    throw new FanoutError(
      'USAGE',
      `the node ${JSON.stringify(odd)} of that run cannot be meant alone: its name is a pattern`,
      {
        hint: 'Nothing was sent. Leave it out with another part of --from, and look at who calls itself so.',
      },
    );
  }
  return parseSelector(selectorText(allOf(selector, { root: termOf(undefined, names) })));
}

/** A duration; a bare number counts seconds. Throws FanoutError USAGE. */
export function durationOf(flag: string, text: string, least = 1): Millis {
  const ms = /^\d+$/.test(text) ? Number(text) * 1000 : parseDuration(text);
  if (ms !== undefined && ms >= least && ms <= TIMEOUT_MS_MAX) return ms;
  throw new FanoutError('USAGE', `${flag} ${text}: not a duration up to ${formatDuration(TIMEOUT_MS_MAX)}`, {
    hint: 'Write 500ms, 10s, 2m or 1m30s; a bare number is seconds.',
  });
}

/** How the run goes over its targets; undefined: all at once. Throws FanoutError USAGE. */
export function rolloutOf(options: RunOptions): RolloutPlan | undefined {
  const { batch, batchSleep, canary, maxErrors, fanout } = options;
  if ([batch, batchSleep, canary, maxErrors, fanout].every((flag) => flag === undefined)) return undefined;
  if (batchSleep !== undefined && batch === undefined && canary === undefined) {
    throw new FanoutError('USAGE', '--batch-sleep without --batch has nothing to sleep between', {
      hint: 'Add --batch 10%, or --canary 1.',
    });
  }
  return {
    batch: batch === undefined ? undefined : amountOf('--batch', batch, 1),
    batchSleepMs: batchSleep === undefined ? 0 : durationOf('--batch-sleep', batchSleep, 0),
    canary: canary === undefined ? 0 : countOf('--canary', canary),
    maxErrors:
      maxErrors === undefined
        ? // One that fails is reason enough to look, when somebody goes carefully.
          batch === undefined
          ? undefined
          : { value: 0, unit: 'nodes' }
        : amountOf('--max-errors', maxErrors, 0),
    window: fanout === undefined ? 0 : countOf('--fanout', fanout),
  };
}

function amountOf(flag: string, text: string, least: number): Amount {
  const amount = parseAmount(text);
  if (amount !== undefined && amount.value >= least) return amount;
  throw new FanoutError('USAGE', `${flag} ${text}: not a number of nodes, nor a share`, {
    hint: `Write ${flag} 5 or ${flag} 10%.`,
  });
}

function countOf(flag: string, text: string): number {
  if (/^\d{1,6}$/.test(text)) return Number(text);
  throw new FanoutError('USAGE', `${flag} ${text}: not a number of nodes`, { hint: `Write ${flag} 5.` });
}

/** How the answers are shown. Makes the folders of -o and -e. Throws FanoutError USAGE. */
export function outputOptionsOf(options: RunOptions): OutputOptions {
  const { format, label: labels, quiet = false, outdir, errdir } = options;
  const gather = gatherOf(options);
  const files = outdir !== undefined || errdir !== undefined;
  if (format !== 'text' && (gather !== undefined || files)) {
    throw new FanoutError('USAGE', `--format ${format} and -b, -B, -L, --diff, -o, -e exclude each other`, {
      hint: 'These say how text is shown. Leave one of them out.',
    });
  }
  if (gather !== undefined && files) {
    throw new FanoutError('USAGE', '-o and -e exclude -b, -B, -L and --diff', {
      hint: 'Leave one of them out.',
    });
  }
  if (!files) return { format, labels, quiet, gather };
  return { format, labels, quiet, files: fileWriters(outdir, errdir) };
}

function gatherOf(options: RunOptions): GatherOptions | undefined {
  const { gather = false, gatherAll = false, lines = false, diff = false } = options;
  if (!(gather || gatherAll || lines || diff)) return undefined;
  if (lines && diff) {
    throw new FanoutError('USAGE', '-L and --diff exclude each other', { hint: 'Leave one of them out.' });
  }
  return { withStderr: gatherAll, style: lines ? 'line' : diff ? 'diff' : 'block' };
}
