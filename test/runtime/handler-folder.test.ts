import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { handlerSource } from '../../src/runtime/command-source.ts';
import { loadHandler, loadHandlers } from '../../src/runtime/handler-folder.ts';
import { testWhere } from '../support/applies.ts';
import { IS_ROOT } from './command-helper.ts';

/** A place whose parents nobody else can write, as in resolve-program.test.ts. */
const base = IS_ROOT ? '/opt' : realpathSync(homedir());
let dir: string;

beforeEach(() => {
  dir = mkdtempSync(join(base, 'fanout-handlers-'));
  chmodSync(dir, 0o755);
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

function handler(
  name: string,
  text = `name: ${name}\ndescription: x\ncommand: [./run]\n`,
  script = '#!/bin/sh\n',
): string {
  const folder = join(dir, name);
  mkdirSync(folder, { mode: 0o755 });
  writeFileSync(join(folder, 'handler.yaml'), text, { mode: 0o644 });
  writeFileSync(join(folder, 'run'), script);
  chmodSync(join(folder, 'run'), 0o755);
  return folder;
}

const refusal = (name: string): string => {
  const source = handlerSource(loadHandler(dir, name), name, []);
  return source.kind === 'command' ? 'accepted' : source.reason;
};

test('folders are handlers, other files are not', () => {
  handler('a');
  handler('b');
  writeFileSync(join(dir, 'README.md'), '');
  mkdirSync(join(dir, '.git'));
  expect([...loadHandlers(dir).keys()]).toEqual(['a', 'b']);
  expect(refusal('a')).toBe('accepted');
});

test.each<[string, () => void, string]>([
  ['a folder without a manifest', () => mkdirSync(join(dir, 'a')), 'there is no'],
  [
    'a name that is not its folder',
    () => handler('a', 'name: b\ndescription: x\ncommand: ["true"]\n'),
    'its folder "a"',
  ],
  [
    'a manifest without end',
    () => handler('a', `name: a\ndescription: x\ncommand: ["true"]\n#${'x'.repeat(70_000)}`),
    'too large',
  ],
  [
    'a manifest that is no text',
    () => writeFileSync(join(handler('a'), 'handler.yaml'), Buffer.from([0xff, 0xfe])),
    'not text in UTF-8',
  ],
  [
    'a manifest deeper than any',
    () => handler('a', `name: a\ndescription: x\ncommand: ${'['.repeat(5000)}`),
    'YAML',
  ],
  [
    'a manifest that others can write',
    () => chmodSync(join(handler('a'), 'handler.yaml'), 0o666),
    'others can write',
  ],
  ['a folder that others can write', () => chmodSync(handler('a'), 0o777), 'others can write the folder'],
  ['a folder that is a link', () => symlinkSync(handler('a'), join(dir, 'b')), 'is a symbolic link'],
  [
    'a folder above that others can write',
    () => {
      handler('a');
      chmodSync(dir, 0o777);
    },
    'others can write the folder',
  ],
  [
    'a manifest that is a link',
    () => {
      const folder = handler('a');
      rmSync(join(folder, 'handler.yaml'));
      symlinkSync('/etc/passwd', join(folder, 'handler.yaml'));
    },
    'is a symbolic link',
  ],
  [
    'a manifest that is a folder',
    () => {
      const folder = handler('a');
      rmSync(join(folder, 'handler.yaml'));
      mkdirSync(join(folder, 'handler.yaml'));
    },
    'is a folder',
  ],
])('%s is refused by name', (_what, prepare, message) => {
  prepare();
  expect(() => loadHandlers(dir)).toThrow(
    expect.objectContaining({ code: 'CONFIG', hint: expect.any(String) }),
  );
  expect(() => loadHandlers(dir)).toThrow(message);
});

test('a folder that is not there', () => {
  expect(() => loadHandlers(join(dir, 'none'))).toThrow(expect.objectContaining({ code: 'CONFIG' }));
});

test('three hundred of them are not a folder of handlers', () => {
  for (let i = 0; i < 300; i++) mkdirSync(join(dir, `n${i}`));
  expect(() => loadHandlers(dir)).toThrow('at most 256');
});

test('a script that is a link, that others can write, that is not executable or that is missing is not run', () => {
  symlinkSync('/bin/sh', join(handler('link'), 'x'));
  rmSync(join(dir, 'link', 'run'));
  symlinkSync('/bin/sh', join(dir, 'link', 'run'));
  expect(refusal('link')).toContain('is a symbolic link');
  chmodSync(join(handler('open'), 'run'), 0o777);
  expect(refusal('open')).toContain('writable by everybody');
  chmodSync(join(handler('plain'), 'run'), 0o644);
  expect(refusal('plain')).toContain('not executable');
  rmSync(join(handler('gone'), 'run'));
  expect(refusal('gone')).toContain('does not exist');
  handler('text', undefined, 'echo no interpreter\n');
  expect(refusal('text')).toContain('neither an ELF binary nor a script');
});

test('what was sound when it was read is looked at again when it is run', () => {
  const folder = handler('a');
  const loaded = loadHandler(dir, 'a');
  chmodSync(join(folder, 'run'), 0o777);
  expect(handlerSource(loaded, 'a', [])).toMatchObject({ kind: 'failed' });
});

testWhere(IS_ROOT)("a script of somebody else's is not run", () => {
  chownSync(join(handler('a'), 'run'), 65534, 65534);
  expect(refusal('a')).toContain('belongs to uid 65534');
});

test('a handler that is not there is refused clearly', () => {
  expect(handlerSource(undefined, 'disk', [])).toEqual({
    kind: 'failed',
    reason: 'this node has no handler "disk"',
    hint: 'Handlers are loaded from a folder: fanout agent --handlers DIR',
  });
});
