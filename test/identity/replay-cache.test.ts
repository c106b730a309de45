import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ReplayCache } from '../../src/identity/replay-cache.ts';
import { AssertionError } from '../../src/lib/assert.ts';

test('an id is seen from the moment it is remembered until its time is over', () => {
  const cache = new ReplayCache();
  expect(cache.seen('aa')).toBe(false);
  cache.remember('aa', 1000);
  cache.sweep(999);
  cache.sweep(1000);
  expect(cache.seen('aa')).toBe(true);
  cache.sweep(1001);
  expect(cache.seen('aa')).toBe(false);
});

test('a full cache says so, forgets nothing early and has room again after a sweep', () => {
  const cache = new ReplayCache(2);
  cache.remember('aa', 1000);
  cache.remember('bb', 2000);
  expect(cache.full).toBe(true);
  expect(() => cache.remember('cc', 3000)).toThrow(AssertionError);
  expect([cache.seen('aa'), cache.seen('bb')]).toEqual([true, true]);
  cache.remember('aa', 1500);
  cache.sweep(1600);
  expect([cache.full, cache.seen('aa'), cache.seen('bb')]).toEqual([false, false, true]);
});

test('remembering an id again never shortens its time', () => {
  const cache = new ReplayCache();
  cache.remember('aa', 2000);
  cache.remember('aa', 1000);
  cache.sweep(1500);
  expect(cache.seen('aa')).toBe(true);
});

test('the cache always agrees with a plain list', () => {
  const step = fc.oneof(
    fc.record({ id: fc.constantFrom('a', 'b', 'c', 'd', 'e'), until: fc.nat(100) }),
    fc.record({ now: fc.nat(100) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const cache = new ReplayCache(5);
      const model = new Map<string, number>();
      for (const action of steps) {
        if ('id' in action) {
          cache.remember(action.id, action.until);
          model.set(action.id, Math.max(model.get(action.id) ?? 0, action.until));
        } else {
          cache.sweep(action.now);
          for (const [id, until] of model) if (until < action.now) model.delete(id);
        }
        expect(cache.size).toBe(model.size);
        for (const id of 'abcde') expect(cache.seen(id)).toBe(model.has(id));
      }
    }),
  );
});
