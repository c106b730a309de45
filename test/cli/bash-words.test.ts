import { expect, test } from 'vitest';
import { bashWords } from '../../src/cli/bash-words.ts';

const BREAKS = ' \t\n"\'@><=;|&(:';

test.each([
  ['fanout', ['fanout'], 0],
  ['fanout ', ['fanout', ''], 0],
  ['fanout  mem', ['fanout', 'mem'], 0],
  ['fanout --tag role=w', ['fanout', '--tag', 'role=w'], 5],
  ['fanout --tag a=b:c', ['fanout', '--tag', 'a=b:c'], 4],
  // Of @ readline makes the beginning of a word, of the others the end of one.
  ['fanout -w @ca', ['fanout', '-w', '@ca'], 0],
  ['fanout -w a,@ca', ['fanout', '-w', 'a,@ca'], 2],
  ['fanout "a b" c', ['fanout', 'a b', 'c'], 0],
  [`fanout 'a b`, ['fanout', 'a b'], 0],
  ['fanout role="we', ['fanout', 'role=we'], 5],
  ['fanout "role=we', ['fanout', 'role=we'], 0],
  [`fanout "it's" \\"x\\ y`, ['fanout', "it's", '"x y'], 0],
  [`fanout 'a\\' "\\$x\\n"`, ['fanout', 'a\\', '$x\\n'], 4],
  ["fanout ''", ['fanout', ''], 0],
  ['fanout "" x', ['fanout', '', 'x'], 0],
  ['fanout a\\', ['fanout', 'a'], 0],
  ['fanout $(reboot) `x`', ['fanout', '$(reboot)', '`x`'], 0],
])('the words of %s', (line, words, kept) => {
  expect(bashWords(line, BREAKS)).toEqual({ words, kept });
});
