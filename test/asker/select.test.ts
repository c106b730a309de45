import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, test, vi } from 'vitest';
import { type SelectionFlags, selectorFrom } from '../../src/asker/select.ts';
import { selectorText } from '../../src/policy/selector.ts';
import { fanoutErrorOf, scratchFolder } from '../identity/fixtures.ts';

const textOf = (flags: SelectionFlags): string => selectorText(selectorFrom(flags));

test.each<[string, SelectionFlags]>([
  ['--select', { select: [''] }],
  ['--select', { select: ['role=web', ' '] }],
  ['--exclude', { exclude: [''] }],
  ['--nodes', { nodes: [' ,'] }],
  ['--node', { node: [''] }],
])('an empty %s is refused: an empty variable in a script must not mean everybody', (flag, flags) => {
  const error = fanoutErrorOf(() => textOf(flags));
  expect(error).toMatchObject({ code: 'USAGE', message: `${flag} is empty` });
});

test('a set has names, ranges, patterns and files in any mixture', () => {
  const file = join(scratchFolder(), 'names');
  writeFileSync(file, 'web1\n\n# the old ones\nweb[05-07], db1 # and that\r\ncache#1\n');
  expect(textOf({ nodes: [`a, b*,^${file}`, 'c[1,2]'] })).toBe(
    "node=a,b*,web1,web[05-07],db1,'cache#1',c[1,2]",
  );
  expect(textOf({ exclude: ['a b'] })).toBe('node!=a,b');
  writeFileSync(file, '# nobody\n');
  expect(fanoutErrorOf(() => textOf({ nodes: [`^${file}`] })).message).toContain('there is no name in');
  expect(fanoutErrorOf(() => textOf({ nodes: ['^/gone'] })).message).toBe('cannot read the names in /gone');
});

test.each(['web[1-5]!web3', 'web1&web2'])('%s, as another tool writes it, is not taken for a name', (set) => {
  const error = fanoutErrorOf(() => textOf({ nodes: [set] }));
  expect(error).toMatchObject({ code: 'USAGE', hint: expect.stringContaining('--exclude') });
});

test('ranges are counted by what they cost, not as wildcards', () => {
  const racks = Array.from({ length: 40 }, (_, i) => `r${i}n[01-40]`).join(',');
  expect(textOf({ nodes: [racks] })).toBe(`node=${racks}`);
  const odd = Array.from({ length: 1100 }, (_, i) => 2 * i + 1).join(',');
  expect(textOf({ nodes: [`web[${odd}]`] })).toBe(`node=web[${odd}]`);
});

afterEach(() => vi.unstubAllEnvs());

test('a file of selections that cannot be read is an error, and not no selections', () => {
  const config = scratchFolder();
  vi.stubEnv('XDG_CONFIG_HOME', config);
  expect(fanoutErrorOf(() => textOf({ nodes: ['@prod'] })).code).toBe('USAGE');
  mkdirSync(join(config, 'fanout', 'selections.yaml'), { recursive: true });
  expect(fanoutErrorOf(() => textOf({ nodes: ['@prod'] }))).toMatchObject({
    code: 'CONFIG',
    message: expect.stringContaining('EISDIR'),
  });
});
