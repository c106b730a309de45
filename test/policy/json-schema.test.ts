import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { type JsonSchema, policyJsonSchema } from '../../src/policy/json-schema.ts';
import { shapeErrors } from '../../src/policy/load.ts';
import { YamlSource } from '../../src/policy/yaml-source.ts';
import { ALICE, BOB } from './fixtures.ts';

const FOLDER = new URL('../../policies/', import.meta.url);
const schema = policyJsonSchema();

const read = (name: string): string => readFileSync(new URL(name, FOLDER), 'utf8');

/** A reading of JSON schema of its own: the keywords that ours uses, and an error for every other. */
function problemOf(rules: JsonSchema, value: unknown, path = '$'): string | undefined {
  for (const [keyword, wanted] of Object.entries(rules)) {
    const problem = KEYWORDS[keyword];
    if (problem === undefined) throw new Error(`the keyword ${keyword} is not known`);
    const found = problem(wanted as never, value, path, rules);
    if (found !== undefined) return found;
  }
  return undefined;
}

const isMap = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const TYPES: Record<string, (value: unknown) => boolean> = {
  string: (value) => typeof value === 'string',
  boolean: (value) => typeof value === 'boolean',
  number: (value) => typeof value === 'number',
  integer: Number.isInteger,
  array: Array.isArray,
  object: isMap,
};

type Keyword = (wanted: never, value: unknown, path: string, rules: JsonSchema) => string | undefined;
const fine = (): undefined => undefined;
const KEYWORDS: Record<string, Keyword> = {
  $schema: fine,
  title: fine,
  description: fine,
  type: (type: string, value, path) => (TYPES[type]!(value) ? undefined : `${path} is no ${type}`),
  const: (wanted: unknown, value, path) => (value === wanted ? undefined : `${path} is not ${wanted}`),
  enum: (options: unknown[], value, path) =>
    options.includes(value) ? undefined : `${path} is none of them`,
  pattern: (pattern: string, value, path) =>
    typeof value !== 'string' || new RegExp(pattern, 'u').test(value) ? undefined : `${path} does not match`,
  not: (rules: JsonSchema, value, path) =>
    problemOf(rules, value, path) === undefined ? `${path} is what it must not be` : undefined,
  minimum: (least: number, value, path) => ((value as number) >= least ? undefined : `${path} is too small`),
  maximum: (most: number, value, path) => ((value as number) <= most ? undefined : `${path} is too large`),
  minLength: (least: number, value, path) =>
    (value as string).length >= least ? undefined : `${path} is short`,
  maxLength: (most: number, value, path) =>
    (value as string).length <= most ? undefined : `${path} is long`,
  minItems: (least: number, value, path) =>
    (value as []).length >= least ? undefined : `${path} has too few`,
  uniqueItems: (_: true, value, path) =>
    new Set(value as []).size === (value as []).length ? undefined : `${path} repeats itself`,
  items: (rules: JsonSchema, value, path) =>
    (value as unknown[]).map((item, i) => problemOf(rules, item, `${path}[${i}]`)).find(Boolean),
  anyOf: (forms: JsonSchema[], value, path) => {
    const problems = forms.map((form) => problemOf(form, value, path));
    return problems.includes(undefined) ? undefined : problems.join(' and ');
  },
  properties: (properties: Record<string, JsonSchema>, value, path) =>
    Object.entries(properties)
      .filter(([key]) => Object.hasOwn(value as object, key))
      .map(([key, rules]) => problemOf(rules, (value as Record<string, unknown>)[key], `${path}.${key}`))
      .find(Boolean),
  required: (keys: string[], value, path) =>
    keys.every((key) => Object.hasOwn(value as object, key)) ? undefined : `${path} lacks a key`,
  propertyNames: (rules: JsonSchema, value, path) =>
    Object.keys(value as object)
      .map((key) => problemOf(rules, key, `${path}: ${key}`))
      .find(Boolean),
  additionalProperties: (wanted: JsonSchema | false, value, path, rules) => {
    const known = Object.keys((rules.properties as object | undefined) ?? {});
    const others = Object.keys(value as object).filter((key) => !known.includes(key));
    if (wanted === false) return others.length === 0 ? undefined : `${path}: ${others[0]} is unknown`;
    const map = value as Record<string, unknown>;
    return others.map((key) => problemOf(wanted, map[key], `${path}.${key}`)).find(Boolean);
  },
};

