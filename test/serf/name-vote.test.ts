import { expect, test } from 'vitest';
import { utf8 } from '../../src/lib/bytes.ts';
import { encodeConflictResponse, encodeUserEvent } from '../../src/serf/messages.ts';
import { NameVote } from '../../src/serf/name-vote.ts';
import { addrOf, PORT } from '../memberlist/harness.ts';

const says = (addr: Uint8Array, port = PORT): Uint8Array =>
  encodeConflictResponse({
    name: 'web1',
    addr,
    port,
    tags: new Map(),
    status: 'alive',
    vsn: new Uint8Array(6),
  });
const long = (addr: Uint8Array): Uint8Array => Uint8Array.of(...new Uint8Array(10), 0xff, 0xff, ...addr);
const OURS = addrOf(1);

test.each<[string, (Uint8Array | null)[], boolean]>([
  ['nobody', [], false],
  ['one of one', [says(OURS)], true],
  ['one of two', [says(OURS), says(addrOf(2))], false],
  ['two of three', [says(OURS), says(addrOf(2)), says(OURS)], true],
  ['our address in its long form', [says(long(OURS))], true],
  ['our address with another port', [says(OURS, 1)], false],
  ['one who does not know the name', [says(OURS), encodeConflictResponse(null)], false],
  [
    'one, and three who say nothing that can be read',
    [says(OURS), null, utf8('\x06noise'), encodeUserEvent({ ltime: 1, name: 'x', payload: null, cc: false })],
    true,
  ],
])('with %s for us', (_what, answers, isWon) => {
  const vote = new NameVote({ addr: OURS, port: PORT }, ['a', 'b', 'c', 'd']);
  for (const [i, answer] of answers.entries()) vote.add('abcd'[i]!, answer);
  expect(vote.isWon).toBe(isWon);
});

test('nobody votes twice, and strangers do not vote', () => {
  const vote = new NameVote({ addr: OURS, port: PORT }, ['a', 'b']);
  vote.add('a', says(OURS));
  for (let i = 0; i < 5; i++) vote.add('b', says(addrOf(2)));
  for (let i = 0; i < 5; i++) vote.add(`ghost${i}`, says(addrOf(2)));
  vote.add('b', says(OURS));
  expect([vote.matching, vote.votes]).toEqual([1, 2]);
});
