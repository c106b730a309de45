import { expect, test } from 'vitest';
import { DecodeError } from '../../src/lib/errors.ts';
import { decodeFilter, encodeNodeFilter, encodeTagFilter } from '../../src/serf/filters.ts';
import { bytesOfHex, vector } from '../fixtures/vectors.ts';

test('a node filter is read and written as the reference encoder does', () => {
  const { bytes, decoded } = vector('serf_filter_node');
  expect(encodeNodeFilter(decoded.nodes)).toEqual(bytes);
  expect(decodeFilter(bytes)).toEqual({ kind: 'nodes', names: decoded.nodes });
});

test('a tag filter is read and written as the reference encoder does', () => {
  const { bytes, decoded } = vector('serf_filter_tag');
  expect(encodeTagFilter(decoded.Tag, decoded.Expr)).toEqual(bytes);
  expect(decodeFilter(bytes)).toEqual({ kind: 'tag', tag: decoded.Tag, expr: decoded.Expr });
});

test.each([
  ['nothing', ''],
  ['an unknown kind', '0290'],
  ['a kind without value', '00'],
  ['a map for names', '0080'],
  ['a number for a name', '009101'],
  ['a list for a tag', '0190'],
  ['a number for an expression', '0181a44578707201'],
])('a broken filter is refused: %s', (_what, text) => {
  expect(() => decodeFilter(bytesOfHex(text))).toThrow(DecodeError);
});
