import { chmodSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { AuditHead } from '../../src/identity/audit.ts';
import { KnownHeads, lostSince } from '../../src/identity/known-heads.ts';
import { fanoutErrorOf, scratchFolder } from './fixtures.ts';

const head = (seq: number, digit = 'a'): AuditHead => ({ seq, hash: digit.repeat(64) });

function fresh(): string {
  return join(scratchFolder(), 'node_heads');
}

const KEY = `SHA256:${'k'.repeat(43)}`;
const OTHER_KEY = `SHA256:${'o'.repeat(43)}`;
const shown = (...of: [string, AuditHead][]) =>
  new Map(of.map(([node, one]) => [node, { key: KEY, head: one }]));
const byOther = (node: string, one: AuditHead) => new Map([[node, { key: OTHER_KEY, head: one }]]);

test('the newest head of each node and environment is kept, over restarts and other processes', () => {
  const path = fresh();
  const one = KnownHeads.load(path);
  one.remember('test', shown(['web1', head(5)], ['web2', head(1)]));
  KnownHeads.load(path).remember('prod', shown(['web1', head(9, 'b')]));
  // An answer that comes late does not take a newer head back.
  KnownHeads.load(path).remember('test', shown(['web1', head(3, 'c')]));
  const all = KnownHeads.load(path);
  expect([all.get('test', 'web1', KEY), all.get('prod', 'web1', KEY)]).toEqual([head(5), head(9, 'b')]);
  expect([all.get('prod', 'web2', KEY), all.size]).toEqual([undefined, 3]);
  expect(statSync(path).mode & 0o777).toBe(0o600);
});

test('a head that was accepted as lost is forgotten, and the log may begin anew', () => {
  const path = fresh();
  KnownHeads.load(path).remember('test', shown(['web1', head(812)]));
  KnownHeads.load(path).remember('test', byOther('web1', head(9)));
  expect(KnownHeads.load(path).accept('test', 'web1')).toBe(true);
  expect(KnownHeads.load(path).accept('test', 'web1')).toBe(false);
  expect(KnownHeads.load(path).accept('test', 'nobody')).toBe(false);
  KnownHeads.load(path).remember('test', shown(['web1', head(2, 'd')]));
  const all = KnownHeads.load(path);
  expect([all.get('test', 'web1', KEY), all.get('test', 'web1', OTHER_KEY)]).toEqual([
    head(2, 'd'),
    undefined,
  ]);
});

test('a head counts for the key that has shown it: another key of the same name has a log of its own', () => {
  const path = fresh();
  KnownHeads.load(path).remember('test', shown(['web1', head(812)]));
  expect(KnownHeads.load(path).get('test', 'web1', OTHER_KEY)).toBe(undefined);
  KnownHeads.load(path).remember('test', byOther('web1', head(2, 'b')));
  KnownHeads.load(path).remember('test', byOther('web1', head(1, 'c')));
  const all = KnownHeads.load(path);
  expect([all.get('test', 'web1', KEY), all.get('test', 'web1', OTHER_KEY)]).toEqual([
    head(812),
    head(2, 'b'),
  ]);
});

test('a line from before there were keys belongs to the key that the node shows next, and nothing of it is lost', () => {
  const path = fresh();
  const old = `web1 test 812 ${'a'.repeat(64)}\nweb2 test 4 ${'a'.repeat(64)}\nweb2 test 0 ${'0'.repeat(64)}\n`;
  for (const now of [head(40, 'b'), head(813, 'b')]) {
    writeFileSync(path, old, { mode: 0o600 });
    expect(KnownHeads.load(path).size).toBe(1);
    expect(KnownHeads.load(path).get('test', 'web1', KEY)).toEqual(head(812));
    KnownHeads.load(path).remember('test', shown(['web1', now]));
    const all = KnownHeads.load(path);
    expect(all.get('test', 'web1', KEY)).toEqual(now.seq > 812 ? now : head(812));
    // It was that key's: it says nothing of one that comes after it.
    expect(all.get('test', 'web1', OTHER_KEY)).toBe(undefined);
    expect(all.get('test', 'web2', KEY)).toBe(undefined);
  }
});

test('a node cannot write a second line by its name', () => {
  const path = fresh();
  const evil = `x test 1 ${'0'.repeat(64)}\nweb1 test 1 ${'f'.repeat(64)}\n# %0a`;
  KnownHeads.load(path).remember('test', shown([evil, head(7)]));
  expect(readFileSync(path, 'utf8').split('\n')).toHaveLength(2);
  const again = KnownHeads.load(path);
  expect([again.get('test', evil, KEY), again.get('test', 'web1', KEY)]).toEqual([head(7), undefined]);
});

test('a broken line is named, a half written one is nothing, and a file that others can write is refused', () => {
  const path = fresh();
  const good = `web1 test 5 ${'a'.repeat(64)}\n`;
  writeFileSync(path, `${good}web2 test 9 ${'a'.repeat(30)}`, { mode: 0o600 });
  expect(KnownHeads.load(path).size).toBe(1);
  for (const line of [
    'web1',
    `web1 test -1 ${'a'.repeat(64)}`,
    `web1 test 1 ${'A'.repeat(64)}`,
    `${good.trim()} SHA256:x`,
    'w % 1 x',
  ]) {
    writeFileSync(path, `${good}${line}\n`);
    expect(fanoutErrorOf(() => KnownHeads.load(path)).message).toContain(`${path}:2:`);
  }
  writeFileSync(path, good);
  chmodSync(path, 0o622);
  expect(fanoutErrorOf(() => KnownHeads.load(path)).code).toBe('INTEGRITY');
  symlinkSync(path, `${path}.link`);
  expect(fanoutErrorOf(() => KnownHeads.load(`${path}.link`)).message).toContain('symbolic link');
});

test('what says nothing any more is dropped in time, and nothing else', () => {
  const path = fresh();
  const heads = KnownHeads.load(path);
  heads.remember('test', shown(['quiet', head(1)]));
  for (let n = 1; n <= 6000; n += 500) {
    heads.remember(
      'test',
      shown(...Array.from({ length: 600 }, (_, i) => [`n${i}`, head(n)] as [string, AuditHead])),
    );
  }
  expect(readFileSync(path, 'utf8').split('\n').length).toBeLessThan(6000);
  const again = KnownHeads.load(path);
  expect([again.size, again.get('test', 'quiet', KEY), again.get('test', 'n7', KEY)]).toEqual([
    601,
    head(1),
    head(5501),
  ]);
});

test('a node that lies about its head gains nothing by it', () => {
  expect(lostSince(undefined, head(40))).toBe('');
  expect(lostSince(head(812), head(813))).toBe('');
  expect(lostSince(head(812), head(40))).toBe(
    'its audit log was rewritten or lost: it had record 812, now 40',
  );
  // Two records of this command came after the head that was kept: the same number cannot be honest.
  expect(lostSince(head(812), head(812, 'b'))).toContain('rewritten');
  expect(lostSince(head(812), null)).toContain('no record of this command');
  // One that claims too much is held to it the next time.
  expect(lostSince(head(Number.MAX_SAFE_INTEGER), head(814))).toContain('rewritten or lost');
});

test('a name that another version of Node has escaped is the same name', () => {
  const path = fresh();
  KnownHeads.load(path).remember('test', shown(['caf\u00e9', head(5)]));
  const text = readFileSync(path, 'utf8');
  expect(text).toContain('caf\u00e9');
  writeFileSync(path, text.replace('\u00e9', '%C3%A9'));
  expect(KnownHeads.load(path).get('test', 'caf\u00e9', KEY)).toEqual(head(5));
});
