import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  appendFileSync,
  chmodSync,
  existsSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { KnownNodes } from '../../src/identity/known-nodes.ts';
import { identityFingerprint } from '../../src/identity/node-key.ts';
import { testWhere } from '../support/applies.ts';
import { programIn } from '../support/program.ts';
import { fanoutErrorOf, scratchFolder, seedOf } from './fixtures.ts';

function identityOf(label: string): Uint8Array {
  return Uint8Array.of(...seedOf(`${label} sign`), ...seedOf(`${label} box`));
}

function lineOf(node: string, environment: string, label: string): string {
  return `${node} ${environment} ${Buffer.from(identityOf(label)).toString('base64')}\n`;
}

const TIME = / \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/gm;

/** What the file says, beside when. */
function contentOf(path: string): string {
  return readFileSync(path, 'utf8').replace(TIME, '');
}

test('a node is new, then known, and a change is told with the old fingerprint', () => {
  const path = join(scratchFolder(), 'known_nodes');
  const nodes = KnownNodes.load(path);
  expect(nodes.check('production', 'web-1', identityOf('a'))).toBe('new');
  nodes.remember('production', 'web-1', identityOf('a'));
  for (const known of [nodes, KnownNodes.load(path)]) {
    expect(known.check('production', 'web-1', identityOf('a'))).toBe('known');
    expect(known.check('staging', 'web-1', identityOf('b'))).toBe('new');
    const fingerprint = identityFingerprint(identityOf('a'));
    expect(known.check('production', 'web-1', identityOf('b'))).toEqual({ changed: fingerprint });
  }
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(readFileSync(path, 'utf8').match(TIME)).toHaveLength(1);
  expect(contentOf(path)).toBe(lineOf('web-1', 'production', 'a'));
});

test('remembering a pinned identity writes nothing, another one is refused with the way out', () => {
  const path = join(scratchFolder(), 'known_nodes');
  writeFileSync(path, `# pins\n\n${lineOf('web-1', 'production', 'a')}`, { mode: 0o600 });
  const nodes = KnownNodes.load(path);
  nodes.remember('production', 'web-1', identityOf('a'));
  const error = fanoutErrorOf(() => nodes.remember('production', 'web-1', identityOf('b')));
  expect(error.code).toBe('INTEGRITY');
  expect(error.message).toContain(identityFingerprint(identityOf('a')));
  expect(error.message).toContain(identityFingerprint(identityOf('b')));
  expect(error.message).toContain(`${path}:3 pins`);
  expect(error.message).toMatch(/run: fanout known-nodes forget web-1$/);
  expect(readFileSync(path, 'utf8')).toBe(`# pins\n\n${lineOf('web-1', 'production', 'a')}`);
});

test('a pin that another process made meanwhile counts', () => {
  const path = join(scratchFolder(), 'known_nodes');
  const nodes = KnownNodes.load(path);
  KnownNodes.load(path).remember('production', 'web-1', identityOf('a'));
  expect(fanoutErrorOf(() => nodes.remember('production', 'web-1', identityOf('b'))).code).toBe('INTEGRITY');
  expect(nodes.check('production', 'web-1', identityOf('a'))).toBe('known');
});

test('a node cannot write a second line or a comment through its name', () => {
  const path = join(scratchFolder(), 'known_nodes');
  const nodes = KnownNodes.load(path);
  const names = ['#web', 'a b', `x\n${lineOf('web-1', 'production', 'evil')}`, '100%', 'ü ', '\u202e', '%23'];
  for (const name of names) nodes.remember('prod uction', name, identityOf(name));
  const again = KnownNodes.load(path);
  for (const name of names) expect(again.check('prod uction', name, identityOf(name))).toBe('known');
  expect(again.check('production', 'web-1', identityOf('evil'))).toBe('new');
  expect(readFileSync(path, 'utf8').split('\n')).toHaveLength(names.length + 1);
  expect(readFileSync(path, 'utf8')).not.toContain('\u202e');
});

test('a name that another version of Node has escaped, or has not, is the same name and breaks no file', () => {
  const path = join(scratchFolder(), 'known_nodes');
  // Characters that one Unicode does not know yet and the next one does; a hostile node can choose them.
  const lines = [lineOf('caf%C3%A9', 'production', 'a'), lineOf('db\u0378', 'production', 'b')];
  writeFileSync(path, lines.join(''), { mode: 0o600 });
  const nodes = KnownNodes.load(path);
  expect(nodes.check('production', 'caf\u00e9', identityOf('a'))).toBe('known');
  expect(nodes.check('production', 'db\u0378', identityOf('b'))).toBe('known');
  expect(nodes.forget('caf\u00e9')).toHaveLength(1);
  expect(KnownNodes.load(path).check('production', 'caf\u00e9', identityOf('c'))).toBe('new');
});

