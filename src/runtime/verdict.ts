import { isDeepStrictEqual } from 'node:util';
import { formatDuration, type Millis } from '../lib/time.ts';
import type { Limits } from '../policy/policy.ts';
import type { CommandSpec } from './command-spec.ts';
import type { AnsweredAdmission } from './gate.ts';
import { type Abilities, groundFor } from './ground.ts';
import { checkRealPaths, resolveProgram } from './resolve-program.ts';

/** A command that this node will run, when its asker says so. */
export interface RunVerdict {
  readonly kind: 'run';
  readonly spec: CommandSpec;
  readonly rule: string;
  readonly readOnly: boolean;
  /** The longest that the policy lets it run; `spec` has what was asked for, if that is less. */
  readonly limitMs: Millis;
  /** How often it may start, for whoever counts. */
  readonly rate?: Limits['rate'];
}

/** What the node has decided to do about an admitted command. */
export type Verdict =
  | RunVerdict
  | { readonly kind: 'denied'; readonly code: string; readonly rule: string; readonly reason: string }
  | { readonly kind: 'failed'; readonly reason: string; readonly hint: string };

/** What this machine can do at the moment. */
export interface Machine extends Abilities {
  /** Commands that run now, per rule. */
  readonly running: (rule: string) => number;
  /** How long a start of this rule has to wait, because there were too many. */
  readonly waitMs: (rule: string, rate: Limits['rate']) => Millis;
  /** When the agent died while it ran exactly this by this rule; undefined when it did not. */
  readonly suspectSince: (rule: string, argv: readonly string[]) => string | undefined;
  /** The agent's own files, which no command may see. */
  readonly hidePaths: readonly string[];
}

/**
 * Turns the policy's decision into what this machine will do: the program's real path, and what it stands on here
 * (`groundFor`). What the rule asks for and the machine cannot give is a refusal, never less.
 */
export function verdictFor(admission: AnsweredAdmission, machine: Machine): Verdict {
  if (admission.kind === 'refused') {
    const { code, rule, reason } = admission;
    return { kind: 'denied', code, rule, reason };
  }
  const { decision, envelope } = admission;
  const { rule, surroundings } = decision;
  const { limits } = surroundings;
  const { argv } = envelope.body;
  const obstacle = obstacleFor(rule, limits, argv, machine);
  if (obstacle !== undefined) return obstacle;
  const program = resolveProgram(decision.program, decision.path);
  if ('reason' in program) return { kind: 'failed', ...program };
  const elsewhere = checkRealPaths(decision.pathChecks);
  if (elsewhere !== undefined) return { kind: 'denied', code: 'path', rule, reason: elsewhere };
  const ground = groundFor(rule, surroundings, machine);
  if ('reason' in ground) return { kind: 'failed', ...ground };
  return {
    kind: 'run',
    rule,
    readOnly: decision.readOnly,
    limitMs: limits.timeoutMs,
    rate: limits.rate,
    spec: {
      path: program.path,
      argv,
      timeoutMs: Math.min(limits.timeoutMs, envelope.body.timeoutMs),
      outputBytesMax: limits.outputBytes,
      ...ground,
    },
  };
}

/** What stands against a start at this moment, however well the rule and the machine fit. */
function obstacleFor(
  rule: string,
  { concurrency, rate }: Limits,
  argv: readonly string[],
  machine: Machine,
): Verdict | undefined {
  const denied = (code: string, reason: string): Verdict => ({ kind: 'denied', code, rule, reason });
  if (machine.running(rule) >= concurrency) {
    return denied('concurrency', `rule "${rule}" runs ${concurrency} commands at once at most; try again`);
  }
  const waitMs = machine.waitMs(rule, rate);
  if (rate !== undefined && waitMs > 0) {
    const each = `${rate.count} in ${formatDuration(rate.perMs)}`;
    return denied('rate', `rule "${rule}" starts ${each} at most; try again in ${formatDuration(waitMs)}`);
  }
  const since = machine.suspectSince(rule, argv);
  if (since === undefined) return undefined;
  return denied(
    'suspect',
    `this node's agent died while it ran exactly this (found ${since}): start it once with --forgive, or ask its owner`,
  );
}

/**
 * The verdict at the moment of the start. The asker let the command go by what it was told at first (perhaps only because
 * all of it changes nothing), so one that would now run by another rule, as another program, as somebody else or in
 * other surroundings is refused like one that is denied. Limits of time, output and use are those of now.
 */
export function confirmVerdict(accepted: RunVerdict, now: Verdict): Verdict {
  if (now.kind !== 'run' || isDeepStrictEqual(footing(accepted), footing(now))) return now;
  const reason = 'since it was accepted, this node would run it in another way: ask again';
  return { kind: 'denied', code: 'changed', rule: now.rule, reason };
}

/** All of a verdict but its limits, which protect the node and may change at any time. */
function footing({ spec, rule, readOnly }: RunVerdict): unknown {
  const { timeoutMs: _time, outputBytesMax: _output, budget: _budget, groupHome: _home, ...rest } = spec;
  return { rule, readOnly, rest };
}
