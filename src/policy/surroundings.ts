import { isGlob, pathProblem } from './glob.ts';
import type { Place } from './place.ts';
import type { Allowances, SandboxProfile, Surroundings } from './policy.ts';
import type { AllowRuleText, PolicyText } from './schema.ts';

/** What a rule gets when neither it nor `defaults` says otherwise: a sandbox, no network, modest limits. */
const FALLBACK = {
  sandboxes: ['standard'],
  network: 'none',
  limits: { timeoutMs: 30_000, outputBytes: 2 ** 20, concurrency: 4 },
} as const;

/**
 * What a rule gives its commands, with `defaults` and the program's own behind it. Throws FanoutError
 * POLICY_INVALID at the place of what cannot be meant.
 */
export function compileSurroundings(
  rule: Pick<AllowRuleText, 'sandbox' | 'user' | 'groups' | 'cwd' | 'env' | 'limits'>,
  defaults: PolicyText['defaults'],
  place: Place,
): Surroundings {
  const limits = { ...defaults?.limits, ...rule.limits };
  const sandbox = { ...defaults?.sandbox, ...rule.sandbox };
  const sandboxes: readonly SandboxProfile[] = sandbox.profile ?? FALLBACK.sandboxes;
  const here = rule.sandbox === undefined ? place : place.at('sandbox');
  const allowances: Allowances = {
    read: checkPaths(sandbox.read ?? [], here.at('read')),
    write: checkPaths(sandbox.write ?? [], here.at('write')),
    sockets: checkPaths(sandbox.sockets ?? [], here.at('sockets')),
  };
  const opened = (['read', 'write', 'sockets'] as const).find((key) => allowances[key].length > 0);
  if (opened !== undefined && sandboxes.includes('none')) {
    const hint = `Without a sandbox everything that the account may do is open. Leave ${opened} out, or the profile none.`;
    throw here.error(`opens ${opened} in the profile none, which has no walls`, hint);
  }
  const { cwd } = rule;
  if (cwd !== undefined) checkPaths([cwd], place.at('cwd'), false);
  return {
    user: rule.user ?? defaults?.user,
    groups: rule.groups ?? [],
    cwd,
    env: new Map(Object.entries(rule.env ?? {})),
    sandboxes,
    network: sandbox.network ?? FALLBACK.network,
    allowances,
    limits: {
      timeoutMs: limits.timeout ?? FALLBACK.limits.timeoutMs,
      outputBytes: limits.output ?? FALLBACK.limits.outputBytes,
      concurrency: limits.concurrency ?? FALLBACK.limits.concurrency,
      cpuMs: limits.cpu === undefined ? undefined : limits.cpu * 1000,
      memoryBytes: limits.memory,
      tasks: limits.tasks,
      rate: limits.rate,
    },
  };
}

/** Paths are meant exactly: a wildcard would open what nobody has looked at. */
function checkPaths(paths: readonly string[], place: Place, isList = true): readonly string[] {
  for (const [index, path] of paths.entries()) {
    const here = isList ? place.at(index) : place;
    const problem = isGlob(path) ? 'has a wildcard' : pathProblem(path);
    if (problem !== undefined) throw here.error(`"${path}" ${problem}`, 'Write it like /srv/app/tmp');
  }
  return paths;
}
