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
/** A selector as a tree: a tag (or the name of the node, for `node`) and its patterns, or what joins others. */
export type RawSelect =
  | { key: string; patterns: string[] }
  | { not: RawSelect }
  | { all: RawSelect[] }
  | { any: RawSelect[] };
export interface RawRule {
  id: string;
  effect: 'allow' | 'deny';
  readOnly?: boolean;
  operators?: string[];
  tags?: Record<string, string | string[]>;
  select?: RawSelect;
  approvals?: { need: number; from: string[] };
  commands?: RawCommand[];
  programs?: string[];
  anyArg?: string[];
}
interface RawOperator {
  groups: (string | { name: string; notAfter?: string })[];
  notAfter?: string;
}
export interface RawPolicy {
  operators: Record<string, RawOperator>;
  rules: RawRule[];
}
export interface RawRequest {
  operator: string | undefined;
  node: string | undefined;
  tags: Record<string, string>;
  argv: string[];
  approvers: string[];
  unixMs: number;
}
/** Where the real path of an argument has to be looked at: its index, and the forms that are paths. */
interface RawPath {
  index: number;
  path: string;
  texts: string[];
}
export interface Verdict {
  /** `deny ID`, `allow ID`, `approvals ID`, `none`, `unknown`, `expired` or `unfit`. */
  verdict: string;
  readOnly: boolean;
  approvedBy: string[];
  paths: RawPath[];
  /** Whether a real path would be accepted in the place of one of `paths`. */
  accepts: (path: RawPath, realPath: string) => boolean;
}

const many = (value: string | string[]): string[] => (typeof value === 'string' ? [value] : value);

const regexes = new Map<string, RegExp>();

function regexOfGlob(pattern: string, star: string, any: string, flags: string): RegExp {
  const key = `${star} ${flags} ${pattern}`;
  const known = regexes.get(key) ?? newRegexOfGlob(pattern, star, any, flags);
  regexes.set(key, known);
  return known;
}

