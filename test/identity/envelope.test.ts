import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  addApproval,
  type CommandBody,
  decodeEnvelope,
  ENVELOPE_BYTES_MAX,
  mergeApprovals,
  signCommand,
  verifyApproval,
  verifyEnvelope,
} from '../../src/identity/envelope.ts';
import { keyId } from '../../src/identity/ssh-key.ts';
import { sshsigPreimage } from '../../src/identity/sshsig.ts';
import { equalBytes } from '../../src/lib/bytes.ts';
import { DecodeError } from '../../src/lib/errors.ts';
import { type Encodable, encodeRpc } from '../../src/lib/msgpack.ts';
import { bodyOf, fanoutErrorOf, seedOf, signerOf } from './fixtures.ts';

const alice = signerOf('alice');

function envelopeOf(changes: Partial<CommandBody> = {}): Uint8Array {
  return signCommand(bodyOf(alice.publicKey, changes), alice.sign);
}

/** The body as its msgpack array, for making wrong ones. */
function tupleOf(body: CommandBody): Encodable[] {
  const { selector, ...rest } = body;
  return [
    rest.version,
    rest.cluster,
    rest.environment,
    rest.keyId,
    rest.issuedAt,
    rest.ttlSeconds,
    rest.id,
    selector,
    rest.argv,
    rest.replyKey,
    rest.replyHost,
    rest.replyPort,
    rest.timeoutMs,
    rest.explainOnly,
    rest.explainAs,
  ];
}

/** An envelope around any body bytes, correctly signed. */
function wrap(bodyBytes: Uint8Array, body: CommandBody = bodyOf(alice.publicKey)): Uint8Array {
  const signature = alice.sign(sshsigPreimage('fanout-cmd-v1', bodyBytes));
  return encodeRpc([bodyBytes, [[body.keyId, 0, signature]]]);
}

function decodeErrorOf(call: () => unknown): DecodeError {
  try {
    call();
  } catch (error) {
    if (error instanceof DecodeError) return error;
    throw error;
  }
  throw new Error('expected a DecodeError, but nothing was thrown');
}

/** Whether anything at all would come of these bytes on a node that knows alice. */
function isTaken(bytes: Uint8Array): boolean {
  try {
    return verifyEnvelope(decodeEnvelope(bytes), alice.publicKey);
  } catch (error) {
    if (error instanceof DecodeError) return false;
    throw error;
  }
}

const texts = (maxLength: number): fc.Arbitrary<string> =>
  fc.string({ unit: 'binary', maxLength }).filter((text) => !/\p{Cc}/u.test(text));

const names = fc.stringMatching(/^[a-z0-9*_.-]{1,20}$/);

const bodies = fc.record({
  environment: names,
  issuedAt: fc.nat(0xffff_ffff),
  ttlSeconds: fc.integer({ min: 1, max: 86_400 }),
  id: fc.uint8Array({ minLength: 16, maxLength: 16 }),
  selector: texts(60),
  argv: fc.tuple(names, fc.array(texts(30), { maxLength: 6 })).map(([first, rest]) => [first, ...rest]),
  replyPort: fc.integer({ min: 1, max: 65_535 }),
  timeoutMs: fc.integer({ min: 1, max: 86_400_000 }),
  explainOnly: fc.boolean(),
});

test('a signed command comes out as it went in, and verifies for its operator only', () => {
  const mallory = signerOf('mallory');
  fc.assert(
    fc.property(bodies, (changes) => {
      const body = bodyOf(alice.publicKey, changes);
      const envelope = decodeEnvelope(signCommand(body, alice.sign));
      expect(envelope.body).toEqual(body);
      expect(envelope.approvals).toEqual([]);
      expect(verifyEnvelope(envelope, alice.publicKey)).toBe(true);
      expect(verifyEnvelope(envelope, mallory.publicKey)).toBe(false);
    }),
    { numRuns: 60 },
  );
});

test('of 50 envelopes with any one byte changed, none is taken', () => {
  for (let n = 0; n < 50; n++) {
    const bytes = envelopeOf({ id: seedOf(`envelope ${n}`).subarray(0, 16), argv: ['uptime', `-${n}`] });
    expect(isTaken(bytes)).toBe(true);
    for (let offset = 0; offset < bytes.length; offset++) {
      const changed = Uint8Array.from(bytes);
      changed[offset]! ^= 1 << ((offset + n) % 8);
      if (isTaken(changed)) expect.fail(`envelope ${n} holds with byte ${offset} changed`);
    }
  }
});