test('the file that editors read is the schema of today', () => {
  // Made by: fanout policy schema > policies/policy.schema.json
  expect(read('policy.schema.json')).toBe(`${JSON.stringify(schema, null, 2)}\n`);
});

test.each(['development', 'staging', 'production'])(
  '%s.yaml names the schema, and is valid by it',
  (name) => {
    const text = read(`${name}.yaml`);
    expect(text.split('\n')[0]).toBe('# yaml-language-server: $schema=policy.schema.json');
    expect(problemOf(schema, parse(text))).toBeUndefined();
  },
);

const page = /```yaml\n([\s\S]*?)```/.exec(read('README.md'))?.[1] ?? '';
const WHOLE = page.replace('ssh-ed25519 AAAA... alice', ALICE).replace('ssh-ed25519 AAAA... bob', BOB);

test('the policy of the page, which has every key, is valid by it', () => {
  expect(problemOf(schema, parse(WHOLE))).toBeUndefined();
  const start = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
  const first = /```yaml\n(version[\s\S]*?)```/.exec(start)?.[1] ?? '';
  const sound = first.replace('ssh-ed25519 AAAAC3Nza... alice', ALICE);
  expect(problemOf(schema, parse(sound))).toBeUndefined();
});

/** Slips of the pen: a text of the page, and what stands there instead. */
const SLIPS: readonly (readonly [before: string, after: string])[] = [
  ['version: 1', 'version: 2'],
  ['version: 1', 'version: "1"'],
  ['version: 1', 'verison: 1'],
  ['environment: production', 'environment: [production]'],
  ['environment: production', 'environment: "pro duction"'],
  ['environment: production', 'enviroment: production'],
  ['cluster: main', 'cluster: 1'],
  ['alice: { key', '"al ice": { key'],
  ['alice: { key', 'alice: { kee'],
  ['groups: [sre], notAfter', 'groups: sre, notAfter'],
  ['groups: [sre], notAfter', 'group: [sre], notAfter'],
  ['notAfter: 2030-12-31', 'notAfter: tomorrow'],
  ['notAfter: 2030-12-31', 'notAfter: 2030'],
  ['{ name: sre, notAfter', '{ nam: sre, notAfter'],
  ['sandbox: [strict, standard]', 'sandbox: [strict, weak]'],
  ['sandbox: [strict, standard]', 'sandbox: []'],
  ['sandbox: [strict, standard]', 'sandbox: [strict, strict]'],
  ['sandbox: [strict, standard]', 'sandbox: off'],
  ['user: fanout-run', 'user: "Fanout Run"'],
  ['timeout: 15s', 'timeout: 15'],
  ['timeout: 15s', 'timeout: 15 s'],
  ['timeout: 15s', 'time: 15s'],
  ['output: 256KiB', 'output: 256k'],
  ['concurrency: 2', 'concurrency: 0'],
  ['concurrency: 2', 'concurrency: 2.5'],
  ['concurrency: 2', 'concurrency: two'],
  ['maxTtl: 60s', 'maxTtl: 60'],
  ['clockSkew: 30s', 'clockskew: 30s'],
  ['- id: never', '- id: "ne ver"'],
  ['- id: never', '- name: never'],
  ['effect: deny', 'effect: forbid'],
  ['effect: deny', 'effect: allow'],
  ['why: these', 'why: 5 #'],
  ['programs: [sh, bash, "python*"]', 'programs: sh'],
  ['anyArg: ["*/.ssh/*"]', 'anyArgs: ["*/.ssh/*"]'],
  ['operators: ["group:sre", bob]', 'operators: []'],
  ['operators: ["group:sre", bob]', 'operator: [bob]'],
  ['readOnly: true', 'readOnly: "yes"'],
  ['tags: { role', 'tag: { role'],
  ['tags: { role: [web, "api-*"] }', 'tags: { role: [1] }'],
  ['tags: { role: [web, "api-*"] }', 'tags: [role]'],
  ['select: "not dc', 'select: [x] # "not dc'],
  ['argv: [[ax, "-ef"]]', 'argv: ax'],
  ['argv: [[ax, "-ef"]]', 'argv: [5]'],
  ['argv: [[ax, "-ef"]]', 'argv: [[]]'],
  ['path: /usr/bin/ps', 'path: usr/bin/ps'],
  ['program: ps', 'program: /usr/bin/ps'],
  ['flags: ["-i", "-n"]', 'flags: ["i"]'],
  ['options: { "-m"', 'option: { "-m"'],
  ['min: 1, max: 3', 'min: -1, max: 3'],
  ['min: 1, max: 3', 'min: 1, max: many'],
  ['approvals: { need: 1', 'approvals: { need: 0'],
  ['approvals: { need: 1', 'approvals: { count: 1'],
  ['from: ["group:sre"]', 'from: []'],
  ['groups: [systemd-journal]', 'groups: [5]'],
  ['cwd: /srv/app', 'cwd: app'],
  ['env: { APP_ENV: production }', 'env: { LD_PRELOAD: x }'],
  ['env: { APP_ENV: production }', 'env: { PATH: x }'],
  ['env: { APP_ENV: production }', 'env: { "A B": x }'],
  ['env: { APP_ENV: production }', 'env: { APP_ENV: 1 }'],
  ['network: none', 'network: some'],
  ['write: [/srv/app/tmp]', 'write: /srv/app/tmp'],
  ['write: [/srv/app/tmp]', 'write: [tmp]'],
  ['sockets: [/run', 'socket: [/run'],
  ['memory: 256MiB', 'memory: 256'],
  ['tasks: 64', 'tasks: 1'],
  ['rate: 4/min', 'rate: 4/week'],
  ['rate: 4/min', 'rate: 4'],
  ['dangerous: "D-Bus', 'dangerous: [x] # "D-Bus'],
  ['- { as: alice, tags: { role: web }, cmd: "ps ax" }', '- { as: alice, tags: { role: web } }'],
  ['approvedBy: [bob]', 'approvedBy: bob'],
  ['cmd: "ps auxe"', 'cmd: 5'],
];

test.each(SLIPS)('not valid: %s -> %s', (before, after) => {
  expect(WHOLE).toContain(before);
  const text = WHOLE.replace(before, () => after);
  expect(problemOf(schema, parse(text))).toBeDefined();
  // A node sees it too, though for some of these not before it compiles the rules.
  const seen = shapeErrors(new YamlSource(text, 'x')).length > 0;
  if (!/al ice|usr\/bin\/ps|path: |cwd: |flags: |write: \[tmp/.test(`${before}${after}`))
    expect(seen).toBe(true);
});

test('every key has a sentence for the editor', () => {
  const bare: string[] = [];
  const walk = (rules: JsonSchema, path: string): void => {
    for (const [key, inner] of Object.entries((rules.properties ?? {}) as Record<string, JsonSchema>)) {
      if (typeof inner.description !== 'string') bare.push(`${path}.${key}`);
      walk(inner, `${path}.${key}`);
    }
    for (const key of ['items', 'additionalProperties'] as const) {
      const inner = rules[key];
      if (isMap(inner)) walk(inner, path);
    }
    for (const form of (rules.anyOf ?? []) as JsonSchema[]) walk(form, path);
  };
  walk(schema, '$');
  expect(bare).toEqual([]);
});
