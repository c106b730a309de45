import { FanoutError } from '../../lib/errors.ts';
import { type Millis, parseDuration } from '../../lib/time.ts';
import { parseCommandString } from '../../policy/command-string.ts';
import { exactText } from '../../policy/selector.ts';
import { type Amount, parseAmount, type RolloutPlan } from '../../run/rollout.ts';
import { show } from './go.ts';
import { LIST_START } from './list.ts';
import { notice, type Step, stay } from './messages.ts';
import {
  type CommandState,
  OPTION_NAMES,
  type OptionName,
  type SessionState,
  type Verdict,
} from './state.ts';
import { EMPTY_FIELD, fieldOf, type TextField } from './text-field.ts';

/** After the last key, how long until the nodes are asked by themselves. */
const ASK_AFTER_MS: Millis = 400;
/** Above this many nodes they are asked only on demand: every question is a signed command that each of them answers. */
const ASK_UNASKED_MAX = 200;
const TIMEOUT_MS_MAX: Millis = 24 * 3_600_000;

export function withCommand(state: SessionState, changes: Partial<CommandState>): SessionState {
  return { ...state, command: { ...state.command, ...changes } };
}

/** The names that a run would go to: those that match, or of them the ones that the run is restricted to. */
export function runTargets(state: SessionState): readonly string[] {
  const { only } = state.command;
  if (only === undefined) return state.targets.matched;
  const names = new Set(only.names);
  return state.members
    .filter(({ name, status }) => status === 'alive' && names.has(name))
    .map(({ name }) => name);
}

/** Takes an edited command line: what the nodes said of the old one no longer holds. */
export function setCommandText(state: SessionState, field: TextField): Step {
  const next = withCommand(state, { field, recalled: -1, typed: field.text });
  if (field.text === state.command.field.text) return stay(next);
  return reconsider(next);
}

/** What can be said of the command without asking anybody, and when to ask. */
export function reconsider(state: SessionState): Step {
  const { text } = state.command.field;
  // An answer to the old question that is still on its way is one to no question any more.
  const token = state.command.token + 1;
  return stay(withCommand(state, { token, verdict: firstVerdict(state, text) }), { kind: 'drop-verdict' });
}

function firstVerdict(state: SessionState, text: string): Verdict {
  if (text.trim() === '') return { kind: 'none' };
  const read = readCommand(text);
  if ('problem' in read) return { kind: 'refused', reason: read.problem };
  if (!state.asksByItself || runTargets(state).length > ASK_UNASKED_MAX) return { kind: 'none' };
  return { kind: 'waiting', at: state.now + ASK_AFTER_MS };
}

function readCommand(text: string): { argv: readonly string[] } | { problem: string } {
  try {
    return { argv: parseCommandString(text) };
  } catch (error) {
    if (!(error instanceof FanoutError)) throw error;
    return { problem: error.message.split('\n')[0] ?? '' };
  }
}

/** The clock has moved: asks the nodes when the person has stopped typing. */
export function commandTick(state: SessionState): Step {
  const { verdict } = state.command;
  if (verdict.kind !== 'waiting' || state.now < verdict.at) return stay(state);
  return ask(state);
}

function ask(state: SessionState): Step {
  const read = readCommand(state.command.field.text);
  if ('problem' in read)
    return stay(withCommand(state, { verdict: { kind: 'refused', reason: read.problem } }));
  const targets = runTargets(state);
  if (targets.length === 0 || state.link === 'lost' || targetsProblem(state) !== '') {
    return stay(withCommand(state, { verdict: { kind: 'none' } }));
  }
  const token = state.command.token + 1;
  const { argv } = read;
  const selector = runSelector(state);
  const timeoutMs = parseDuration(state.command.options.timeout.text) ?? 30_000;
  return stay(withCommand(state, { token, verdict: { kind: 'asking', token } }), {
    kind: 'ask-verdict',
    token,
    argv,
    selector,
    targets,
    timeoutMs,
  });
}

/** What the envelope says: the selection, or the very names when the run is restricted to some. */
function runSelector(state: SessionState): string {
  if (state.command.only === undefined) return state.targets.selector;
  return runTargets(state)
    .map((name) => `node=${exactText(name) ?? ''}`)
    .join(' or ');
}

/** Why the targets cannot be used as they stand, '' when they can. */
function targetsProblem(state: SessionState): string {
  const { only } = state.command;
  if (only === undefined) return state.targets.problem;
  const odd = runTargets(state).find((name) => exactText(name) === undefined);
  return odd === undefined ? '' : `the node ${odd} cannot be meant alone: its name is a pattern`;
}

interface Options {
  readonly timeoutMs: Millis;
  readonly rollout: RolloutPlan | undefined;
}

