import { chownSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { agentIdentities, agentKey } from '../../src/asker/agent-key.ts';
import { verifyEd25519 } from '../../src/identity/ed25519.ts';
import { decodeEnvelope, signCommand, verifyEnvelope } from '../../src/identity/envelope.ts';
import { fingerprint, parsePublicLine, publicBlob } from '../../src/identity/ssh-key.ts';
import { FanoutError } from '../../src/lib/errors.ts';
import { bodyOf, scratchFolder, signerOf } from '../identity/fixtures.ts';
import { FakeAgent } from '../support/fake-agent.ts';
import { HAS_SSH_AGENT, SshAgent } from '../support/ssh-agent.ts';

const alice = signerOf('alice');
const mallory = signerOf('mallory');
const PREIMAGE = Buffer.from('SSHSIG: what is to be signed');

function string(bytes: Uint8Array): Buffer {
  return Buffer.concat([u32(bytes.length), bytes]);
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function message(kind: number, ...parts: readonly Uint8Array[]): Buffer {
  return string(Buffer.concat([Buffer.of(kind), ...parts]));
}

function signatureBlob(signature: Uint8Array, type = 'ssh-ed25519'): Buffer {
  return Buffer.concat([string(Buffer.from(type)), string(signature)]);
}

function listOf(...keys: readonly (readonly [blob: Uint8Array, comment: string])[]): Buffer {
  const entries = keys.flatMap(([blob, comment]) => [string(blob), string(Buffer.from(comment))]);
  return message(12, u32(keys.length), ...entries);
}

async function errorOf(promise: Promise<unknown>): Promise<FanoutError> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof FanoutError) return error;
    throw error;
  }
  throw new Error('expected a FanoutError, but nothing was thrown');
}

async function fake(...behaviour: ConstructorParameters<typeof FakeAgent>): Promise<FakeAgent> {
  const agent = await new FakeAgent(...behaviour).start();
  onTestFinished(() => agent.stop());
  return agent;
}

function keyAt(socket: string, timeoutMs?: number): ReturnType<typeof agentKey> {
  const say = (): void => {};
  const options = { socket, publicKey: alice.publicKey, name: 'alice', say };
  return agentKey(timeoutMs === undefined ? options : { ...options, timeoutMs });
}

describe.skipIf(!HAS_SSH_AGENT)("OpenSSH's own agent", () => {
  let agent: SshAgent;

  beforeAll(async () => {
    agent = await new SshAgent().ready();
  });

  afterAll(() => agent.stop());

  test('lists its keys as ssh-add -l does, and signs commands that nodes take', async () => {
    expect(await agentIdentities(agent.socket)).toEqual([]);
    const path = agent.keygen('bob');
    agent.add(['-q', path, agent.keygen('old', { type: 'rsa' }), agent.keygen('curve', { type: 'ecdsa' })]);
    const listed = await agentIdentities(agent.socket);
    expect(listed.map(({ type }) => type)).toEqual(['ssh-ed25519', 'ssh-rsa', 'ecdsa-sha2-nistp256']);
    const lines = agent.add(['-l']).trim().split('\n');
    for (const [i, { fingerprint: shown, comment }] of listed.entries()) {
      expect(lines[i]).toContain(` ${shown} ${comment} `);
    }
    const { key: publicKey } = parsePublicLine(readFileSync(`${path}.pub`, 'utf8'));
    expect(listed.map((identity) => identity.publicKey)).toEqual([publicKey, undefined, undefined]);
    const key = agentKey({ socket: agent.socket, publicKey, name: 'bob', say: () => {} });
    const envelope = decodeEnvelope(await signCommand(bodyOf(publicKey), key.sign));
    expect(verifyEnvelope(envelope, publicKey)).toBe(true);
  });

  test('refuses a key that it does not hold, and one that was removed meanwhile', async () => {
    const unknown = keyAt(agent.socket);
    const error = await errorOf(Promise.resolve(unknown.sign(PREIMAGE)));
    expect([error.code, error.message]).toEqual([
      'KEY_INVALID',
      `the ssh-agent refused to sign with ${fingerprint(alice.publicKey)}`,
    ]);
    expect(error.hint).toContain('ssh-add -l');
    const path = agent.keygen('gone');
    agent.add(['-q', path]);
    const { key: publicKey } = parsePublicLine(readFileSync(`${path}.pub`, 'utf8'));
    const key = agentKey({ socket: agent.socket, publicKey, name: 'gone', say: () => {} });
    expect(verifyEd25519(publicKey, PREIMAGE, await key.sign(PREIMAGE))).toBe(true);
    agent.add(['-q', '-d', path]);
    expect((await errorOf(Promise.resolve(key.sign(PREIMAGE)))).message).toContain('refused to sign');
  });

  test('a confirmation is waited for and said, and its refusal is an error', async () => {
    const asking = scratchFolder();
    const pipe = join(asking, 'answer');
    // The question stays open until the test has seen that the person was told.
    writeFileSync(
      join(asking, 'ask'),
      `#!/bin/sh\nwhile [ ! -e ${pipe} ]; do sleep 0.05; done\nexit $(cat ${pipe})\n`,
      {
        mode: 0o700,
      },
    );
    const strict = await new SshAgent({
      ...process.env,
      SSH_ASKPASS: join(asking, 'ask'),
      DISPLAY: ':0',
    }).ready();
    onTestFinished(() => strict.stop());
    const path = strict.keygen('careful');
    strict.add(['-q', '-c', path]);
    const { key: publicKey } = parsePublicLine(readFileSync(`${path}.pub`, 'utf8'));
    const said: string[] = [];
    const say = (text: string): void => {
      said.push(text);
      writeFileSync(pipe, '0');
    };
    const key = agentKey({ socket: strict.socket, publicKey, name: 'careful', say });
    expect(verifyEd25519(publicKey, PREIMAGE, await key.sign(PREIMAGE))).toBe(true);
    expect(said).toEqual([expect.stringContaining(`confirm the use of ${fingerprint(publicKey)}`)]);
    writeFileSync(pipe, '1');
    expect((await errorOf(Promise.resolve(key.sign(PREIMAGE)))).message).toContain('refused to sign');
  });

  test('a locked agent holds nothing, as far as anybody can see', async () => {
    const { length } = await agentIdentities(agent.socket);
    expect(length).toBeGreaterThan(0);
    agent.add(['-q', '-x'], 'secret');
    expect(await agentIdentities(agent.socket)).toEqual([]);
    agent.add(['-q', '-X'], 'secret');
    expect((await agentIdentities(agent.socket)).length).toBe(length);
  });
});

