import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  addApproval,
  decodeEnvelope,
  signCommand,
  verifyApproval,
  verifyEnvelope,
} from '../../src/identity/envelope.ts';
import { verifyOperatorSignature } from '../../src/identity/operator-signature.ts';
import {
  fingerprint,
  formatPublicLine,
  isSecurityKey,
  keyId,
  keyOfBlob,
  lockedPublicKey,
  parsePrivateKey,
  parsePublicLine,
  publicBlob,
} from '../../src/identity/ssh-key.ts';
import { sshString, sshU32 } from '../../src/identity/ssh-wire.ts';
import { armorSshsig, NAMESPACES, sshsigPreimage } from '../../src/identity/sshsig.ts';
import { concatBytes, utf8 } from '../../src/lib/bytes.ts';
import { DecodeError } from '../../src/lib/errors.ts';
import { decodeValue, encodeRpc } from '../../src/lib/msgpack.ts';
import { SecurityKey } from '../support/security-key.ts';
import { bodyOf, fanoutErrorOf, haveSshKeygen, scratchFolder, signerOf, sshKeygen } from './fixtures.ts';

const hasSshKeygen = haveSshKeygen();
const device = new SecurityKey('alice');
const MESSAGE = utf8('what is to be signed');

describe('the public key', () => {
  test('has a line, and comes back from it with its application', () => {
    const line = formatPublicLine(device.publicKey, 'alice');
    expect(line).toMatch(/^sk-ssh-ed25519@openssh\.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29t\S+ alice$/);
    expect(parsePublicLine(line)).toEqual({ key: Uint8Array.from(device.publicKey), comment: 'alice' });
    expect(isSecurityKey(device.publicKey)).toBe(true);
    expect(isSecurityKey(signerOf('bob').publicKey)).toBe(false);
  });

  test.skipIf(!hasSshKeygen)('has the fingerprint that stock ssh-keygen prints', () => {
    const file = join(scratchFolder(), 'key.pub');
    writeFileSync(file, `${formatPublicLine(device.publicKey, 'alice')}\n`);
    expect(sshKeygen(['-l', '-f', file]).stdout).toBe(
      `256 ${fingerprint(device.publicKey)} alice (ED25519-SK)\n`,
    );
  });

  test('is another for another application, and none is for none', () => {
    const other = new SecurityKey('alice', 'ssh:fanout');
    expect(keyId(other.publicKey)).not.toEqual(keyId(device.publicKey));
    for (const application of ['', 'a\nb', 'x'.repeat(257)]) {
      const raw = device.publicKey.subarray(0, 32);
      const type = utf8('sk-ssh-ed25519@openssh.com');
      const blob = concatBytes(sshString(type), sshString(raw), sshString(utf8(application)));
      expect(fanoutErrorOf(() => keyOfBlob(blob)).message).toContain('application');
    }
  });

  test('under the name of the other type is refused', () => {
    const [, blob = ''] = formatPublicLine(device.publicKey, '').split(' ');
    expect(fanoutErrorOf(() => parsePublicLine(`ssh-ed25519 ${blob}`)).message).toContain(
      'the line says ssh-ed25519, and the key in it is of type sk-ssh-ed25519@openssh.com',
    );
  });

  test('of a private key file tells an agent which key is meant: the file has no secret', () => {
    const blob = publicBlob(device.publicKey);
    const none = [sshString(utf8('none')), sshString(utf8('none')), sshString(new Uint8Array(0))];
    const rest = [sshU32(1), sshString(blob), sshString(new Uint8Array(128))];
    const file = concatBytes(utf8('openssh-key-v1\0'), ...none, ...rest);
    const body = Buffer.from(file).toString('base64').replace(/.{70}/g, '$&\n');
    const pem = ['BEGIN', 'END'].map((word) => `-----${word} OPENSSH PRIVATE KEY-----`).join(`\n${body}\n`);
    expect(lockedPublicKey(pem)).toEqual(Uint8Array.from(device.publicKey));
    expect(fanoutErrorOf(() => parsePrivateKey(pem)).code).toBe('KEY_INVALID');
  });
});

