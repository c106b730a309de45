import {
  chmodSync,
  chownSync,
  copyFileSync,
  mkdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { type FoundIdentity, findIdentity, openIdentity } from '../../src/asker/operator-identity.ts';
import { verifyEd25519 } from '../../src/identity/ed25519.ts';
import { createOperatorKey } from '../../src/identity/operator-key.ts';
import { fingerprint, parsePublicLine } from '../../src/identity/ssh-key.ts';
import { FanoutError } from '../../src/lib/errors.ts';
import { removeFolder, temporaryFolder } from '../support/processes.ts';
import { HAS_SSH_AGENT, SshAgent } from '../support/ssh-agent.ts';

const PASSPHRASE = 'correct horse battery';
const PREIMAGE = Buffer.from('what is signed');

let home: string;
let config: string;

beforeEach(() => {
  home = temporaryFolder();
  config = join(home, '.config', 'fanout');
  mkdirSync(config, { recursive: true, mode: 0o700 });
  mkdirSync(join(home, '.ssh'), { mode: 0o700 });
  vi.stubEnv('HOME', home);
  vi.stubEnv('XDG_CONFIG_HOME', undefined);
  vi.stubEnv('FANOUT_IDENTITY', undefined);
  vi.stubEnv('SSH_AUTH_SOCK', undefined);
});

afterEach(() => {
  vi.unstubAllEnvs();
  removeFolder(home);
});

async function errorOf(promise: Promise<unknown>): Promise<FanoutError> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof FanoutError) return error;
    throw error;
  }
  throw new Error('expected a FanoutError, but nothing was thrown');
}

/** A key without a passphrase, under the home. */
function make(...path: readonly string[]): string {
  const file = join(home, ...path);
  createOperatorKey(file, path.at(-1) ?? '');
  return file;
}

function settings(text: string): void {
  writeFileSync(join(config, 'config.yaml'), text, { mode: 0o600 });
}

/** Asks as a terminal would, and notes what was asked and said. */
function person(...answers: readonly string[]): {
  asked: string[];
  said: string[];
  askPassphrase: (question: string) => Promise<string>;
  say: (text: string) => void;
} {
  const left = [...answers];
  const asked: string[] = [];
  const said: string[] = [];
  return {
    asked,
    said,
    askPassphrase: async (question) => {
      asked.push(question);
      const answer = left.shift();
      if (answer === undefined) throw new Error('asked too often');
      return answer;
    },
    say: (text) => void said.push(text),
  };
}

describe('which key it is', () => {
  test('the flag, then the environment, then the settings, then the first default', async () => {
    const flag = make('flag.key');
    const named = make('named.key');
    const set = make('set.key');
    make('.ssh', 'id_ed25519');
    const own = make('.config', 'fanout', 'operator.key');
    settings('identity: ~/set.key\n');
    vi.stubEnv('FANOUT_IDENTITY', named);
    const chosen = ({ chosenBy, file, comment }: FoundIdentity): unknown => [chosenBy, file, comment];
    expect(chosen(await findIdentity({ identity: flag }))).toEqual(['-i', flag, 'flag.key']);
    expect(chosen(await findIdentity({}))).toEqual(['FANOUT_IDENTITY', named, 'named.key']);
    vi.stubEnv('FANOUT_IDENTITY', '');
    expect(chosen(await findIdentity({}))).toEqual([join(config, 'config.yaml'), set, 'set.key']);
    rmSync(join(config, 'config.yaml'));
    expect(chosen(await findIdentity({}))).toEqual(['default', own, 'operator.key']);
    rmSync(own);
    const ssh = join(home, '.ssh', 'id_ed25519');
    expect(chosen(await findIdentity({}))).toEqual(['default', ssh, 'id_ed25519']);
    rmSync(ssh);
    const error = await errorOf(findIdentity({}));
    expect(error.message).toContain('no ssh-agent');
    expect(error.hint).toContain('fanout operator keygen');
  });

  test('what was named and is not there is an error, not a reason to take another key', async () => {
    make('.config', 'fanout', 'operator.key');
    for (const identity of [join(home, 'nowhere'), join(home, 'nowhere.pub')]) {
      expect((await errorOf(findIdentity({ identity }))).message).toContain(identity);
    }
    settings(`identity: ${join(home, 'nowhere')}\n`);
    expect((await errorOf(findIdentity({}))).message).toContain('nowhere');
    rmSync(join(config, 'config.yaml'));
    // A default that cannot be used is named as well.
    chmodSync(join(config, 'operator.key'), 0o640);
    expect((await errorOf(findIdentity({}))).hint).toContain('chmod 600');
  });

  test.each([
    ['an unknown setting', 'identiy: ~/x\n'],
    ['a relative path', 'identity: x\n'],
    ['a list', 'identity: [a, b]\n'],
    ['a number', 'identity: 7\n'],
    ['no mapping', '- identity\n'],
    ['broken YAML', 'identity: "\n'],
    ['a NUL', 'identity: ~/a\0b\n'],
    ['an escape', 'identity: "~/\\e[2J"\n'],
    ['the same key twice', 'identity: ~/a\nidentity: ~/b\n'],
    ['__proto__', '__proto__: { identity: ~/a }\n'],
    ['an alias', 'a: &a ~/x\nidentity: *a\n'],
    ['too much', `# ${'x'.repeat(70_000)}\n`],
  ])('settings with %s are an error that names the file', async (_what, text) => {
    make('.config', 'fanout', 'operator.key');
    settings(text);
    const error = await errorOf(findIdentity({}));
    expect(error.code).toBe('CONFIG');
    expect(error.message).toContain(join(config, 'config.yaml'));
    expect(error.message).not.toContain('\u001b');
  });

  test('settings may be empty, or a link, but nobody else may write them', async () => {
    const own = make('.config', 'fanout', 'operator.key');
    settings('# nothing yet\n\n');
    expect((await findIdentity({})).file).toBe(own);
    const other = make('other.key');
    writeFileSync(join(home, 'dotfile.yaml'), `identity: ${other}\n`, { mode: 0o600 });
    rmSync(join(config, 'config.yaml'));
    symlinkSync(join(home, 'dotfile.yaml'), join(config, 'config.yaml'));
    expect((await findIdentity({})).file).toBe(other);
    chmodSync(join(home, 'dotfile.yaml'), 0o666);
    expect((await errorOf(findIdentity({}))).hint).toContain('chmod go-w');
  });
});