test.each([
  ['too few fields', 'web-1 production\n', 'expected NODE ENVIRONMENT IDENTITY'],
  ['too many fields', `${lineOf('web-1', 'production', 'a').trim()} more\n`, 'expected NODE'],
  ['a short identity', 'web-1 production AAAA\n', '64 bytes'],
  ['no base64', `web-1 production ${'*'.repeat(86)}==\n`, '64 bytes'],
  ['a wrong escape', lineOf('web%zz', 'production', 'a'), 'expected NODE'],
  ['a needless escape', lineOf('web%41', 'production', 'a'), 'expected NODE'],
  ['half a time', `${lineOf('web-1', 'production', 'a').trim()} 2026-11-27\n`, 'expected NODE'],
  ['nobody to forget', 'web-1 forgotten\n', 'expected NODE'],
  ['a control character in its name', lineOf('web\u001b[2J', 'production', 'a'), 'expected NODE'],
  ['a NUL in its name', lineOf('web\0', 'production', 'a'), 'expected NODE'],
])('a line with %s is refused with file and line', (_name, line, message) => {
  const path = join(scratchFolder(), 'known_nodes');
  writeFileSync(path, `${lineOf('db-1', 'production', 'a')}# next\n${line}`, { mode: 0o600 });
  const error = fanoutErrorOf(() => KnownNodes.load(path));
  expect(error.code).toBe('INTEGRITY');
  expect(error.message).toContain(`${path}:3: `);
  expect(error.message).toContain(message);
  expect(error.hint).toContain(`sed -i 3d ${path}`);
});

test('a last line that lost its end is completed, not mixed with the next', () => {
  const path = join(scratchFolder(), 'known_nodes');
  writeFileSync(path, lineOf('web-1', 'production', 'a').trimEnd(), { mode: 0o600 });
  KnownNodes.load(path).remember('production', 'web-2', identityOf('b'));
  expect(contentOf(path)).toBe(lineOf('web-1', 'production', 'a') + lineOf('web-2', 'production', 'b'));
});

test('a line that another process has written in part is not there yet', () => {
  const path = join(scratchFolder(), 'known_nodes');
  const whole = lineOf('web-2', 'production', 'b');
  for (const length of [3, 10, 30, whole.length - 3]) {
    writeFileSync(path, lineOf('web-1', 'production', 'a') + whole.slice(0, length), { mode: 0o600 });
    const nodes = KnownNodes.load(path);
    expect(nodes.check('production', 'web-1', identityOf('a'))).toBe('known');
    expect(nodes.check('production', 'web-2', identityOf('b'))).toBe('new');
  }
});

test('a file that others can write, or a link, is refused', () => {
  const folder = scratchFolder();
  const path = join(folder, 'known_nodes');
  writeFileSync(path, '', { mode: 0o600 });
  chmodSync(path, 0o664);
  expect(fanoutErrorOf(() => KnownNodes.load(path)).hint).toBe(`Run: chmod go-w ${path}`);
  chmodSync(path, 0o644);
  expect(KnownNodes.load(path).check('p', 'n', identityOf('a'))).toBe('new');
  symlinkSync(path, join(folder, 'link'));
  expect(fanoutErrorOf(() => KnownNodes.load(join(folder, 'link'))).message).toContain('symbolic link');
  expect(
    fanoutErrorOf(() => KnownNodes.load(join(folder, 'no', 'x')).remember('p', 'n', identityOf('a'))).message,
  ).toContain('no folder');
});

/** Two processes that begin when the file `start` appears; resolves with what each printed. */
async function inTwoProcesses(folder: string, source: string): Promise<string[]> {
  const program = programIn(
    folder,
    `import { existsSync } from 'node:fs';
    import { KnownNodes } from './identity/known-nodes.ts';
    const [folder, self] = process.argv.slice(2);
    console.error('ready');
    while (!existsSync(folder + '/start'));
    ${source}`,
  );
  const children = ['1', '2'].map((self) => spawn(process.execPath, [program, folder, self]));
  const results = children.map(async (child) => {
    let printed = '';
    child.stdout.on('data', (data) => {
      printed += data;
    });
    const [code] = await once(child, 'close');
    expect(code).toBe(0);
    return printed;
  });
  await Promise.all(children.map((child) => once(child.stderr, 'data')));
  writeFileSync(join(folder, 'start'), '');
  return Promise.all(results);
}

