import { expect, test } from 'vitest';
import { generateClusterKey } from '../../src/identity/cluster-key.ts';

test('a cluster key is 32 bytes in base64, and never the same', () => {
  const keys = Array.from({ length: 50 }, generateClusterKey);
  for (const key of keys) {
    expect(Buffer.from(key, 'base64')).toHaveLength(32);
    expect(Buffer.from(key, 'base64').toString('base64')).toBe(key);
  }
  expect(new Set(keys).size).toBe(50);
});