function linked(path: string): string {
  symlinkSync(path, `${path}.link`);
  return `${path}.link`;
}

describe('a key file that somebody else prepared', () => {
  test.each<[string, (path: string) => string | undefined, string]>([
    ['a link', (path) => linked(path), 'symbolic link'],
    ['readable by its group', (path) => void chmodSync(path, 0o640), 'mode 0640'],
    ['a folder', (path) => join(path, '..'), 'is a folder'],
    ['huge', (path) => void writeFileSync(path, Buffer.alloc(70_000, 0x41)), 'too large'],
    [
      'with a NUL inside',
      (path) => void writeFileSync(path, readFileSync(path, 'utf8').replace('\n', '\n\0')),
      'damaged',
    ],
    ['a NUL alone', (path) => void writeFileSync(path, '\0'), 'not an OpenSSH private key'],
    [
      'in a folder that everybody can write',
      (path) => {
        const open = join(path, '..', 'open');
        mkdirSync(open);
        chmodSync(open, 0o777);
        copyFileSync(path, join(open, 'key'));
        return join(open, 'key');
      },
      'others can write the folder',
    ],
  ])('%s: refused', async (_what, prepare, message) => {
    const made = make('some.key');
    const path = prepare(made) ?? made;
    const error = await errorOf(openIdentity({ identity: path }));
    expect([error.code, error.message]).toEqual(['KEY_INVALID', expect.stringContaining(message)]);
    expect(error.message).toContain(home);
  });

  test.skipIf(process.getuid?.() !== 0)(
    "somebody else's: refused, and so is a .pub that others can write",
    async () => {
      const path = make('some.key');
      chownSync(path, 12_345, 12_345);
      expect((await errorOf(findIdentity({ identity: path }))).message).toContain('belongs to user 12345');
      chmodSync(`${path}.pub`, 0o666);
      expect((await errorOf(findIdentity({ identity: `${path}.pub` }))).hint).toContain('chmod go-w');
    },
  );

  test('a .pub file with another key, or several lines, is no key', async () => {
    const file = join(home, 'x.pub');
    const rsa = 'ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAB bob';
    const hardware = 'sk-ssh-ed25519@openssh.com AAAA bob';
    for (const [text, message] of [
      [rsa, 'type ssh-rsa; fanout takes ssh-ed25519 keys'],
      [hardware, 'the public key is incomplete'],
      ['\0', 'not a public key line'],
      [readFileSync(`${make('a.key')}.pub`, 'utf8').repeat(2), 'not a public key line'],
    ] as const) {
      writeFileSync(file, text);
      expect((await errorOf(findIdentity({ identity: file }))).message).toContain(message);
    }
  });
});