test('an envelope that was cut, or has bytes behind it, is not taken', () => {
  const bytes = envelopeOf();
  for (let length = 0; length < bytes.length; length++) {
    expect(isTaken(bytes.subarray(0, length))).toBe(false);
  }
  expect(decodeErrorOf(() => decodeEnvelope(Uint8Array.of(...bytes, 0xc0))).reason).toBe('trailing');
});

test('a body under the name of an operator who did not sign it is not taken', () => {
  const mallory = signerOf('mallory');
  const forged = signCommand(bodyOf(alice.publicKey), mallory.sign);
  expect(verifyEnvelope(decodeEnvelope(forged), alice.publicKey)).toBe(false);
  expect(verifyEnvelope(decodeEnvelope(forged), mallory.publicKey)).toBe(false);
});

test('a signature made for another purpose is not taken', () => {
  const { bodyBytes } = decodeEnvelope(envelopeOf());
  const signature = alice.sign(sshsigPreimage('fanout-approve-v1', bodyBytes));
  const bytes = encodeRpc([bodyBytes, [[bodyOf(alice.publicKey).keyId, 0, signature]]]);
  expect(isTaken(bytes)).toBe(false);
});

describe('approvals', () => {
  const bob = signerOf('bob');
  const carol = signerOf('carol');
  const approve = (bytes: Uint8Array, by: typeof bob): Uint8Array =>
    addApproval(decodeEnvelope(bytes), keyId(by.publicKey), by.sign);

  test('are over the same bytes, and hold for whoever gave them and nobody else', () => {
    const envelope = decodeEnvelope(approve(approve(envelopeOf(), bob), carol));
    expect(verifyEnvelope(envelope, alice.publicKey)).toBe(true);
    const [first, second] = envelope.approvals;
    expect(envelope.approvals.length).toBe(2);
    expect(verifyApproval(envelope, first!, bob.publicKey)).toBe(true);
    expect(verifyApproval(envelope, second!, carol.publicKey)).toBe(true);
    expect(verifyApproval(envelope, first!, carol.publicKey)).toBe(false);
    expect(verifyApproval(envelope, second!, alice.publicKey)).toBe(false);
  });

  test('are for one command: moved to another, with a byte of it changed, they do not hold', () => {
    const { approvals } = decodeEnvelope(approve(envelopeOf(), bob));
    const other = decodeEnvelope(envelopeOf({ argv: ['reboot'] }));
    expect(verifyApproval(other, approvals[0]!, bob.publicKey)).toBe(false);
  });

  test('cannot be the signature of a command, nor the other way round', () => {
    const { bodyBytes, body, signature } = decodeEnvelope(envelopeOf());
    const asCommand = bob.sign(sshsigPreimage('fanout-cmd-v1', bodyBytes));
    const bytes = encodeRpc([
      bodyBytes,
      [
        [body.keyId, 0, signature],
        [keyId(bob.publicKey), 0, asCommand],
      ],
    ]);
    const envelope = decodeEnvelope(bytes);
    expect(verifyApproval(envelope, envelope.approvals[0]!, bob.publicKey)).toBe(false);
  });

  test('are one a key, at most eight, and never of the one who asks', () => {
    expect(fanoutErrorOf(() => approve(envelopeOf(), alice)).message).toContain('your own request');
    const once = approve(envelopeOf(), bob);
    expect(fanoutErrorOf(() => approve(once, bob)).message).toContain('already');
    let many = envelopeOf();
    for (let i = 0; i < 8; i++) many = approve(many, signerOf(`approver ${i}`));
    expect(fanoutErrorOf(() => approve(many, bob)).message).toContain('no more');
    const { bodyBytes, body, signature } = decodeEnvelope(envelopeOf());
    const entry = [body.keyId, 0, signature];
    expect(decodeErrorOf(() => decodeEnvelope(encodeRpc([bodyBytes, [entry, entry]]))).reason).toBe(
      'approvals',
    );
    const nine = Array.from({ length: 9 }, (_, i) => [seedOf(`k${i}`).subarray(0, 8), 0, signature]);
    expect(decodeErrorOf(() => decodeEnvelope(encodeRpc([bodyBytes, [entry, ...nine]]))).message).toContain(
      '1 to 9',
    );
    expect(decodeErrorOf(() => decodeEnvelope(encodeRpc([bodyBytes, []]))).message).toContain('1 to 9');
  });

  test('given at the same time are put together, and only those of the same request', () => {
    const asked = envelopeOf();
    const both = mergeApprovals(decodeEnvelope(approve(asked, bob)), decodeEnvelope(approve(asked, carol)));
    expect(decodeEnvelope(both!).approvals.length).toBe(2);
    const again = mergeApprovals(decodeEnvelope(both!), decodeEnvelope(approve(asked, bob)));
    expect(decodeEnvelope(again!).approvals.length).toBe(2);
    const other = decodeEnvelope(envelopeOf({ argv: ['reboot'] }));
    expect(mergeApprovals(decodeEnvelope(asked), other)).toBe(undefined);
  });

  test('of which any one byte was changed are not taken', () => {
    const bytes = approve(envelopeOf(), bob);
    for (let offset = 0; offset < bytes.length; offset++) {
      const changed = Uint8Array.from(bytes);
      changed[offset]! ^= 1 << (offset % 8);
      let holds = false;
      try {
        const envelope = decodeEnvelope(changed);
        holds =
          verifyEnvelope(envelope, alice.publicKey) &&
          envelope.approvals.some((approval) => verifyApproval(envelope, approval, bob.publicKey));
      } catch (error) {
        if (!(error instanceof DecodeError)) throw error;
      }
      if (holds) expect.fail(`it holds with byte ${offset} changed`);
    }
  });
});