describe('a signature', () => {
  test('holds for its message, key, application, flags and counter alone', () => {
    const signature = device.sign(MESSAGE);
    expect(verifyOperatorSignature(device.publicKey, MESSAGE, signature)).toBe(true);
    expect(verifyOperatorSignature(device.publicKey, utf8('another message'), signature)).toBe(false);
    for (let at = 0; at < signature.length; at++) {
      const bad = Uint8Array.from(signature, (byte, i) => (i === at ? byte ^ 2 : byte));
      expect(verifyOperatorSignature(device.publicKey, MESSAGE, bad), `byte ${at}`).toBe(false);
    }
    for (let length = 0; length < signature.length; length++) {
      expect(verifyOperatorSignature(device.publicKey, MESSAGE, signature.subarray(0, length))).toBe(false);
    }
    const elsewhere = concatBytes(device.publicKey.subarray(0, 32), utf8('ssh:other'));
    expect(verifyOperatorSignature(elsewhere, MESSAGE, signature)).toBe(false);
    expect(verifyOperatorSignature(new SecurityKey('bob').publicKey, MESSAGE, signature)).toBe(false);
  });

  test('that nobody has touched the device for counts for nothing, though it is genuine', () => {
    expect(verifyOperatorSignature(device.publicKey, MESSAGE, device.sign(MESSAGE, 0))).toBe(false);
    expect(verifyOperatorSignature(device.publicKey, MESSAGE, device.sign(MESSAGE, 4))).toBe(false);
    // Touched, and the person was recognised.
    expect(verifyOperatorSignature(device.publicKey, MESSAGE, device.sign(MESSAGE, 5))).toBe(true);
  });

  test('of the one kind is none of the other', () => {
    const plain = signerOf('bob');
    expect(verifyOperatorSignature(device.publicKey, MESSAGE, plain.sign(MESSAGE))).toBe(false);
    expect(verifyOperatorSignature(plain.publicKey, MESSAGE, device.sign(MESSAGE))).toBe(false);
    // What the device signs for another program, which chose the message so that it looks like ours.
    const raw = device.publicKey.subarray(0, 32);
    expect(verifyOperatorSignature(raw, MESSAGE, device.sign(MESSAGE).subarray(0, 64))).toBe(false);
  });

  test.skipIf(!hasSshKeygen)('is one for stock ssh-keygen too', () => {
    const folder = scratchFolder();
    const armored = armorSshsig(
      'fanout-cmd-v1',
      device.publicKey,
      device.sign(sshsigPreimage('fanout-cmd-v1', MESSAGE)),
    );
    writeFileSync(join(folder, 'allowed'), `alice ${formatPublicLine(device.publicKey, '')}\n`);
    writeFileSync(join(folder, 'signature'), armored);
    const files = ['-f', join(folder, 'allowed'), '-s', join(folder, 'signature')];
    const verify = (body: Uint8Array): number =>
      sshKeygen(['-Y', 'verify', '-I', 'alice', '-n', 'fanout-cmd-v1', ...files], body).status;
    expect(verify(MESSAGE)).toBe(0);
    expect(verify(utf8('another message'))).not.toBe(0);
  });
});

describe('an envelope', () => {
  const bytes = signCommand(bodyOf(device.publicKey), (preimage) => device.sign(preimage));

  test('is signed by a device, and approved by another and by a plain key', () => {
    const second = new SecurityKey('carol');
    const bob = signerOf('bob');
    let signed = addApproval(decodeEnvelope(bytes), keyId(second.publicKey), (preimage) =>
      second.sign(preimage),
    );
    signed = addApproval(decodeEnvelope(signed), keyId(bob.publicKey), bob.sign);
    const envelope = decodeEnvelope(signed);
    expect(verifyEnvelope(envelope, device.publicKey)).toBe(true);
    expect(verifyEnvelope(envelope, second.publicKey)).toBe(false);
    const [byDevice, byBob] = envelope.approvals;
    if (byDevice === undefined || byBob === undefined) throw new Error('two approvals were given');
    expect(verifyApproval(envelope, byDevice, second.publicKey)).toBe(true);
    expect(verifyApproval(envelope, byBob, bob.publicKey)).toBe(true);
    expect(verifyApproval(envelope, byDevice, device.publicKey)).toBe(false);
  });

  test('without a touch is no command', () => {
    const untouched = signCommand(bodyOf(device.publicKey), (preimage) => device.sign(preimage, 0));
    expect(verifyEnvelope(decodeEnvelope(untouched), device.publicKey)).toBe(false);
  });

  test('says the kind of each signature, and a kind that does not fit is refused', () => {
    const [body, [[id, kind, signature]]] = decodeValue(bytes).value as [
      Uint8Array,
      [[Uint8Array, number, Uint8Array]],
    ];
    expect([kind, signature.length]).toEqual([1, 69]);
    for (const [wrong, given] of [
      [0, signature],
      [2, signature],
      [1, signature.subarray(0, 64)],
      [0, signature.subarray(0, 63)],
    ] as const) {
      expect(() => decodeEnvelope(encodeRpc([body, [[id, wrong, given]]]))).toThrow(DecodeError);
    }
  });

  test('is for nothing else that the device signs', () => {
    for (const namespace of Object.values(NAMESPACES)) {
      const signature = device.sign(sshsigPreimage(namespace, decodeEnvelope(bytes).bodyBytes));
      const envelope = { ...decodeEnvelope(bytes), signature };
      expect(verifyEnvelope(envelope, device.publicKey), namespace).toBe(namespace === NAMESPACES.command);
    }
  });
});