/** Reads the options. The problem names the option and what it takes. */
function readOptions(
  options: CommandState['options'],
): Options | { readonly problem: string; readonly option: OptionName } {
  const timeoutMs = parseDuration(options.timeout.text);
  if (timeoutMs === undefined || timeoutMs <= 0 || timeoutMs > TIMEOUT_MS_MAX) {
    return { option: 'timeout', problem: 'timeout: write it like 30s, 2m or 1m30s' };
  }
  const pauseMs = options.pause.text === '' ? 0 : parseDuration(options.pause.text);
  if (pauseMs === undefined || pauseMs > TIMEOUT_MS_MAX)
    return { option: 'pause', problem: 'pause: write it like 5s (a day at most), or leave it empty' };
  const amounts: Partial<Record<OptionName, Amount>> = {};
  for (const option of ['batch', 'errors'] as const) {
    const { text } = options[option];
    if (text === '') continue;
    const amount = parseAmount(text);
    if (amount === undefined || (option === 'batch' && amount.value === 0)) {
      return { option, problem: `${option}: a number of nodes such as 5, or a share such as 10%` };
    }
    amounts[option] = amount;
  }
  const counts: Partial<Record<OptionName, number>> = {};
  for (const option of ['canary', 'window'] as const) {
    const { text } = options[option];
    if (!/^\d{0,6}$/.test(text)) return { option, problem: `${option}: a number of nodes, or nothing` };
    counts[option] = Number(text);
  }
  const { canary = 0, window = 0 } = counts;
  const { batch, errors: maxErrors } = amounts;
  const isPlain = batch === undefined && maxErrors === undefined && canary === 0 && window === 0;
  if (isPlain) return { timeoutMs, rollout: undefined };
  return { timeoutMs, rollout: { batch, batchSleepMs: pauseMs, canary, maxErrors, window } };
}

function run(state: SessionState): Step {
  if (state.command.option !== undefined) return stay(withCommand(state, { option: undefined }));
  const { text } = state.command.field;
  if (text.trim() === '') return stay(notice(state, 'type a command first'));
  if (state.link === 'lost') return stay(notice(state, 'the agent is gone: nothing can be sent', 'bad'));
  const read = readCommand(text);
  if ('problem' in read) return stay(notice(state, read.problem, 'bad'));
  const unusable = targetsProblem(state);
  if (unusable !== '') return stay(notice(state, unusable, 'bad'));
  const options = readOptions(state.command.options);
  if ('problem' in options) {
    return stay(notice(withCommand(state, { option: options.option }), options.problem, 'bad'));
  }
  const targets = runTargets(state);
  if (targets.length === 0) return stay(notice(state, 'no living member matches any more', 'bad'));
  if (state.run?.isLive === true && state.run.run.phase !== 'ended') {
    return stay(notice(state, 'a run is under way: stop it first (V shows it, c stops it)', 'warn'));
  }
  return stay(withCommand(state, { recalled: -1 }), {
    kind: 'start-run',
    command: text.trim(),
    argv: read.argv,
    selector: runSelector(state),
    targets,
    ...options,
  });
}

/** Up and down in the history; below the newest is what was typed. */
function recall(state: SessionState, by: 1 | -1): Step {
  if (state.command.option !== undefined) return stay(state);
  const commands = pastCommands(state);
  const { recalled, typed } = state.command;
  const next = Math.max(-1, Math.min(recalled + by, commands.length - 1));
  if (next === recalled) return stay(state);
  const text = next < 0 ? typed : (commands[next] ?? typed);
  return reconsider(withCommand(state, { recalled: next, field: fieldOf(text) }));
}

/** Commands of the history, each once, the newest first. */
export function pastCommands(state: SessionState): readonly string[] {
  return [...new Set(state.history.map(({ command }) => command))];
}

/** Completes the first word to the programs that the policy allows, as far as they agree. */
function complete(state: SessionState): Step {
  const { option, field } = state.command;
  if (option !== undefined) {
    const at = (OPTION_NAMES.indexOf(option) + 1) % OPTION_NAMES.length;
    return stay(withCommand(state, { option: OPTION_NAMES[at] }));
  }
  const word = field.text.slice(0, field.cursor);
  if (/\s/.test(word)) return stay(notice(state, 'only the program can be completed'));
  const candidates = state.programs.map(({ program }) => program).filter((name) => name.startsWith(word));
  const [first] = candidates;
  if (first === undefined) {
    return stay(notice(state, `the policy here allows you no program that begins with "${word}"`));
  }
  const shared = candidates.reduce((prefix, name) => {
    let length = 0;
    while (length < prefix.length && prefix[length] === name[length]) length++;
    return prefix.slice(0, length);
  }, first);
  const completed = candidates.length === 1 ? `${shared} ` : shared;
  const text = completed + field.text.slice(field.cursor).replace(candidates.length === 1 ? /^ / : /^$/, '');
  const step = setCommandText(state, { text, cursor: completed.length });
  if (candidates.length === 1) return step;
  const shown = candidates.slice(0, 12).join('  ');
  return { ...step, state: notice(step.state, candidates.length > 12 ? `${shown} ...` : shown) };
}

/** Brings a command, and where it is to run, to the command line; Enter then runs it. */
export function bringCommand(state: SessionState, command: string, only: CommandState['only']): Step {
  const next = withCommand(show(state, 'command'), {
    field: fieldOf(command),
    recalled: -1,
    typed: command,
    only,
  });
  return reconsider({ ...next, overlay: undefined });
}

export const COMMAND_ACTIONS = {
  'command.run': run,
  'command.complete': complete,
  'command.older': (state: SessionState): Step => recall(state, 1),
  'command.newer': (state: SessionState): Step => recall(state, -1),
  'command.history': (state: SessionState): Step =>
    stay({ ...state, overlay: { kind: 'history', field: EMPTY_FIELD, list: LIST_START } }),
  'command.options': (state: SessionState): Step =>
    stay(withCommand(state, { option: state.command.option === undefined ? 'timeout' : undefined })),
  'command.ask': ask,
  'command.targets': (state: SessionState): Step => stay(show(state, 'targets')),
};
