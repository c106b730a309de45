import { existsSync } from 'node:fs';
import type { AgentConfig } from '../agent/config.ts';
import { PolicyHolder } from '../agent/policy-holder.ts';
import { sanitiseText } from '../lib/sanitise.ts';
import { probeAbilities } from '../runtime/abilities-probe.ts';
import type { Abilities } from '../runtime/ground.ts';
import { checkRule, type RuleCheck } from '../runtime/rule-check.ts';
import { formatTable } from './table.ts';

/**
 * `fanout agent --check`: what this machine can give to commands, and whether it can run each rule of the policy. Starts no
 * agent. 0 when every rule can run here, else 4.
 */
export async function checkAgent(
  config: Pick<AgentConfig, 'policyFile' | 'environment' | 'dataDir'>,
): Promise<number> {
  const { policyFile, environment, dataDir } = config;
  const policy = new PolicyHolder(policyFile, environment).current;
  const hidePaths = existsSync(dataDir) ? [dataDir] : [];
  const abilities = await probeAbilities(hidePaths);
  const rules = (policy?.rules ?? []).filter((rule) => rule.effect === 'allow');
  const checks = rules.map((rule) => checkRule(rule, { ...abilities, hidePaths }));
  const able = checks.filter(({ outcome }) => !('reason' in outcome)).length;
  const lines = machineLines(abilities);
  if (policy !== undefined) {
    lines.push('', `${policyFile}: ${able} of ${checks.length} rules can run here`, ...ruleLines(checks));
  }
  process.stdout.write(`${lines.map(sanitiseText).join('\n')}\n`);
  return able === checks.length ? 0 : 4;
}

function machineLines({ sandboxes, limits }: Abilities): string[] {
  const rows = [
    ...sandboxes.map(({ profile, available, reason, fix }) => [
      `sandbox ${profile}`,
      yesOrNo(available),
      reason,
      fix,
    ]),
    ...limits.map(({ limit, available, reason, fix }) => [`limit ${limit}`, yesOrNo(available), reason, fix]),
  ];
  const account = `as uid ${process.geteuid?.() ?? '?'}, in the control groups of this shell`;
  return [`This machine, ${account}:`, ...table(rows)];
}

function ruleLines(checks: readonly RuleCheck[]): string[] {
  return table(
    checks.flatMap(({ rule, outcome, missing }) => {
      const isAble = !('reason' in outcome);
      const row = isAble
        ? [`  ${rule}`, 'yes', `${outcome.sandbox}, as ${outcome.user?.name ?? 'the agent'}`, '']
        : [`  ${rule}`, 'NO', outcome.reason, outcome.hint];
      const notes = isAble ? missing : [];
      return [
        row,
        ...notes.map(({ program, reason, hint }) => ['', 'but', `not ${program}: ${reason}`, hint]),
      ];
    }),
  );
}

/** The last cell of a row is the way out, on a line of its own. */
function table(rows: readonly (readonly string[])[]): string[] {
  const lines = formatTable(rows.map((row) => row.slice(0, -1))).split('\n');
  return rows.flatMap((row, i) => {
    const line = (lines[i] ?? '').trimEnd();
    const fix = row.at(-1) ?? '';
    return fix === '' ? [line] : [line, `      ${fix}`];
  });
}

function yesOrNo(isThere: boolean): string {
  return isThere ? 'yes' : 'NO';
}
