import { expect, test } from 'vitest';
import { EMPTY } from '../../src/lib/bytes.ts';
import { incompatibility, isCompatible, isUsableVersion } from '../../src/memberlist/versions.ts';
import { remoteOf, SERF_VSN } from './harness.ts';

const OWN = { name: 'self', vsn: SERF_VSN };
const ZEROS = new Uint8Array(6);

test.each([
  [[1, 5, 2, 2, 5, 5], true],
  [[2, 2, 2, 2, 5, 4], true],
  [[0, 5, 2, 2, 5, 5], false],
  [[1, 0, 2, 2, 5, 5], false],
  [[4, 3, 2, 2, 5, 5], false],
  [[1, 5, 2], false],
  [[], false],
])('versions %j are usable: %s', (vsn, usable) => {
  expect(isUsableVersion(Uint8Array.from(vsn))).toBe(usable);
});

test.each([
  [[1, 5, 2, 2, 5, 2], true],
  [[2, 2, 2, 2, 5, 5], true],
  [[1, 5, 6, 2, 5, 5], false],
  [[3, 5, 3, 2, 5, 5], false],
  [[1, 1, 1, 2, 5, 5], false],
  [[1, 5, 2, 2, 4, 4], false],
  [[1, 5, 2, 2, 9, 9], false],
  [[0, 0, 0, 0, 0, 0], false],
])('[1, 5, 2, 2, 5, 5] and %j understand each other: %s', (vsn, compatible) => {
  expect(isCompatible(SERF_VSN, Uint8Array.from(vsn))).toBe(compatible);
});

test('a view of which no alive node is compatible is refused, and the reason names one', () => {
  const stranger = remoteOf('old', { vsn: Uint8Array.of(1, 1, 1, 2, 5, 5) });
  expect(incompatibility(OWN, [stranger])).toBe(
    'incompatible versions: old speaks [1, 1, 1, 2, 5, 5], we speak [1, 5, 2, 2, 5, 5]',
  );
  // What the other says about ourselves proves nothing about itself.
  expect(incompatibility(OWN, [remoteOf('self'), stranger])).toContain('old');
  expect(incompatibility(OWN, [remoteOf('gone', { state: 3 }), stranger])).toContain('old');
});

test('one alive node with odd or missing versions does not stop the rest of the view', () => {
  for (const vsn of [ZEROS, EMPTY, Uint8Array.of(1, 1, 1, 2, 5, 5), Uint8Array.of(5, 5, 5, 2, 5, 5)]) {
    expect(incompatibility(OWN, [remoteOf('odd', { vsn }), remoteOf('good')])).toBeUndefined();
  }
});

test('a view without alive nodes has nothing to refuse', () => {
  expect(incompatibility(OWN, [])).toBeUndefined();
  expect(incompatibility(OWN, [remoteOf('self')])).toBeUndefined();
  expect(incompatibility(OWN, [remoteOf('gone', { state: 2, vsn: ZEROS })])).toBeUndefined();
});