function newRegexOfGlob(pattern: string, star: string, any: string, flags: string): RegExp {
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

const isPath = (text: string): boolean => text.startsWith('path:');

/** Puts a value into a slot: undefined when none of its forms takes it, else the paths that are to be looked at. */
function slot(texts: string | string[], path: string | undefined, index: number): RawPath[] | undefined {
  const taken = path === undefined ? undefined : many(texts).find((text) => token(text, path));
  if (path === undefined || taken === undefined) return undefined;
  return isPath(taken) ? [{ index, path, texts: many(texts).filter(isPath) }] : [];
}

function joined(found: (RawPath[] | undefined)[]): RawPath[] | undefined {
  const paths: RawPath[] = [];
  for (const one of found) {
    if (one === undefined) return undefined;
    paths.push(...one);
  }
  return paths;
}

/** Undefined when the arguments do not fit, else the paths among them. */
function argumentsFit(command: RawCommand, args: string[]): RawPath[] | undefined {
  const { argv, flags = [], options = {}, first = [], positionals } = command;
  if (argv !== undefined) {
    if (args.length !== argv.length) return undefined;
    return joined(argv.map((texts, at) => slot(texts, args[at], at + 1)));
  }
  const rest: { word: string; index: number }[] = [];
  const values: (RawPath[] | undefined)[] = [];
  for (let at = 0; at < args.length; at++) {
    const word = args[at]!;
    if (!word.startsWith('-')) rest.push({ word, index: at + 1 });
    else if (word === '--') {
      if (positionals === undefined && first.length === 0) return undefined;
      if (positionals?.max === 0 && first.length === 0) return undefined;
      for (at++; at < args.length; at++) {
        if (args[at]!.startsWith('-')) return undefined;
        rest.push({ word: args[at]!, index: at + 1 });
      }
    } else if (flags.includes(word)) continue;
    else if (word in options) {
      at++;
      values.push(slot(options[word]!, args[at], at + 1));
    } else {
      const [, name = '', value] = /^(--[^=]+)=(.*)$/su.exec(word) ?? [];
      if (!(name in options)) return undefined;
      values.push(slot(options[name]!, value, at + 1));
    }
  }
  if (rest.length < first.length) return undefined;
  const heads = first.map((texts, at) => slot(texts, rest[at]?.word, rest[at]?.index ?? 0));
  const behind = rest.slice(first.length);
  const { min = 0, max = 63, match = '' } = positionals ?? { max: 0 };
  if (behind.length < min || behind.length > max) return undefined;
  const tails = behind.map(({ word, index }) => slot(match, word, index));
  return joined([...values, ...heads, ...tails]);
}

/** A day is over when the next one begins. */
const isOver = (notAfter: string | undefined, unixMs: number): boolean =>
  notAfter !== undefined && new Date(unixMs).toISOString().slice(0, 10) > notAfter;

/** Whether a list of names and groups has this operator in it at that moment. */
function isNamed(policy: RawPolicy, entries: string[], name: string, unixMs: number): boolean {
  const groups = policy.operators[name]!.groups.map((group) =>
    typeof group === 'string' ? { name: group } : group,
  );
  return entries.some(
    (entry) =>
      entry === name ||
      groups.some((group) => entry === `group:${group.name}` && !isOver(group.notAfter, unixMs)),
  );
}

/** Every pattern without its lists of numbers: web[01-03] is web01, web02 and web03. */
function expanded(pattern: string): string[] {
  const [list, numbers] = /\[([0-9,-]+)\]/.exec(pattern) ?? [];
  if (list === undefined || numbers === undefined) return [pattern];
  return numbers.split(',').flatMap((range) => {
    const [low = '', high = low] = range.split('-');
    const width = low.startsWith('0') ? low.length : 0;
    const count = Number(high) - Number(low) + 1;
    return Array.from({ length: count }, (_, i) => String(Number(low) + i).padStart(width, '0')).flatMap(
      (number) => expanded(pattern.replace(list, number)),
    );
  });
}

/** Whether a node is selected; undefined when that hangs on a name that nobody gave. */
function selected(select: RawSelect, request: RawRequest): boolean | undefined {
  if ('key' in select) {
    const value = select.key === 'node' ? request.node : (request.tags[select.key] ?? null);
    if (value === undefined) return undefined;
    return value !== null && select.patterns.flatMap(expanded).some((pattern) => allowGlob(pattern, value));
  }
  if ('not' in select) {
    const inner = selected(select.not, request);
    return inner === undefined ? undefined : !inner;
  }
  const parts = ('all' in select ? select.all : select.any).map((part) => selected(part, request));
  const deciding = !('all' in select);
  if (parts.includes(deciding)) return deciding;
  return parts.includes(undefined) ? undefined : !deciding;
}

function conditionsHold(policy: RawPolicy, rule: RawRule, request: RawRequest): boolean {
  if (rule.operators !== undefined && !isNamed(policy, rule.operators, request.operator!, request.unixMs))
    return false;
  const glob = rule.effect === 'deny' ? denyGlob : allowGlob;
  const tagsHold = Object.entries(rule.tags ?? {}).every(([tag, patterns]) =>
    many(patterns).some((pattern) => tag in request.tags && glob(pattern, request.tags[tag]!)),
  );
  if (!tagsHold || rule.select === undefined) return tagsHold;
  return selected(rule.select, request) ?? rule.effect === 'deny';
}

function denies(policy: RawPolicy, rule: RawRule, request: RawRequest): boolean {
  if (!conditionsHold(policy, rule, request)) return false;
  const [program, ...args] = request.argv as [string, ...string[]];
  const base = program.split('/').at(-1)!;
  return (
    (rule.programs ?? []).some((pattern) => denyGlob(pattern, base)) ||
    (rule.anyArg ?? []).some((pattern) => args.some((arg) => denyGlob(pattern, arg)))
  );
}

/** Undefined when it does not allow it, whoever approves. */
function allows(policy: RawPolicy, rule: RawRule, request: RawRequest): RawPath[] | undefined {
  if (!conditionsHold(policy, rule, request)) return undefined;
  const [program, ...args] = request.argv;
  for (const command of rule.commands!) {
    if (program !== command.program && program !== command.path) continue;
    const paths = argumentsFit(command, args);
    if (paths !== undefined) return paths;
  }
  return undefined;
}

function approversOf(policy: RawPolicy, rule: RawRule, request: RawRequest): string[] {
  const { operators } = policy;
  const people = request.approvers.filter((name, at) => request.approvers.indexOf(name) === at);
  return people.filter(
    (name) =>
      rule.approvals !== undefined &&
      name !== request.operator &&
      Object.hasOwn(operators, name) &&
      !isOver(operators[name]!.notAfter, request.unixMs) &&
      isNamed(policy, rule.approvals.from, name, request.unixMs),
  );
}

/** Of what can make an argv unfit, these are the ways that come up here. */
function isUnfit(argv: string[]): boolean {
  return (
    argv.length < 1 || argv.length > 64 || argv.some((word) => /[\u0000\n\u202e\ud800-\udfff]/u.test(word))
  );
}

/** What a policy says to a request, and why. */
export function referenceVerdict(policy: RawPolicy, request: RawRequest): Verdict {
  const nothing = { readOnly: false, approvedBy: [], paths: [], accepts: () => false };
  const { operator } = request;
  if (operator === undefined || !Object.hasOwn(policy.operators, operator))
    return { verdict: 'unknown', ...nothing };
  if (isOver(policy.operators[operator]!.notAfter, request.unixMs)) return { verdict: 'expired', ...nothing };
  if (isUnfit(request.argv)) return { verdict: 'unfit', ...nothing };
  const denying = policy.rules.filter((rule) => rule.effect === 'deny');
  const denied = denying.find((rule) => denies(policy, rule, request));
  if (denied !== undefined) return { verdict: `deny ${denied.id}`, ...nothing };
  let waiting: string | undefined;
  for (const rule of policy.rules) {
    if (rule.effect === 'deny') continue;
    const paths = allows(policy, rule, request);
    if (paths === undefined) continue;
    const approvedBy = approversOf(policy, rule, request);
    if (approvedBy.length < (rule.approvals?.need ?? 0)) {
      waiting ??= rule.id;
      continue;
    }
    const hidden = denying.filter((one) => conditionsHold(policy, one, request));
    const accepts: Verdict['accepts'] = ({ texts }, realPath) =>
      texts.some((text) => token(text, realPath)) &&
      !hidden.some(({ anyArg = [] }) => anyArg.some((pattern) => denyGlob(pattern, realPath)));
    return { verdict: `allow ${rule.id}`, readOnly: rule.readOnly ?? false, approvedBy, paths, accepts };
  }
  return { verdict: waiting === undefined ? 'none' : `approvals ${waiting}`, ...nothing };
}
