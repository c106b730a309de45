import { expect, test } from 'vitest';
import { textWidth } from '../../src/lib/text-width.ts';

test.each([
  ['web1', 4],
  ['', 0],
  ['東京', 4],
  ['café', 4],
  ['cafe\u0301', 4],
  ['a\u200bb', 2],
  ['🚀', 2],
])('%j takes %i columns', (text, columns) => {
  expect(textWidth(text)).toBe(columns);
});
