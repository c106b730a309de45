import type { PolicyFile } from '../load.ts';
import type { AllowRule } from '../policy.ts';
import type { AllowRuleText } from '../schema.ts';
import { commandFindings } from './command-findings.ts';
import type { LintFinding } from './finding.ts';
import { peopleFindings } from './people-findings.ts';
import { reachFindings } from './reach-findings.ts';
import { surroundingsFindings } from './surroundings-findings.ts';

/** Programs of which a seat belt denies at least one. */
const SHELLS = ['sh', 'bash', 'dash', 'zsh'];
/** Environments in which a program that is looked for by its name is nobody's surprise. */
const CASUAL_ENVIRONMENT = /^(?:dev|test|local|lab|sandbox|demo)/i;

/**
 * Everything that the lint has to say about a sound policy, in the order of the file. `unixMs` is the moment for what
 * expires.
 */
export function lintPolicy(file: PolicyFile, unixMs: number): readonly LintFinding[] {
  const { policy, source } = file;
  const found = [
    ...file.text.rules.flatMap((_, index) => ruleFindings(file, index)),
    ...reachFindings(policy),
    ...peopleFindings(policy, unixMs),
    ...exampleFindings(file),
    ...pinFindings(file),
    ...seatBelt(file),
  ];
  const offset = ({ path, atKey }: LintFinding): number => source.offsetOf(path, atKey === true);
  return found.map((one) => accepted(file, one)).sort((a, b) => offset(a) - offset(b));
}

/** The first danger for which its rule has no sentence; undefined when there is none. Cheaper than the whole lint. */
export function firstDanger(file: PolicyFile): LintFinding | undefined {
  for (const index of file.policy.rules.keys()) {
    const danger = ruleFindings(file, index).find(
      (one) => one.level === 'danger' && accepted(file, one).accepted === undefined,
    );
    if (danger !== undefined) return danger;
  }
  return undefined;
}

function ruleFindings({ policy, text }: PolicyFile, index: number): readonly LintFinding[] {
  const rule = policy.rules[index];
  const ruleText = text.rules[index];
  if (rule?.effect !== 'allow' || ruleText?.effect !== 'allow') return [];
  const at = ['rules', index];
  const found = [
    ...surroundingsFindings(rule, ruleText, at),
    ...rule.commands.flatMap((command, place) =>
      commandFindings(command, [...at, 'commands', place], rule.readOnly),
    ),
  ];
  found.push(...idleSentence(rule, ruleText, found, index));
  return found;
}

/** A sentence about dangers that are gone teaches people to skip such sentences. */
function idleSentence(
  rule: AllowRule,
  text: AllowRuleText,
  found: readonly LintFinding[],
  index: number,
): readonly LintFinding[] {
  if (text.dangerous === undefined || found.some(({ level }) => level === 'danger')) return [];
  const message = `calls itself dangerous, and the lint sees no danger in ${rule.id}`;
  const hint = 'Leave the sentence out, unless you know more than the lint.';
  return [{ level: 'info', code: 'idle-sentence', path: ['rules', index, 'dangerous'], message, hint }];
}

/** A danger of a rule with a sentence is one that somebody answers for. */
function accepted({ text }: PolicyFile, finding: LintFinding): LintFinding {
  const [section, index] = finding.path;
  if (finding.level !== 'danger' || section !== 'rules' || typeof index !== 'number') return finding;
  const rule = text.rules[index];
  if (rule?.effect !== 'allow') return finding;
  const inherited = finding.isInherited === true ? text.defaults?.dangerous : undefined;
  return { ...finding, accepted: rule.dangerous ?? inherited };
}

/** Rules that no example shows at work. */
function exampleFindings({ policy, decidedByExamples }: PolicyFile): readonly LintFinding[] {
  return policy.rules.flatMap(({ id, effect }, index): readonly LintFinding[] => {
    if (effect === 'deny' || decidedByExamples.has(id)) return [];
    return [
      {
        level: 'warn',
        code: 'no-example',
        path: ['rules', index, 'id'],
        message: 'no example shows what it allows',
        hint: 'Add one under examples: allow, so that a slip of the pen is found when the file is read.',
      },
    ];
  });
}

function pinFindings({ policy }: PolicyFile): readonly LintFinding[] {
  if (CASUAL_ENVIRONMENT.test(policy.environment)) return [];
  return policy.rules.flatMap((rule, index): readonly LintFinding[] => {
    if (rule.effect === 'deny') return [];
    const place = rule.commands.findIndex(({ path }) => path === undefined);
    const program = rule.commands[place]?.program;
    if (program === undefined || program.includes(':')) return [];
    return [
      {
        level: 'info',
        code: 'no-path',
        path: ['rules', index, 'commands', place, 'program'],
        message: `"${program}" is looked for by its name`,
        hint: `Pin the file, so that a second one of this name changes nothing: path: /usr/bin/${program}`,
      },
    ];
  });
}

function seatBelt({ policy, text }: PolicyFile): readonly LintFinding[] {
  const isThere = policy.rules.some(
    (rule) =>
      rule.effect === 'deny' && SHELLS.some((shell) => rule.programs.some(({ matches }) => matches(shell))),
  );
  if (isThere || text.rules.length === 0) return [];
  return [
    {
      level: 'info',
      code: 'no-seat-belt',
      path: ['rules'],
      atKey: true,
      message: 'no rule denies shells',
      hint: 'A deny rule for shells and their like is a seat belt for the day on which an allow rule is too wide.',
    },
  ];
}
