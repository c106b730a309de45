import { compileDenyGlob, compileGlob, isGlob, type Matcher, pathProblem } from './glob.ts';
import type { Grammar, Slot } from './grammar.ts';
import { PARAMETER_NAME } from './names.ts';
import { isNamed, NEVER_OVER } from './operators.ts';
import type { Place } from './place.ts';
import type {
  AllowedCommand,
  AllowRule,
  ApprovalNeed,
  Conditions,
  DenyRule,
  Operator,
  Pattern,
  Rule,
} from './policy.ts';
import type {
  AllowRuleText,
  CommandText,
  DenyRuleText,
  HandlerCommandText,
  PolicyText,
  RuleText,
} from './schema.ts';
import type { Selector } from './selector.ts';
import { parseSelector } from './selector-parser.ts';
import { didYouMean } from './suggest.ts';
import { compileSurroundings } from './surroundings.ts';
import { compileToken, isExact, mayBeOption } from './tokens.ts';

/**
 * Compiles the rules of a policy text. Throws FanoutError POLICY_INVALID at the place of the first unsound
 * one.
 */
export function compileRules(
  text: PolicyText,
  operators: ReadonlyMap<string, Operator>,
  place: Place,
): readonly Rule[] {
  const ids = new Set<string>();
  return text.rules.map((rule, index) => {
    const here = place.at('rules', index);
    if (ids.has(rule.id)) throw here.at('id').error('another rule has this id', 'Give each rule its own.');
    ids.add(rule.id);
    checkNames(rule.operators ?? [], operators, here.at('operators'));
    if (rule.effect === 'deny') return compileDeny(rule, here);
    const { approvals } = rule;
    if (approvals !== undefined) checkApprovals(approvals, operators, here.at('approvals'));
    return compileAllow(rule, text.defaults, here);
  });
}

function compileAllow(rule: AllowRuleText, defaults: PolicyText['defaults'], place: Place): AllowRule {
  return {
    effect: 'allow',
    id: rule.id,
    why: rule.why,
    conditions: compileConditions(rule, place, compileGlob),
    readOnly: rule.readOnly,
    commands: rule.commands.map((command, index) => {
      const here = place.at('commands', index);
      return 'handler' in command ? compileHandler(command, here) : compileCommand(command, here);
    }),
    surroundings: compileSurroundings(rule, defaults, place),
    approvals: rule.approvals,
    dangerous: rule.dangerous ?? inheritedSentence(rule, defaults),
  };
}

/** The sentence of the defaults, for a rule that takes its risk from there. */
function inheritedSentence(rule: AllowRuleText, defaults: PolicyText['defaults']): string | undefined {
  const isUnlocked = rule.sandbox?.profile === undefined && defaults?.sandbox?.profile?.includes('none');
  const isRoot = rule.user === undefined && defaults?.user === 'root';
  return isUnlocked === true || isRoot ? defaults?.dangerous : undefined;
}

function compileDeny(rule: DenyRuleText, place: Place): DenyRule {
  const { programs, anyArg } = rule;
  if (programs.length + anyArg.length === 0) {
    throw place.error('denies nothing', 'Give it programs: [...] or anyArg: [...].');
  }
  for (const [index, program] of programs.entries()) {
    if (!program.includes('/')) continue;
    const base = program.slice(program.lastIndexOf('/') + 1);
    throw place
      .at('programs', index)
      .error(
        `"${program}" is a path, and programs are denied by their name`,
        `Write "${base}": it denies that program wherever it is.`,
      );
  }
  return {
    effect: 'deny',
    id: rule.id,
    why: rule.why,
    conditions: compileConditions(rule, place, compileDenyGlob),
    programs: compilePatterns(programs, place.at('programs'), compileDenyGlob),
    anyArg: compilePatterns(anyArg, place.at('anyArg'), compileDenyGlob),
  };
}

/** A rule that names nobody would never apply: dull for an allow rule, dangerous for a deny rule. */
export function checkNames(
  names: readonly string[],
  operators: ReadonlyMap<string, Operator>,
  place: Place,
): void {
  const groups = [...operators.values()].flatMap((operator) =>
    operator.groups.map(({ group }) => `group:${group}`),
  );
  const known = new Set([...operators.keys(), ...groups]);
  for (const [index, entry] of names.entries()) {
    if (known.has(entry)) continue;
    const what = entry.startsWith('group:') ? 'no operator is in' : 'there is no operator';
    const hint = didYouMean(entry, known) ?? `This policy knows ${[...known].join(', ') || 'none'}.`;
    throw place.at(index).error(`${what} "${entry}"`, hint);
  }
}

/** A need that nobody can fill would look like a rule and be none. */
function checkApprovals(
  approvals: ApprovalNeed,
  operators: ReadonlyMap<string, Operator>,
  place: Place,
): void {
  const { need, from } = approvals;
  checkNames(from, operators, place.at('from'));
  const able = [...operators].filter(([name, operator]) => isNamed(from, name, operator, NEVER_OVER));
  if (able.length >= need) return;
  const hint = `Ask for fewer, or name more people: ${able.map(([name]) => name).join(', ') || 'nobody'} could approve.`;
  throw place
    .at('need')
    .error(`${need} approvals are needed, and ${able.length} people could give one`, hint);
}