describe('a key under a passphrase', () => {
  let folder: string;
  let sealed: string;

  beforeAll(() => {
    folder = temporaryFolder();
    sealed = join(folder, 'sealed.key');
    createOperatorKey(sealed, 'alice', PASSPHRASE);
  });

  afterAll(() => removeFolder(folder));

  test('is shown without asking, opened with the passphrase, and signs', async () => {
    const found = await findIdentity({ identity: sealed });
    const line = parsePublicLine(readFileSync(`${sealed}.pub`, 'utf8'));
    expect(found).toMatchObject({ protection: 'passphrase', comment: 'alice', publicKey: line.key });
    const alice = person('not this one', PASSPHRASE);
    const key = await openIdentity({ identity: sealed, ...alice });
    expect(alice.asked).toEqual([`passphrase of ${sealed}: `, `passphrase of ${sealed}: `]);
    expect(alice.said).toEqual(['this is not the passphrase']);
    expect(verifyEd25519(line.key, PREIMAGE, await key.sign(PREIMAGE))).toBe(true);
    expect(key.name).toBe('alice');
  });

  test('is not opened by three wrong ones, nor without anybody to ask', async () => {
    const mallory = person('1', '2', '3', PASSPHRASE);
    const error = await errorOf(openIdentity({ identity: sealed, ...mallory }));
    expect(error.message).toContain('three times a wrong passphrase');
    expect(mallory.asked).toHaveLength(3);
    expect((await errorOf(openIdentity({ identity: sealed }))).message).toContain('no terminal to ask');
  });
});

describe.skipIf(!HAS_SSH_AGENT)('a key in ssh-agent', () => {
  let agent: SshAgent;

  beforeEach(async () => {
    agent = await new SshAgent().ready();
    vi.stubEnv('SSH_AUTH_SOCK', agent.socket);
  });

  afterEach(() => agent.stop());

  test('is meant by a .pub file and by an OpenSSH key with a passphrase, once ssh-add has it', async () => {
    const locked = agent.keygen('locked', { passphrase: PASSPHRASE });
    for (const identity of [locked, `${locked}.pub`]) {
      expect((await errorOf(findIdentity({ identity }))).hint).toBe(`Run: ssh-add ${locked}`);
    }
    agent.add(['-q', locked], PASSPHRASE);
    const line = parsePublicLine(readFileSync(`${locked}.pub`, 'utf8'));
    for (const identity of [locked, `${locked}.pub`]) {
      const found = await findIdentity({ identity });
      expect(found).toMatchObject({ file: identity, protection: 'ssh-agent', publicKey: line.key });
      const key = await openIdentity({ identity });
      expect(verifyEd25519(line.key, PREIMAGE, await key.sign(PREIMAGE))).toBe(true);
    }
    vi.stubEnv('SSH_AUTH_SOCK', '');
    const error = await errorOf(findIdentity({ identity: locked }));
    expect(error.message).toContain('SSH_AUTH_SOCK names none');
    expect(error.hint).toContain(`ssh-add ${locked}`);
  });

  test('is the default when it is the only one, or the one of ~/.ssh; of several none is guessed', async () => {
    expect((await errorOf(findIdentity({}))).message).toContain('holds no Ed25519 key');
    agent.add(['-q', agent.keygen('rsa', { type: 'rsa' })]);
    expect((await errorOf(findIdentity({}))).hint).toContain('RSA and ECDSA keys are not taken');
    const one = agent.keygen('one');
    agent.add(['-q', one]);
    expect(await findIdentity({})).toMatchObject({ chosenBy: 'default', file: undefined, comment: 'one' });
    const two = agent.keygen('two');
    agent.add(['-q', two]);
    const error = await errorOf(findIdentity({}));
    expect(error.message).toContain('holds 2 Ed25519 keys');
    for (const path of [one, two]) {
      const { key } = parsePublicLine(readFileSync(`${path}.pub`, 'utf8'));
      expect(error.message).toContain(`${fingerprint(key)} ${path.split('/').at(-1)}`);
    }
    expect(error.hint).toContain('-i FILE.pub');
    copyFileSync(`${two}.pub`, join(home, '.ssh', 'id_ed25519.pub'));
    expect((await findIdentity({})).comment).toBe('two');
    // A protected key file is meant even when the agent has others.
    agent.add(['-q', '-d', two]);
    copyFileSync(agent.keygen('three', { passphrase: PASSPHRASE }), join(home, '.ssh', 'id_ed25519'));
    expect((await errorOf(findIdentity({}))).hint).toBe(`Run: ssh-add ${join(home, '.ssh', 'id_ed25519')}`);
  });

  test('RSA and ECDSA files are refused, with a passphrase or without', async () => {
    for (const type of ['rsa', 'ecdsa']) {
      for (const passphrase of ['', PASSPHRASE]) {
        const path = agent.keygen(`${type}${passphrase.length}`, { type, passphrase });
        expect((await errorOf(findIdentity({ identity: path }))).message).toContain(
          'fanout takes ssh-ed25519 keys',
        );
      }
    }
  });
});
