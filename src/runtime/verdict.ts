import type { SandboxAvailability } from './command-spec.ts';
import type { AnsweredAdmission, Verdict } from './job.ts';
import { checkRealPaths, resolveProgram } from './resolve-program.ts';
import { resolveUser } from './run-as.ts';

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
  const { rule, limits } = decision;
  const denied = (code: string, reason: string): Verdict => ({ kind: 'denied', code, rule, reason });
  if (machine.running(rule) >= limits.concurrency) {
    return denied(
      'concurrency',
      `rule "${rule}" runs ${limits.concurrency} commands at once at most; try again`,
    );
  }
  const program = resolveProgram(decision.program, decision.path);
  if ('reason' in program) return { kind: 'failed', ...program };
  const elsewhere = checkRealPaths(decision.pathChecks);
  if (elsewhere !== undefined) return denied('path', elsewhere);
  const user = resolveUser(decision.user);
  if (user !== undefined && 'reason' in user) return { kind: 'failed', ...user };
  const wanted = decision.sandboxes.map((profile) =>
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
      network: decision.network,
      user,
      timeoutMs: Math.min(limits.timeoutMs, envelope.body.timeoutMs),
      outputBytesMax: limits.outputBytes,
      hidePaths: machine.hidePaths,
    },
  };
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
