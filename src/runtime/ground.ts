import type { SandboxProfile, Surroundings } from '../policy/policy.ts';
import type { CommandSpec, SandboxAvailability } from './command-spec.ts';
import type { GroupHome } from './group-home.ts';
import type { LimitAvailability } from './limit-probe.ts';
import { checkAllowances, checkFolder } from './opened-paths.ts';
import type { Refusal } from './refusal.ts';
import { resolveRunAs } from './run-as.ts';

/** What this machine can give to commands, found out by trying it. */
export interface Abilities {
  readonly sandboxes: readonly SandboxAvailability[];
  readonly limits: readonly LimitAvailability[];
  readonly groupHome: GroupHome;
}

/** What a rule's commands stand on here, whatever their arguments are. */
export type Ground = Pick<
  CommandSpec,
  'sandbox' | 'network' | 'user' | 'hidePaths' | 'cwd' | 'env' | 'allowances' | 'budget' | 'groupHome'
>;

/**
 * Turns what a rule asks for into what this machine does about it: the account, the first sandbox of its list that can
 * be had, what is opened in it, and the limits. What cannot be had here is refused and never left out.
 */
export function groundFor(
  rule: string,
  surroundings: Surroundings,
  machine: Abilities & { readonly hidePaths: readonly string[] },
): Ground | Refusal {
  const { allowances, cwd, env, limits, network } = surroundings;
  const { hidePaths } = machine;
  const user = resolveRunAs(surroundings);
  if (user !== undefined && 'reason' in user) return user;
  const sandbox = chooseSandbox(rule, surroundings.sandboxes, machine.sandboxes);
  if (typeof sandbox !== 'string') return sandbox;
  const guard = { hidePaths, ownUid: process.getuid?.() ?? 0 };
  const problem =
    limitProblem(rule, limits, machine.limits, user?.uid === 0) ??
    checkAllowances(allowances, guard) ??
    (cwd === undefined ? undefined : checkFolder(cwd, sandbox, user, guard));
  if (problem !== undefined) return problem;
  const { cpuMs, memoryBytes, tasks } = limits;
  return {
    sandbox,
    network,
    user,
    hidePaths,
    ...(cwd === undefined ? {} : { cwd }),
    env: Object.fromEntries(env),
    allowances,
    budget: { cpuMs, memoryBytes, tasks },
    groupHome: machine.groupHome,
  };
}

/** What of the limits cannot be kept here. Only memory hangs on the machine, and tasks where the account is root. */
function limitProblem(
  rule: string,
  limits: Surroundings['limits'],
  found: readonly LimitAvailability[],
  isRoot: boolean,
): Refusal | undefined {
  for (const { limit, available, isForAll, reason, fix } of found) {
    const asked = { cpu: limits.cpuMs, memory: limits.memoryBytes, tasks: limits.tasks }[limit];
    if (asked === undefined) continue;
    // The kernel counts processes of an account, but never stops root.
    if (available && !(limit === 'tasks' && isRoot && !isForAll)) continue;
    return {
      reason: `rule "${rule}" limits ${limit}, and this node cannot hold a command to it (${reason}); nothing was run`,
      hint: fix,
    };
  }
  return undefined;
}

function chooseSandbox(
  rule: string,
  profiles: readonly SandboxProfile[],
  found: readonly SandboxAvailability[],
): SandboxProfile | Refusal {
  const wanted = profiles.map((profile) => found.find((one) => one.profile === profile));
  const sandbox = wanted.find((one) => one?.available === true);
  if (sandbox !== undefined) return sandbox.profile;
  const reasons = wanted.map((one) => (one === undefined ? '' : `"${one.profile}": ${one.reason}`));
  return {
    reason: `rule "${rule}" needs a sandbox that this node cannot give (${reasons.join('; ')}); nothing was run`,
    hint: wanted.find((one) => one !== undefined && one.fix !== '')?.fix ?? '',
  };
}
