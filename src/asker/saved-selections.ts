import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import * as v from 'valibot';
import { parse, stringify } from 'yaml';
import { codeOf, errnoOf, FanoutError } from '../lib/errors.ts';
import { parseSelector } from '../policy/selector-parser.ts';
import { configPath } from './paths.ts';

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
const schema = v.record(v.pipe(v.string(), v.regex(NAME)), v.string());

/** The saved selections by name, in the order of the file. Throws FanoutError CONFIG when the file is broken. */
export function savedSelections(): ReadonlyMap<string, string> {
  const path = configPath('selections.yaml');
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return new Map();
    throw new FanoutError('CONFIG', `${path} cannot be read: ${codeOf(error)}`, {
      hint: 'Mend its permissions, or remove it.',
      cause: error,
    });
  }
  try {
    return new Map(Object.entries(v.parse(schema, parse(text) ?? {})));
  } catch (error) {
    throw new FanoutError('CONFIG', `${path} cannot be read as saved selections`, {
      hint: 'It is a mapping such as "canaries: web[01-03]". Mend it, or remove it.',
      cause: error,
    });
  }
}

/** Saves a selection under a name, in place of what had that name. Throws FanoutError. */
export function saveSelection(name: string, text: string): void {
  if (!NAME.test(name)) {
    throw new FanoutError('USAGE', `"${name}" cannot be the name of a selection`, {
      hint: 'Use letters, digits, dots, dashes and underscores.',
    });
  }
  const all = savedSelections();
  const others = new Map([...all].filter(([other]) => other !== name));
  // Read once, with the others at hand, so that nothing is saved that cannot be used.
  parseSelector(text, { saved: (other) => others.get(other), savedNames: [...others.keys()] });
  write(new Map([...all, [name, text]]));
}

/** Removes a saved selection; false when there is none of that name. */
export function removeSelection(name: string): boolean {
  const all = new Map(savedSelections());
  if (!all.delete(name)) return false;
  write(all);
  return true;
}

function write(all: ReadonlyMap<string, string>): void {
  const path = configPath('selections.yaml');
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const next = `${path}.${process.pid}`;
  writeFileSync(next, stringify(Object.fromEntries(all)), { mode: 0o600 });
  renameSync(next, path);
}