function compileConditions(rule: RuleText, place: Place, compile: (pattern: string) => Matcher): Conditions {
  const tags = Object.entries(rule.tags).map(
    ([tag, patterns]) => [tag, compilePatterns(patterns, place.at('tags', tag), compile)] as const,
  );
  const select = rule.select === undefined ? undefined : compileSelect(rule.select, place.at('select'));
  return { operators: rule.operators, tags: new Map(tags), select };
}

function compileSelect(text: string, place: Place): Selector {
  const selector = place.attempt(() => parseSelector(text));
  if (selector.root !== undefined) return selector;
  throw place.error('is empty', 'Leave select out: then the rule holds on every node.');
}

function compilePatterns(
  texts: readonly string[],
  place: Place,
  compile: (pattern: string) => Matcher,
): readonly Pattern[] {
  return texts.map((text, index) => ({ text, matches: place.at(index).attempt(() => compile(text)) }));
}

/** A handler stands in the place of a program, under a name that no program can have. */
function compileHandler({ handler, params }: HandlerCommandText, place: Place): AllowedCommand {
  const slots =
    params === undefined
      ? undefined
      : new Map(
          Object.entries(params).map(([name, slot]) => {
            const here = place.at('params', name);
            if (!PARAMETER_NAME.test(name))
              throw here.error(`"${name}" is not the name of a parameter`, undefined, true);
            return [name, compilePositional(slot, here)] as const;
          }),
        );
  return { program: `handler:${handler}`, path: undefined, grammar: { form: 'parameters', slots } };
}

function compileCommand(command: CommandText, place: Place): AllowedCommand {
  const { program, path } = command;
  if (path !== undefined) {
    const problem = pathProblem(path);
    const hint = `Write it like /usr/bin/${program}`;
    if (problem !== undefined) throw place.at('path').error(`"${path}" ${problem}`, hint);
    // So that a deny rule for a name cannot be got around by another name for the same file.
    if (!path.endsWith(`/${program}`))
      throw place.at('path').error(`"${path}" does not end in /${program}`, hint);
  }
  return { program, path, grammar: compileGrammar(command, place) };
}

function compileGrammar(command: CommandText, place: Place): Grammar {
  const { argv, flags = [], options = {}, first = [], positionals } = command;
  if (argv !== undefined) {
    for (const key of ['flags', 'options', 'first', 'positionals'] as const) {
      if (command[key] === undefined) continue;
      throw place
        .at(key)
        .error(`argv and ${key} exclude each other`, 'Write two entries for the program.', true);
    }
    return {
      form: 'sequence',
      slots: argv.map((slot, index) => compileSlot(slot, place.at('argv', index))),
    };
  }
  for (const [index, flag] of flags.entries()) {
    const here = place.at('flags', index);
    checkDash(flag, here);
    if (flags.indexOf(flag) !== index || Object.hasOwn(options, flag)) {
      throw here.error(
        `"${flag}" is declared twice`,
        'Either it takes a value (options) or it does not (flags).',
      );
    }
  }
  const { min = 0, max = 0, match = [] } = positionals ?? {};
  if (min > max) throw place.at('positionals').error('min is larger than max');
  return {
    form: 'options',
    flags: new Set(flags),
    options: new Map(
      Object.entries(options).map(([name, slot]) => {
        const here = place.at('options', name);
        checkDash(name, here);
        if (name.includes('=')) throw here.error(`"${name}" has a "=" in it`, 'Leave it out.', true);
        return [name, compileSlot(slot, here)];
      }),
    ),
    first: first.map((slot, index) => compilePositional(slot, place.at('first', index))),
    rest: { min, max, slot: compilePositional(match, place.at('positionals', 'match')) },
  };
}

function compileSlot(texts: readonly string[], place: Place): Slot {
  return texts.map((text, index) => place.at(index).attempt(() => compileToken(text)));
}

function compilePositional(texts: readonly string[], place: Place): Slot {
  const slot = compileSlot(texts, place);
  for (const [index, token] of slot.entries()) {
    if (!mayBeOption(token)) continue;
    throw place
      .at(index)
      .error(
        `"${token.text}" begins with a dash, and positional arguments never do`,
        'Declare it under flags or options.',
      );
  }
  return slot;
}

/** The name of a flag or option, which is compared byte for byte. */
function checkDash(name: string, place: Place): void {
  const isDashWord = /^-[^-]|^--[^-]/.test(name) && !/\s/.test(name);
  if (!isDashWord)
    throw place.error(`"${name}" does not look like an option`, 'Write it like "-h" or "--all".');
  if (isGlob(name)) {
    throw place.error(`"${name}" has a wildcard, and options are compared exactly`, 'Write each one out.');
  }
  if (!isExact(place.attempt(() => compileToken(name)))) throw place.error(`"${name}" cannot be an option`);
}
