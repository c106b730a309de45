import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ed25519PublicKey, signEd25519, verifyEd25519 } from '../../src/identity/ed25519.ts';
import { decodeEnvelope, signCommand } from '../../src/identity/envelope.ts';
import { formatPrivateKey, formatPublicLine } from '../../src/identity/ssh-key.ts';
import { armorSshsig, sshsigPreimage } from '../../src/identity/sshsig.ts';
import { utf8 } from '../../src/lib/bytes.ts';
import { bodyOf, haveSshKeygen, scratchFolder, seedOf, signerOf, sshKeygen } from './fixtures.ts';

const hasSshKeygen = haveSshKeygen();

const seed = seedOf('alice');
const publicKey = ed25519PublicKey(seed);

/** Asks the real ssh-keygen whether alice signed the body for this namespace. */
function isGoodForSsh(namespace: string, body: Uint8Array, armored: string): boolean {
  const folder = scratchFolder();
  writeFileSync(join(folder, 'allowed'), `alice ${formatPublicLine(publicKey, '')}\n`);
  writeFileSync(join(folder, 'signature'), armored);
  const files = ['-f', join(folder, 'allowed'), '-s', join(folder, 'signature')];
  return sshKeygen(['-Y', 'verify', '-I', 'alice', '-n', namespace, ...files], body).status === 0;
}

test('the preimage has the 105 bytes of the longest usual namespace and differs by namespace', () => {
  const body = utf8('body');
  expect(sshsigPreimage('fanout-cmd-v1', body)).toHaveLength(6 + 4 + 13 + 4 + 4 + 6 + 4 + 64);
  expect(sshsigPreimage('fanout-cmd-v1', body)).not.toEqual(sshsigPreimage('fanout-cmd-v2', body));
});

test('a signature for one purpose does not hold for another', () => {
  const body = utf8('body');
  const signature = signEd25519(seed, sshsigPreimage('fanout-cmd-v1', body));
  expect(verifyEd25519(publicKey, sshsigPreimage('fanout-cmd-v1', body), signature)).toBe(true);
  expect(verifyEd25519(publicKey, sshsigPreimage('fanout-approve-v1', body), signature)).toBe(false);
});

test.skipIf(!hasSshKeygen)(
  'stock ssh-keygen checks our signatures, and refuses another body, purpose or signer',
  () => {
    const body = utf8('any bytes \u0000 at all');
    const namespace = 'fanout-cmd-v1';
    const signature = signEd25519(seed, sshsigPreimage(namespace, body));
    const armored = armorSshsig(namespace, publicKey, signature);
    expect(isGoodForSsh(namespace, body, armored)).toBe(true);
    expect(isGoodForSsh(namespace, utf8('other bytes'), armored)).toBe(false);
    expect(isGoodForSsh('fanout-approve-v1', body, armored)).toBe(false);
    const stranger = signerOf('mallory');
    const forged = armorSshsig(namespace, stranger.publicKey, stranger.sign(sshsigPreimage(namespace, body)));
    expect(isGoodForSsh(namespace, body, forged)).toBe(false);
  },
);

test.skipIf(!hasSshKeygen)('stock ssh-keygen checks the signature inside an envelope', () => {
  const body = bodyOf(publicKey);
  const envelope = decodeEnvelope(signCommand(body, (preimage) => signEd25519(seed, preimage)));
  const armored = armorSshsig('fanout-cmd-v1', publicKey, envelope.signature);
  expect(isGoodForSsh('fanout-cmd-v1', envelope.bodyBytes, armored)).toBe(true);
});

test.skipIf(!hasSshKeygen)(
  'what stock ssh-keygen signs with our key file is byte for byte what we sign',
  () => {
    const folder = scratchFolder();
    const body = utf8('a body to sign');
    writeFileSync(join(folder, 'key'), formatPrivateKey(seed, 'alice'), { mode: 0o600 });
    writeFileSync(join(folder, 'body'), body);
    expect(
      sshKeygen(['-Y', 'sign', '-q', '-f', join(folder, 'key'), '-n', 'fanout-cmd-v1', join(folder, 'body')])
        .status,
    ).toBe(0);
    const ours = armorSshsig(
      'fanout-cmd-v1',
      publicKey,
      signEd25519(seed, sshsigPreimage('fanout-cmd-v1', body)),
    );
    expect(readFileSync(join(folder, 'body.sig'), 'utf8')).toBe(ours);
  },
);
