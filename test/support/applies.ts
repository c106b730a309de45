import { test } from 'vitest';

type Register = (name: string, run: () => void | Promise<void>) => void;

/**
 * Registers a test only where its case exists at all: what only root can do, or only somebody else. Nothing is missing
 * elsewhere, so it is no skip; `.ci/run` runs these files as both.
 */
export function testWhere(applies: boolean): Register {
  return applies ? (name, run) => test(name, run) : () => {};
}
