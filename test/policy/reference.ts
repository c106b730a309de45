/**
 * The rules of a policy once more, straightforward and slow, on the plain data of the file and with no code
 * of the program: what `decide` is held against.
 */
export interface RawCommand {
  program: string;
  path?: string;
  argv?: (string | string[])[];
  flags?: string[];
  options?: Record<string, string | string[]>;
  first?: (string | string[])[];
  positionals?: { min?: number; max?: number; match: string | string[] };
}
export interface RawRule {
  id: string;
  effect: 'allow' | 'deny';
  operators?: string[];
  tags?: Record<string, string | string[]>;
  commands?: RawCommand[];
  programs?: string[];
  anyArg?: string[];
}
export interface RawPolicy {
  operators: Record<string, { groups: string[] }>;
  rules: RawRule[];
}
export interface RawRequest {
  operator: string;
  tags: Record<string, string>;
  argv: string[];
}

const many = (value: string | string[]): string[] => (typeof value === 'string' ? [value] : value);

function regexOfGlob(pattern: string, star: string, any: string, flags: string): RegExp {
  let source = '';
  for (let i = 0; i < pattern.length; i++) {
    const character = pattern.charAt(i);
    const end = character === '[' ? pattern.indexOf(']', i) : -1;
    if (character === '*') source += star;
    else if (character === '?') source += any;
    else if (end > 0) {
      source += pattern.slice(i, end + 1).replace('[!', '[^');
      i = end;
    } else source += character.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&');
  }
  return new RegExp(`^(?:${source})$`, flags);
}

const hasWildcard = (pattern: string): boolean => /[*?[]/.test(pattern);

function allowGlob(pattern: string, value: string): boolean {
  if (!hasWildcard(pattern)) return pattern === value;
  if (value === '') return false;
  if (value.startsWith('-') && !pattern.startsWith('-')) return false;
  return regexOfGlob(pattern, '[^]*', '[^]', 'u').test(value);
}

function denyGlob(pattern: string, value: string): boolean {
  return regexOfGlob(pattern, '[^]*', '[^]', 'iu').test(value);
}

function pathGlob(pattern: string, value: string): boolean {
  if (!/^(\/[^/]+)+$/.test(value) || /\/\.{1,2}(\/|$)/.test(value)) return false;
  const walk = (patterns: string[], names: string[]): boolean => {
    const [head, ...rest] = patterns;
    if (head === undefined) return names.length === 0;
    if (head === '**') {
      if (rest.length === 0) return names.length > 0;
      return walk(rest, names) || (names.length > 0 && walk(patterns, names.slice(1)));
    }
    return (
      names.length > 0 &&
      regexOfGlob(head, '[^/]*', '[^/]', 'u').test(names[0]!) &&
      walk(rest, names.slice(1))
    );
  };
  return walk(pattern.slice(1).split('/'), value.slice(1).split('/'));
}

function token(text: string, value: string): boolean {
  const range = /^int:(-?\d+)\.\.(-?\d+)$/.exec(text);
  if (range !== null) {
    const number = Number(value);
    return (
      String(number) === value && Number.isInteger(number) && number >= +range[1]! && number <= +range[2]!
    );
  }
  if (text.startsWith('path:')) return pathGlob(text.slice(5), value);
  if (text.startsWith('any:'))
    return /^[^-]/u.test(value) && Array.from(value).length <= Number(text.slice(4));
  return allowGlob(text, value);
}

const slot = (texts: string | string[], value: string | undefined): boolean =>
  value !== undefined && many(texts).some((text) => token(text, value));

function argumentsFit(command: RawCommand, args: string[]): boolean {
  const { argv, flags = [], options = {}, first = [], positionals } = command;
  if (argv !== undefined)
    return args.length === argv.length && argv.every((texts, index) => slot(texts, args[index]));
  const rest: string[] = [];
  for (let left = [...args]; left.length > 0; ) {
    const [word, ...others] = left as [string, ...string[]];
    left = others;
    if (!word.startsWith('-')) rest.push(word);
    else if (word === '--') {
      if (positionals === undefined && first.length === 0) return false;
      if (positionals?.max === 0 && first.length === 0) return false;
      if (left.some((other) => other.startsWith('-'))) return false;
      rest.push(...left);
      left = [];
    } else if (flags.includes(word)) continue;
    else if (word in options) {
      if (!slot(options[word]!, left.shift())) return false;
    } else {
      const [, name = '', value] = /^(--[^=]+)=(.*)$/su.exec(word) ?? [];
      if (!(name in options) || !slot(options[name]!, value)) return false;
    }
  }
  if (rest.length < first.length) return false;
  if (!first.every((texts, index) => slot(texts, rest[index]))) return false;
  const behind = rest.slice(first.length);
  if (positionals === undefined) return behind.length === 0;
  const { min = 0, max = 63, match } = positionals;
  return behind.length >= min && behind.length <= max && behind.every((value) => slot(match, value));
}

function conditionsHold(policy: RawPolicy, rule: RawRule, request: RawRequest): boolean {
  const { groups } = policy.operators[request.operator]!;
  const names = [request.operator, ...groups.map((group) => `group:${group}`)];
  if (rule.operators !== undefined && !rule.operators.some((name) => names.includes(name))) return false;
  const glob = rule.effect === 'deny' ? denyGlob : allowGlob;
  return Object.entries(rule.tags ?? {}).every(([tag, patterns]) =>
    many(patterns).some((pattern) => tag in request.tags && glob(pattern, request.tags[tag]!)),
  );
}

function ruleMatches(policy: RawPolicy, rule: RawRule, request: RawRequest): boolean {
  if (!conditionsHold(policy, rule, request)) return false;
  const [program, ...args] = request.argv as [string, ...string[]];
  if (rule.effect === 'deny') {
    const base = program.split('/').at(-1)!;
    return (
      (rule.programs ?? []).some((pattern) => denyGlob(pattern, base)) ||
      (rule.anyArg ?? []).some((pattern) => args.some((arg) => denyGlob(pattern, arg)))
    );
  }
  return rule.commands!.some(
    (command) => [command.program, command.path].includes(program) && argumentsFit(command, args),
  );
}

/** `deny ID`, `allow ID` or `none`. */
export function referenceVerdict(policy: RawPolicy, request: RawRequest): string {
  const matching = policy.rules.filter((rule) => ruleMatches(policy, rule, request));
  const decisive = matching.find(({ effect }) => effect === 'deny') ?? matching[0];
  return decisive === undefined ? 'none' : `${decisive.effect} ${decisive.id}`;
}
