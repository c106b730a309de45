import type { Millis } from '../lib/time.ts';
import type { Surroundings } from '../policy/policy.ts';
import type { CommandSpec, SandboxAvailability } from './command-spec.ts';
import type { AnsweredAdmission } from './gate.ts';
import { checkRealPaths, resolveProgram } from './resolve-program.ts';
import { resolveUser } from './run-as.ts';

/** A command that this node will run, when its asker says so. */
export interface RunVerdict {
  readonly kind: 'run';
  readonly spec: CommandSpec;
  readonly rule: string;
  readonly readOnly: boolean;
  /** The longest that the policy lets it run; `spec` has what was asked for, if that is less. */
  readonly limitMs: Millis;
}

/** What the node has decided to do about an admitted command. */
export type Verdict =
  | RunVerdict
  | { readonly kind: 'denied'; readonly code: string; readonly rule: string; readonly reason: string }
  | { readonly kind: 'failed'; readonly reason: string; readonly hint: string };

/** What this machine can do at the moment. */
export interface Machine {
  readonly sandboxes: readonly SandboxAvailability[];
  /** Commands that run now, per rule. */
  readonly running: (rule: string) => number;
  /** The agent's own files, which no command may see. */
  readonly hidePaths: readonly string[];
}

/**
 * Turns the policy's decision into what this machine will do: the program's real path, the first sandbox of the rule's
 * list that can be had here, and the limits. What the rule asks for and the machine cannot give is a refusal, never less.
 */
export function verdictFor(admission: AnsweredAdmission, machine: Machine): Verdict {
  if (admission.kind === 'refused') {
    const { code, rule, reason } = admission;
    return { kind: 'denied', code, rule, reason };
  }
  const { decision, envelope } = admission;
  const { rule, surroundings } = decision;
  const { limits } = surroundings;
  const denied = (code: string, reason: string): Verdict => ({ kind: 'denied', code, rule, reason });
  if (machine.running(rule) >= limits.concurrency) {
    return denied(
      'concurrency',
      `rule "${rule}" runs ${limits.concurrency} commands at once at most; try again`,
    );
  }
  const missing = notYet(surroundings);
  if (missing !== undefined) return { kind: 'failed', ...missing };
  const program = resolveProgram(decision.program, decision.path);
  if ('reason' in program) return { kind: 'failed', ...program };
  const elsewhere = checkRealPaths(decision.pathChecks);
  if (elsewhere !== undefined) return denied('path', elsewhere);
  const user = resolveUser(surroundings.user);
  if (user !== undefined && 'reason' in user) return { kind: 'failed', ...user };
  const wanted = surroundings.sandboxes.map((profile) =>
    machine.sandboxes.find((one) => one.profile === profile),
  );
  const sandbox = wanted.find((one) => one?.available === true);
  if (sandbox === undefined) return sandboxMissing(rule, wanted);
  return {
    kind: 'run',
    rule,
    readOnly: decision.readOnly,
    limitMs: limits.timeoutMs,
    spec: {
      path: program.path,
      argv: envelope.body.argv,
      sandbox: sandbox.profile,
      network: surroundings.network,
      user,
      timeoutMs: Math.min(limits.timeoutMs, envelope.body.timeoutMs),
      outputBytesMax: limits.outputBytes,
      hidePaths: machine.hidePaths,
    },
  };
}

/**
 * The verdict at the moment of the start. The asker let the command go by what it was told at first (perhaps only because
 * all of it changes nothing), so one that would now run by another rule, as another program or in another sandbox is
 * refused like one that is denied.
 */
export function confirmVerdict(accepted: RunVerdict, now: Verdict): Verdict {
  if (now.kind !== 'run') return now;
  const isSame =
    now.rule === accepted.rule &&
    now.readOnly === accepted.readOnly &&
    now.spec.path === accepted.spec.path &&
    now.spec.sandbox === accepted.spec.sandbox;
  if (isSame) return now;
  const reason = 'since it was accepted, this node would run it in another way: ask again';
  return { kind: 'denied', code: 'changed', rule: now.rule, reason };
}

/** What a rule can ask for and no agent can give so far: refused, never less. */
function notYet({
  groups,
  cwd,
  env,
  allowances,
  limits,
}: Surroundings): { reason: string; hint: string } | undefined {
  const { cpuMs, memoryBytes, tasks, rate } = limits;
  const { read, write, sockets } = allowances;
  const asked = Object.entries({ cpuMs, memoryBytes, tasks, rate, cwd }).find(
    ([, value]) => value !== undefined,
  )?.[0];
  const opened = groups.length + env.size + read.length + write.length + sockets.length > 0;
  if (asked === undefined && !opened) return undefined;
  return { reason: 'its rule asks for what this agent cannot give', hint: '' };
}

function sandboxMissing(rule: string, wanted: readonly (SandboxAvailability | undefined)[]): Verdict {
  const reasons = wanted.map((one) => (one === undefined ? '' : `"${one.profile}": ${one.reason}`));
  const fix = wanted.find((one) => one !== undefined && one.fix !== '')?.fix ?? '';
  return {
    kind: 'failed',
    reason: `rule "${rule}" needs a sandbox that this node cannot give (${reasons.join('; ')}); nothing was run`,
    hint: fix,
  };
}