test('a question in the name of another is a question, never a command', () => {
  const other = seedOf('other').subarray(0, 8);
  const asked = decodeEnvelope(envelopeOf({ explainOnly: true, explainAs: other }));
  expect(asked.body.explainAs).toEqual(other);
  expect(fanoutErrorOf(() => envelopeOf({ explainAs: other })).message).toContain('explain as');
  expect(
    fanoutErrorOf(() => envelopeOf({ explainOnly: true, explainAs: other.subarray(1) })).message,
  ).toContain('explain as');
});

test('another kind of signature, or the key id of somebody else in front of it, is refused', () => {
  const { bodyBytes, body, signature } = decodeEnvelope(envelopeOf());
  const other = encodeRpc([bodyBytes, [[new Uint8Array(8), 0, signature]]]);
  expect(decodeErrorOf(() => decodeEnvelope(other)).message).toContain('another key');
  const ofKind = (kind: number): string =>
    decodeErrorOf(() => decodeEnvelope(encodeRpc([bodyBytes, [[body.keyId, kind, signature]]]))).message;
  expect(ofKind(1)).toContain('signature: must be 69 bytes');
  expect(ofKind(2)).toContain('kind');
});

const big = 'x'.repeat(4096);
test.each<[string, number, Encodable, string]>([
  ['version 1', 0, 1, 'version 3'],
  ['a cluster as number', 1, 7, 'cluster'],
  ['a key id of 7 bytes', 3, new Uint8Array(7), 'key id'],
  ['a time before 1970', 4, -1, 'issued at'],
  ['half a second', 4, 1.5, 'issued at'],
  ['no time to live', 5, 0, 'time to live'],
  ['two days to live', 5, 172_800, 'time to live'],
  ['a short id', 6, new Uint8Array(15), 'id: must be 16 bytes'],
  ['a selector of version 1', 7, [[], []], 'selector'],
  ['a control character in the selector', 7, 'role=\u001b', 'selector'],
  ['no argv', 8, [], 'argv'],
  ['an empty program', 8, [''], 'argument 0'],
  ['65 arguments', 8, new Array(65).fill('a'), '1 to 64'],
  ['an argument of 4097 bytes', 8, ['a', `${big}x`], 'argument 1'],
  ['33 KiB of arguments', 8, ['a', ...new Array(8).fill(big)], 'argv: more than'],
  ['a line end in an argument', 8, ['echo', 'a\nb'], 'argument 1: must have no control character'],
  ['a NUL in an argument', 8, ['echo', 'a\0b'], 'control character'],
  ['a C1 control in an argument', 8, ['echo', 'a\u009bb'], 'control character'],
  ['a map for an argument', 8, ['echo', { a: 1 }], 'argument 1: must be text'],
  ['a broken reply key', 9, new Uint8Array(31), 'reply key'],
  ['a reply key that hides nothing', 9, new Uint8Array(32), 'reply key: everybody'],
  ['an address of 5 bytes', 10, new Uint8Array(5), 'reply host'],
  ['port 0', 11, 0, 'reply port'],
  ['port 65536', 11, 65_536, 'reply port'],
  ['no timeout', 12, 0, 'timeout'],
  ['1 for true', 13, 1, 'explain only'],
])('a correctly signed body with %s is refused', (_name, position, value, message) => {
  const tuple = tupleOf(bodyOf(alice.publicKey));
  tuple[position] = value;
  expect(decodeErrorOf(() => decodeEnvelope(wrap(encodeRpc(tuple)))).message).toContain(message);
});

