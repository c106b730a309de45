import { isDeepStrictEqual } from 'node:util';
import { messageOf } from '../lib/errors.ts';
import { formatDuration, type Millis } from '../lib/time.ts';
import type { Decision } from '../policy/decide.ts';
import type { Limits, SandboxProfile, Surroundings } from '../policy/policy.ts';
import { type CommandSource, type Offers, sourceOf } from './command-source.ts';
import type { CommandSpec } from './command-spec.ts';
import type { AnsweredAdmission } from './gate.ts';
import { type Abilities, groundFor } from './ground.ts';
import type { Refusal } from './refusal.ts';
import { checkRealPaths } from './resolve-program.ts';

type AllowDecision = Extract<Decision, { effect: 'allow' }>;

/** A command that this node will run, when its asker says so. */
export interface RunVerdict {
  readonly kind: 'run';
  readonly spec: CommandSpec;
  readonly rule: string;
  readonly readOnly: boolean;
  /** The longest that the policy lets it run; `spec` has what was asked for, if that is less. */
  readonly limitMs: Millis;
  /** The policy's sentence about the risk that the rule takes, for the audit log. */
  readonly dangerous?: string | undefined;
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
  /** Handlers and scripts that commands can name. */
  readonly offers: (admission: AnsweredAdmission) => Offers;
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
  const { argv, timeoutMs } = admission.envelope.body;
  return commandVerdict(
    { decision: admission.decision, argv, timeoutMs },
    machine,
    machine.offers(admission),
  );
}

interface AllowedCommand {
  readonly decision: AllowDecision;
  readonly argv: readonly string[];
  readonly timeoutMs: Millis;
}

/** The same for a command that was allowed by other ways than a signature. Never throws: what cannot be found out is a refusal. */
export function commandVerdict(
  command: AllowedCommand,
  machine: Omit<Machine, 'offers'>,
  offers: Offers,
): Verdict {
  try {
    return decided(command, machine, offers);
  } catch (error) {
    const message = messageOf(error);
    return {
      kind: 'failed',
      reason: `the node could not make sure that it may run this: ${message}`,
      hint: 'Look at what is named on the node.',
    };
  }
}

function decided(command: AllowedCommand, machine: Omit<Machine, 'offers'>, offers: Offers): Verdict {
  const { decision } = command;
  const { rule, surroundings } = decision;
  const { limits } = surroundings;
  const denied = (code: string, reason: string): Verdict => ({ kind: 'denied', code, rule, reason });
  const obstacle = obstacleFor(rule, limits, command.argv, machine);
  if (obstacle !== undefined) return obstacle;
  const source = sourceOf(command.argv, decision.path, offers);
  if (source.kind === 'denied') return denied(source.code, source.reason);
  if (source.kind === 'failed') return source;
  const paths = source.paths.map((check) => ({
    ...check,
    accepts: (realPath: string) => check.accepts(realPath) && !decision.isDenied(realPath),
  }));
  const elsewhere = checkRealPaths([...decision.pathChecks, ...paths]);
  if (elsewhere !== undefined) return denied('path', elsewhere);
  const common = {
    timeoutMs: Math.min(limits.timeoutMs, command.timeoutMs),
    outputBytesMax: limits.outputBytes,
  };
  const { path, argv, script, folder } = source;
  const { readOnly, dangerous } = decision;
  const { timeoutMs: limitMs, rate } = limits;
  const run = { kind: 'run', rule, readOnly, dangerous, limitMs, rate } as const;
  if (script !== undefined) {
    const unheard = ownersProblem(surroundings);
    if (unheard !== undefined) return { kind: 'failed', ...unheard };
    const asOwner = { sandbox: 'none', network: 'host', user: undefined } as const;
    return { ...run, spec: { path, argv, script, ...asOwner, ...common } };
  }
  const misfit = needsProblem(source, surroundings);
  if (misfit !== undefined) return { kind: 'failed', ...misfit };
  const ground = groundFor(
    rule,
    { ...surroundings, sandboxes: fittingProfiles(source, surroundings) },
    machine,
  );
  if ('reason' in ground) return { kind: 'failed', ...ground };
  return {
    ...run,
    spec: {
      path,
      argv,
      ...common,
      ...ground,
      ...(folder === undefined ? {} : { folder }),
    },
  };
}

/** An owner's line runs as the agent itself. A rule that asks for more is refused: it would not be heard. */
function ownersProblem({ groups, cwd, env, allowances, limits }: Surroundings): Refusal | undefined {
  const { read, write, sockets } = allowances;
  const { cpuMs, memoryBytes, tasks } = limits;
  const asked = groups.length + env.size + read.length + write.length + sockets.length;
  if (asked === 0 && [cwd, cpuMs, memoryBytes, tasks].every((value) => value === undefined)) return undefined;
  return {
    reason: "it is a line of the node's owner, which runs as the agent, and its rule asks for more",
    hint: 'Leave groups, cwd, env, opened paths and the limits cpu, memory and tasks out of the rule.',
  };
}

/** The sandboxes of a rule in which a handler works, in the order of the rule. */
function fittingProfiles(
  { profiles }: Extract<CommandSource, { kind: 'command' }>,
  { sandboxes }: Surroundings,
): readonly SandboxProfile[] {
  return profiles === undefined ? sandboxes : sandboxes.filter((profile) => profiles.includes(profile));
}

/** What a handler needs and its rule does not give it. A manifest asks; it opens nothing. */
function needsProblem(
  source: Extract<CommandSource, { kind: 'command' }>,
  surroundings: Surroundings,
): { reason: string; hint: string } | undefined {
  if (source.needsNetwork === true && surroundings.network === 'none') {
    return { reason: 'the handler needs the network', hint: 'In its rule: sandbox: { network: host }' };
  }
  if (fittingProfiles(source, surroundings).length > 0) return undefined;
  return {
    reason: `the handler works in the sandbox ${source.profiles?.join(' or ')}, and its rule gives ${surroundings.sandboxes.join(', ')}`,
    hint: 'Its owner adds one of them to the rule.',
  };
}

/** What stands against a start at this moment, however well the rule and the machine fit. */
function obstacleFor(
  rule: string,
  { concurrency, rate }: Limits,
  argv: readonly string[],
  machine: Omit<Machine, 'offers'>,
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
