import { readPolicy } from '../agent/policy-holder.ts';
import { FanoutError } from '../lib/errors.ts';
import { safeJson, sanitiseText } from '../lib/sanitise.ts';
import {
  checkPolicy,
  type PolicyReport,
  type Problem,
  reportText,
  unsound,
  weightOf,
} from '../policy/check.ts';
import { Place } from '../policy/place.ts';
import { resolveProgram } from '../runtime/resolve-program.ts';

export interface CheckOptions {
  readonly strict?: boolean;
  readonly system?: boolean;
  readonly format: 'text' | 'json';
}

/** `fanout policy check`: 0 when a node would take every file, else 2; with `--strict` warnings count too. */
export async function check(files: readonly string[], options: CheckOptions): Promise<number> {
  const reports = files.map((file) => reportOn(file, options.system === true));
  if (options.format === 'json') {
    process.stdout.write(`${safeJson({ files: reports.map(plain) }, 2)}\n`);
  } else {
    for (const report of reports) {
      process.stdout.write(`${reportText(report).split('\n').map(sanitiseText).join('\n')}\n`);
    }
  }
  const isStrict = options.strict === true;
  const areFine = reports.every(
    ({ isSound, problems }) => isSound && !(isStrict && problems.some(({ level }) => level === 'warn')),
  );
  return areFine ? 0 : 2;
}

function reportOn(file: string, withSystem: boolean): PolicyReport {
  try {
    const report = checkPolicy(readPolicy(file), file, Date.now());
    return withSystem ? { ...report, problems: [...report.problems, ...systemProblems(report)] } : report;
  } catch (error) {
    if (!(error instanceof FanoutError)) throw error;
    return unsound(file, [error]);
  }
}

/** What this machine would refuse to start, whatever the policy says. */
function systemProblems({ compiled }: PolicyReport): readonly Problem[] {
  if (compiled === undefined) return [];
  const { policy, source } = compiled;
  return policy.rules.flatMap((rule, index): readonly Problem[] => {
    if (rule.effect === 'deny') return [];
    const warn = (
      path: readonly (string | number)[],
      refusal: { reason: string; hint: string },
    ): Problem => ({
      level: 'warn',
      code: 'system',
      spot: source.spotOf(['rules', index, ...path]),
      message: `${new Place(source, ['rules', index]).subject}on this machine: ${refusal.reason}`,
      hint: refusal.hint,
      accepted: undefined,
    });
    const found: Problem[] = [];
    for (const [place, { program, path }] of rule.commands.entries()) {
      if (program.includes(':')) continue;
      const resolved = resolveProgram(program, path);
      if ('reason' in resolved)
        found.push(warn(['commands', place, path === undefined ? 'program' : 'path'], resolved));
    }
    return found;
  });
}

function plain({ file, problems, isSound, compiled }: PolicyReport): unknown {
  return {
    file,
    sound: isSound,
    environment: compiled?.policy.environment,
    hash: compiled?.policy.hash,
    problems: problems.map((problem) => ({
      level: weightOf(problem),
      code: problem.code,
      line: problem.spot?.line,
      column: problem.spot?.column,
      message: problem.message,
      hint: problem.hint,
      dangerous: problem.accepted,
    })),
  };
}