test('two processes that append at the same time lose no line and mix none', async () => {
  const folder = scratchFolder();
  await inTwoProcesses(
    folder,
    `const nodes = KnownNodes.load(folder + '/known_nodes');
    for (let i = 0; i < 150; i++) {
      nodes.remember('production', 'node-' + self + '-' + i, new Uint8Array(64).fill(Number(self)));
    }`,
  );
  const nodes = KnownNodes.load(join(folder, 'known_nodes'));
  for (const self of [1, 2]) {
    for (let i = 0; i < 150; i++) {
      expect(nodes.check('production', `node-${self}-${i}`, new Uint8Array(64).fill(self))).toBe('known');
    }
  }
  expect(
    readFileSync(join(folder, 'known_nodes'), 'utf8')
      .split('\n')
      .filter((line) => line !== ''),
  ).toHaveLength(300);
});

test('of two processes that pin different identities for one node, never both succeed', async () => {
  const folder = scratchFolder();
  const printed = await inTwoProcesses(
    folder,
    `for (let i = 0; i < 60; i++) {
      try {
        KnownNodes.load(folder + '/pins-' + i).remember('production', 'web-1', new Uint8Array(64).fill(Number(self)));
        console.log(i);
      } catch (error) {
        if (error.code !== 'INTEGRITY') throw error;
      }
    }`,
  );
  const winners = printed.flatMap((text) => text.trim().split('\n')).filter((word) => word !== '');
  expect(new Set(winners).size).toBe(winners.length);
  for (let i = 0; i < 60; i++) expect(existsSync(join(folder, `pins-${i}`))).toBe(true);
});

test('a file that was edited in place or replaced is read anew', () => {
  const path = join(scratchFolder(), 'known_nodes');
  const nodes = KnownNodes.load(path);
  nodes.remember('production', 'web-1', identityOf('a'));
  nodes.remember('production', 'web-2', identityOf('b'));
  writeFileSync(path, lineOf('web-1', 'production', 'c'));
  nodes.remember('production', 'web-1', identityOf('c'));
  expect(nodes.check('production', 'web-2', identityOf('b'))).toBe('new');
  writeFileSync(`${path}.new`, lineOf('web-1', 'production', 'e') + lineOf('web-3', 'production', 'e'));
  renameSync(`${path}.new`, path);
  nodes.remember('production', 'web-1', identityOf('e'));
  expect(nodes.check('production', 'web-3', identityOf('e'))).toBe('known');
  unlinkSync(path);
  nodes.remember('production', 'web-1', identityOf('d'));
  expect(contentOf(path)).toBe(lineOf('web-1', 'production', 'd'));
});

test('comments and empty lines may be added by hand at any time', () => {
  const path = join(scratchFolder(), 'known_nodes');
  const nodes = KnownNodes.load(path);
  nodes.remember('production', 'web-1', identityOf('a'));
  appendFileSync(path, '\r\n# set up anew on Monday\n\n');
  nodes.remember('production', 'web-2', identityOf('b'));
  expect(KnownNodes.load(path).check('production', 'web-2', identityOf('b'))).toBe('known');
});

test('two pins for one node: nothing is believed, both are shown, and forgetting the node mends it', () => {
  const path = join(scratchFolder(), 'known_nodes');
  writeFileSync(path, lineOf('db-1', 'production', 'a') + lineOf('db-1', 'production', 'b'), { mode: 0o600 });
  const error = fanoutErrorOf(() => KnownNodes.load(path));
  expect(error.code).toBe('INTEGRITY');
  expect(error.message).toContain(`${path}:2: line 1 pins another identity`);
  for (const label of ['a', 'b']) expect(error.message).toContain(identityFingerprint(identityOf(label)));
  expect(error.hint).toContain('fanout known-nodes forget db-1');
  const inspected = KnownNodes.inspect(path);
  expect(inspected.list().map(({ line }) => line)).toEqual([1, 2]);
  // Looking at it does not make it believable.
  expect(fanoutErrorOf(() => inspected.refresh()).code).toBe('INTEGRITY');
  expect(inspected.forget('db-1')).toHaveLength(2);
  expect(KnownNodes.load(path).check('production', 'db-1', identityOf('c'))).toBe('new');
});