describe('something else behind SSH_AUTH_SOCK', () => {
  const good = (): Buffer => message(14, string(signatureBlob(alice.sign(PREIMAGE))));

  test('the fake used here is an agent when it behaves', async () => {
    const agent = await fake((request) =>
      request[0] === 11 ? listOf([publicBlob(alice.publicKey), 'a']) : good(),
    );
    expect(await agentIdentities(agent.path)).toMatchObject([{ type: 'ssh-ed25519', comment: 'a' }]);
    expect(await keyAt(agent.path).sign(PREIMAGE)).toEqual(new Uint8Array(alice.sign(PREIMAGE)));
    // What is asked for, byte by byte: draft-miller-ssh-agent, section 3.6.
    const asked = Buffer.concat([
      Buffer.of(13),
      string(publicBlob(alice.publicKey)),
      string(PREIMAGE),
      u32(0),
    ]);
    expect(agent.requests.map((request) => request.toString('hex'))).toEqual(['0b', asked.toString('hex')]);
  });

  test.each<[string, () => Uint8Array]>([
    ["another key's signature", () => message(14, string(signatureBlob(mallory.sign(PREIMAGE))))],
    [
      'a signature over something else',
      () => message(14, string(signatureBlob(alice.sign(Buffer.from('x'))))),
    ],
    ['64 zeros', () => message(14, string(signatureBlob(new Uint8Array(64))))],
  ])('%s is found out here, before anything is sent', async (_what, answer) => {
    const agent = await fake(answer);
    const error = await errorOf(Promise.resolve(keyAt(agent.path).sign(PREIMAGE)));
    expect(error.code).toBe('INTEGRITY');
    expect(error.message).toContain(fingerprint(alice.publicKey));
    expect(error.hint).toContain('Nothing was sent');
  });

  test.each<[string, () => Uint8Array]>([
    ['63 signature bytes', () => message(14, string(signatureBlob(new Uint8Array(63))))],
    ['65 signature bytes', () => message(14, string(signatureBlob(new Uint8Array(65))))],
    ['a signature of another type', () => message(14, string(signatureBlob(new Uint8Array(64), 'ssh-rsa')))],
    [
      'a signature with bytes behind',
      () => message(14, string(Buffer.concat([signatureBlob(new Uint8Array(64)), Buffer.of(0)]))),
    ],
    [
      'an answer with bytes behind',
      () => message(14, string(signatureBlob(new Uint8Array(64))), Buffer.of(0)),
    ],
    ['a length inside that is too long', () => message(14, u32(4_000_000_000))],
    ['an answer to another question', () => listOf()],
    ['a message that nobody knows', () => message(200)],
    ['an empty message', () => u32(0)],
    ['a length of four gigabytes', () => u32(0xffff_ffff)],
    ['a length just above what is taken', () => u32(256 * 1024 + 1)],
    ['two answers', () => Buffer.concat([message(5), message(5)])],
    ['text', () => Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n')],
  ])('%s is not taken for a signature', async (_what, answer) => {
    const agent = await fake(answer);
    const error = await errorOf(Promise.resolve(keyAt(agent.path).sign(PREIMAGE)));
    expect([error.code, error.message]).toEqual([
      'KEY_INVALID',
      expect.stringContaining('does not speak its protocol'),
    ]);
    expect(error.message).toContain(agent.path);
  });

  test.each([5, 28, 102])('message %i is a refusal', async (kind) => {
    const agent = await fake(() => message(kind));
    expect((await errorOf(Promise.resolve(keyAt(agent.path).sign(PREIMAGE)))).message).toContain(
      'refused to sign',
    );
    expect((await errorOf(agentIdentities(agent.path))).hint).toContain('ssh-add -X');
  });

  test('no answer of any length, cut anywhere, is taken or waited for longer than told', async () => {
    const answers = [good(), listOf([publicBlob(alice.publicKey), 'alice'])];
    for (const [which, answer] of answers.entries()) {
      for (let length = 0; length < answer.length; length += 7) {
        const agent = await fake((_request, socket) => {
          socket.end(answer.subarray(0, length));
          return undefined;
        });
        const asked =
          which === 0 ? Promise.resolve(keyAt(agent.path).sign(PREIMAGE)) : agentIdentities(agent.path);
        expect((await errorOf(asked)).message).toContain('closed the connection without an answer');
      }
    }
  });

  test('silence, one byte after the other, and a flood all end in time, with nothing left open', async () => {
    const behaviours: ConstructorParameters<typeof FakeAgent>[] = [
      [() => undefined],
      [
        (_request, socket) => {
          socket.write(u32(100_000));
          const timer = setInterval(() => socket.write(Buffer.of(14)), 5);
          socket.on('close', () => clearInterval(timer));
          return undefined;
        },
      ],
    ];
    for (const behaviour of behaviours) {
      const agent = await fake(...behaviour);
      const error = await errorOf(Promise.resolve(keyAt(agent.path, 300).sign(PREIMAGE)));
      expect(error.message).toContain('has not answered within');
      await expect.poll(() => agent.open).toBe(0);
    }
    const flood = await fake((_request, socket) => {
      const pour = (): void => {
        while (socket.writable && socket.write(Buffer.alloc(65_536, 0x7f)));
      };
      socket.on('drain', pour);
      pour();
      return undefined;
    });
    expect((await errorOf(Promise.resolve(keyAt(flood.path).sign(PREIMAGE)))).message).toContain(
      'announces an answer',
    );
    await expect.poll(() => flood.open).toBe(0);
  });

  test('lists that lie about their length are refused, odd keys in sound ones are not for us', async () => {
    const lies = [
      message(12, u32(3), string(publicBlob(alice.publicKey)), string(Buffer.from('a'))),
      message(12, u32(0xffff_ffff)),
      message(12, u32(1), u32(0xffff_ff00)),
      message(12, u32(0), Buffer.of(1)),
      message(12),
    ];
    for (const lie of lies) {
      const agent = await fake(() => lie);
      expect((await errorOf(agentIdentities(agent.path))).message).toContain('does not speak its protocol');
    }
    const zero = publicBlob(new Uint8Array(32));
    const odd = Buffer.concat([
      string(Buffer.from('sk-ssh-ed25519@openssh.com')),
      string(new Uint8Array(32)),
    ]);
    const agent = await fake(() =>
      listOf([zero, 'weak'], [new Uint8Array(0), ''], [odd, '\u001b[2J'], [Buffer.alloc(9, 255), 'x']),
    );
    const listed = await agentIdentities(agent.path);
    expect(listed.map(({ publicKey }) => publicKey)).toEqual([undefined, undefined, undefined, undefined]);
    expect(listed.map(({ type }) => type)).toEqual(['ssh-ed25519', '', 'sk-ssh-ed25519@openssh.com', '']);
  });
});

describe('what SSH_AUTH_SOCK may not name', () => {
  test('nothing, a folder, a file, a socket that nobody serves', async () => {
    const dir = scratchFolder();
    writeFileSync(join(dir, 'file'), '');
    // A socket that outlived its server, as after a crash.
    const dead = join(dir, 'dead');
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(join(dir, 'alive'), resolve));
    renameSync(join(dir, 'alive'), dead);
    await new Promise((resolve) => server.close(resolve));
    const cases: [path: string, message: string][] = [
      [join(dir, 'missing'), 'there is no ssh-agent at'],
      [dir, 'a folder'],
      [join(dir, 'file'), 'not a socket'],
      [dead, 'no ssh-agent answers at'],
    ];
    for (const [path, wanted] of cases) {
      const error = await errorOf(agentIdentities(path));
      expect(error.code).toBe('KEY_INVALID');
      expect(error.message).toContain(wanted);
      expect(error.hint).toContain('SSH_AUTH_SOCK');
    }
  });

  test.skipIf(process.getuid?.() !== 0)(
    "somebody else's socket, and one in a folder that others can write",
    async () => {
      const agent = await fake(() => listOf());
      chownSync(agent.path, 12_345, 12_345);
      const error = await errorOf(agentIdentities(agent.path));
      expect(error.message).toContain('belongs to user 12345, not to you or root');
      expect(agent.requests).toEqual([]);
      chownSync(agent.path, 0, 0);
      expect(await agentIdentities(agent.path)).toEqual([]);
      chownSync(agent.dir, 12_345, 12_345);
      expect((await errorOf(agentIdentities(agent.path))).message).toContain('belongs to user 12345');
      chownSync(agent.dir, 0, 0);
    },
  );
});