test('a body with a field more or less is refused', () => {
  const tuple = tupleOf(bodyOf(alice.publicKey));
  for (const wrong of [tuple.slice(0, -1), [...tuple, true], { a: 1 }, 'text', null]) {
    expect(decodeErrorOf(() => decodeEnvelope(wrap(encodeRpc(wrong)))).reason).toBe('field');
  }
});

test('text that is not UTF-8 is refused', () => {
  const { bodyBytes } = decodeEnvelope(envelopeOf({ argv: ['echo', 'zz'] }));
  const at = bodyBytes.findIndex((byte, i) => byte === 0x7a && bodyBytes[i + 1] === 0x7a);
  const changed = Uint8Array.from(bodyBytes);
  changed.set([0xc0, 0xaf], at);
  expect(decodeErrorOf(() => decodeEnvelope(wrap(changed))).message).toContain('UTF-8');
});

test('the same body in another encoding is refused, though its signature holds', () => {
  const tuple = tupleOf(bodyOf(alice.publicKey));
  const canonical = encodeRpc(tuple);
  tuple[1] = new TextEncoder().encode('c-4f1d');
  const textAsBytes = encodeRpc(tuple);
  expect(equalBytes(textAsBytes, canonical)).toBe(false);
  expect(decodeErrorOf(() => decodeEnvelope(wrap(textAsBytes))).reason).toBe('encoding');
  // The version as a 16 bit integer (cd 00 03) instead of 03.
  const longInteger = Uint8Array.of(canonical[0]!, 0xcd, 0, 3, ...canonical.subarray(2));
  expect(decodeErrorOf(() => decodeEnvelope(wrap(longInteger))).reason).toBe('encoding');
});

test('an envelope in another encoding is refused, though its body and signature are the same', () => {
  const bytes = envelopeOf();
  // An array of two with a 16 bit length (dc 00 02) instead of 92.
  const longArray = Uint8Array.of(0xdc, 0, 2, ...bytes.subarray(1));
  expect(decodeErrorOf(() => decodeEnvelope(longArray)).reason).toBe('encoding');
});

test('an envelope above the size limit is refused before it is read', () => {
  expect(decodeErrorOf(() => decodeEnvelope(new Uint8Array(ENVELOPE_BYTES_MAX + 1))).reason).toBe('size');
});

test('random bytes give a DecodeError and nothing else', () => {
  const valid = envelopeOf();
  const mutated = fc
    .array(fc.tuple(fc.nat(valid.length - 1), fc.nat(255)), { minLength: 1, maxLength: 6 })
    .map((changes) => {
      const bytes = Uint8Array.from(valid);
      for (const [offset, byte] of changes) bytes[offset] = byte;
      return bytes;
    });
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 400 }), mutated), (bytes) => {
      if (!equalBytes(bytes, valid)) expect(isTaken(bytes)).toBe(false);
    }),
    { numRuns: 2000 },
  );
});

test.each<[string, Partial<CommandBody>, string]>([
  ['a tab in an argument', { argv: ['echo', 'a\tb'] }, 'argument 1'],
  ['half a character', { argv: ['echo', '\ud800'] }, 'lone surrogate'],
  ['half a character in a long argument', { argv: ['echo', `${'x'.repeat(300)}\udfff`] }, 'lone surrogate'],
  ['half a character in a tag', { selector: 'role=\udc00' }, 'lone surrogate'],
  ['too long an argument', { argv: ['echo', `${big}x`] }, 'argument 1'],
  ['an address that is none', { replyHost: new Uint8Array(3) }, 'reply host'],
  ['a selection that names too many', { selector: `node=${'n'.repeat(33_000)}` }, 'selector'],
])('a command with %s is refused at the operator, before it is sent', (_name, changes, message) => {
  const error = fanoutErrorOf(() => envelopeOf(changes));
  expect(error.code).toBe('COMMAND_REFUSED');
  expect(error.message).toContain(message);
  expect(error.hint).toContain('Nothing was sent');
});