test('what is forgotten is new again, also to a process that had read the file before', () => {
  const path = join(scratchFolder(), 'known_nodes');
  const running = KnownNodes.load(path);
  running.remember('production', 'web-1', identityOf('a'));
  running.remember('staging', 'web-1', identityOf('b'));
  const gone = KnownNodes.inspect(path).forget('web-1', 'production');
  expect(gone).toMatchObject([
    { node: 'web-1', environment: 'production', fingerprint: identityFingerprint(identityOf('a')), line: 1 },
  ]);
  expect(gone[0]?.firstSeen).toMatch(/^\d{4}-.*Z$/);
  running.refresh();
  expect(running.check('production', 'web-1', identityOf('c'))).toBe('new');
  expect(running.check('staging', 'web-1', identityOf('b'))).toBe('known');
  running.remember('production', 'web-1', identityOf('c'));
  for (const known of [running, KnownNodes.load(path)]) {
    expect(known.check('production', 'web-1', identityOf('c'))).toBe('known');
    expect(known.list().map(({ node, line }) => [node, line])).toEqual([
      ['web-1', 2],
      ['web-1', 4],
    ]);
  }
  expect(KnownNodes.inspect(path).forget('web-1')).toHaveLength(2);
  expect(KnownNodes.inspect(path).forget('web-1')).toEqual([]);
  expect(KnownNodes.load(path).list()).toEqual([]);
});

test('the way out forgets the one node that is meant, whatever its name is', () => {
  const path = join(scratchFolder(), 'known_nodes');
  const nodes = KnownNodes.load(path);
  const names = ['-rf', '\u001b[2Jweb', "it's", 'a b', 'a%20b', '$(id)', 'x; rm'];
  for (const name of names) nodes.remember('production', name, identityOf(name));
  for (const name of names) {
    const command = /run: fanout known-nodes forget (.*)$/.exec(
      nodes.changeOf('production', name, identityOf('other')),
    )?.[1];
    expect(command).not.toContain('\u001b');
    const words = spawnSync('sh', ['-c', `printf '%s\\n' ${command}`], { encoding: 'utf8' }).stdout;
    const word = words
      .trimEnd()
      .split('\n')
      .filter((text) => text !== '--');
    expect(word, name).toHaveLength(1);
    expect(nodes.forget(word[0] ?? '').map(({ node }) => node)).toEqual([name]);
  }
  nodes.remember('production', 'web-1', identityOf('a'));
  nodes.remember('staging', 'web-1', identityOf('a'));
  expect(nodes.changeOf('staging', 'web-1', identityOf('b'))).toMatch(/forget --env staging web-1$/);
});

test('of what two processes forget and learn at the same time nothing is lost', async () => {
  const folder = scratchFolder();
  await inTwoProcesses(
    folder,
    `const nodes = KnownNodes.load(folder + '/known_nodes');
    for (let i = 0; i < 100; i++) {
      nodes.remember('production', 'stays-' + self + '-' + i, new Uint8Array(64).fill(1));
      nodes.remember('production', 'goes-' + self + '-' + i, new Uint8Array(64).fill(2));
      nodes.forget('goes-' + self + '-' + i);
    }`,
  );
  const left = KnownNodes.load(join(folder, 'known_nodes')).list();
  expect(left).toHaveLength(200);
  expect(left.every(({ node }) => node.startsWith('stays-'))).toBe(true);
});

testWhere(process.getuid?.() === 0)('a disk that is full in the middle of a line keeps none of it', () => {
  const folder = scratchFolder();
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=4k,mode=0700', 'tmpfs', folder]);
  expect(mounted.status, 'a tmpfs can be mounted').toBe(0);
  try {
    const path = join(folder, 'known_nodes');
    // One page is all there is, and 50 bytes of it are left.
    const padding = `${'#'.repeat(4096 - 51)}\n`;
    writeFileSync(path, padding, { mode: 0o600 });
    const nodes = KnownNodes.load(path);
    const error = fanoutErrorOf(() => nodes.remember('production', 'web-1', identityOf('a')));
    expect(error.message).toContain('was written only in part');
    expect(readFileSync(path, 'utf8')).toBe(padding);
    expect(KnownNodes.load(path).check('production', 'web-1', identityOf('a'))).toBe('new');
  } finally {
    spawnSync('umount', [folder]);
  }
});
