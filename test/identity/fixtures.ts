import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { boxKeyPair } from '../../src/identity/box.ts';
import { ed25519PublicKey, signEd25519 } from '../../src/identity/ed25519.ts';
import type { CommandBody } from '../../src/identity/envelope.ts';
import { keyId } from '../../src/identity/ssh-key.ts';
import { FanoutError } from '../../src/lib/errors.ts';

/** 32 bytes that are the same in every run, another for each label. */
export function seedOf(label: string): Uint8Array {
  return Uint8Array.from(createHash('sha256').update(label).digest());
}

/** A signer from a label. */
export function signerOf(label: string): {
  publicKey: Uint8Array;
  sign: (preimage: Uint8Array) => Uint8Array;
} {
  const seed = seedOf(label);
  return { publicKey: ed25519PublicKey(seed), sign: (preimage) => signEd25519(seed, preimage) };
}

export const replyKeys = boxKeyPair(seedOf('reply'));

export function bodyOf(publicKey: Uint8Array, changes: Partial<CommandBody> = {}): CommandBody {
  return {
    version: 3,
    cluster: 'c-4f1d',
    environment: 'production',
    keyId: keyId(publicKey),
    issuedAt: 1_763_712_000,
    ttlSeconds: 60,
    id: seedOf('id').subarray(0, 16),
    selector: 'role=web* and node=web-1',
    argv: ['journalctl', '-u', 'nginx.service', '--since=-1h'],
    replyKey: replyKeys.publicKey,
    replyHost: Uint8Array.of(10, 0, 0, 7),
    replyPort: 7946,
    timeoutMs: 30_000,
    explainOnly: false,
    explainAs: new Uint8Array(0),
    ...changes,
  };
}

/** A folder that is gone after the test. */
export function scratchFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'fanout-identity-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** The FanoutError that a call throws; fails the test when it throws nothing or something else. */
export function fanoutErrorOf(call: () => unknown): FanoutError {
  try {
    call();
  } catch (error) {
    if (error instanceof FanoutError) return error;
    throw error;
  }
  throw new Error('expected a FanoutError, but nothing was thrown');
}

const SSH_KEYGEN = 'ssh-keygen';

/** Runs the real ssh-keygen and gives its exit code and output. */
export function sshKeygen(
  args: readonly string[],
  input?: Uint8Array,
): { status: number; stdout: string; stderr: string } {
  const result = spawnSync(SSH_KEYGEN, args, { input: input ?? new Uint8Array(0), encoding: 'utf8' });
  return { status: result.status ?? -1, stdout: result.stdout, stderr: result.stderr };
}

/** Whether the real ssh-keygen is here. Says so when it is not, for the tests with it are then skipped. */
export function haveSshKeygen(): boolean {
  const isHere = spawnSync(SSH_KEYGEN, ['-?'], { encoding: 'utf8' }).error === undefined;
  if (!isHere) console.log('skipped: ssh-keygen is not installed, so nothing is compared with it');
  return isHere;
}
