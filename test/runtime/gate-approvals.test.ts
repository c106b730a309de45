import { beforeEach, expect, test } from 'vitest';
import { boxKeyPair } from '../../src/identity/box.ts';
import { addApproval, type CommandBody, decodeEnvelope, signCommand } from '../../src/identity/envelope.ts';
import { ReplayCache } from '../../src/identity/replay-cache.ts';
import { formatPublicLine, keyId } from '../../src/identity/ssh-key.ts';
import { encodeRpc } from '../../src/lib/msgpack.ts';
import { loadPolicy } from '../../src/policy/load.ts';
import type { Policy } from '../../src/policy/policy.ts';
import { type Admission, Gate } from '../../src/runtime/gate.ts';
import { seedOf, signerOf } from '../identity/fixtures.ts';

const NOW_MS = 1_800_000_000_000;
const alice = signerOf('alice');
const bob = signerOf('bob');
const carol = signerOf('carol');
const mallory = signerOf('mallory');
type Signer = typeof alice;

const key = (signer: Signer, name: string): string => formatPublicLine(signer.publicKey, name);

function policyWith(operators: string): Policy {
  return loadPolicy(
    `version: 1
environment: production
operators:
  alice: { key: "${key(alice, 'alice')}", groups: [sre] }
${operators}
rules:
  - id: look
    effect: allow
    commands: [{ program: uptime, argv: [] }]
  - id: restart
    effect: allow
    operators: ["group:sre"]
    approvals: { need: 1, from: ["group:sre", "group:approver"] }
    commands: [{ program: systemctl, argv: [restart, app] }]
`,
    'p.yaml',
  );
}

const BOB = `  bob: { key: "${key(bob, 'bob')}", groups: [approver] }`;
const CAROL = `  carol: { key: "${key(carol, 'carol')}", groups: [dev] }`;

let policy: Policy;
let nowMs: number;
let gate: Gate;
let serial = 0;

beforeEach(() => {
  policy = policyWith(`${BOB}\n${CAROL}`);
  nowMs = NOW_MS;
  gate = new Gate({
    nodeName: 'web1',
    policy: () => policy,
    tags: () => new Map(),
    replay: new ReplayCache(),
    unixMs: () => nowMs,
    lastRecordUnixMs: () => 0,
  });
});

function asked(changes: Partial<CommandBody> = {}, by: Signer = alice): Uint8Array {
  return signCommand(
    {
      version: 3,
      cluster: '',
      environment: 'production',
      keyId: keyId(by.publicKey),
      issuedAt: NOW_MS / 1000,
      ttlSeconds: 60,
      id: seedOf(`approvals ${serial++}`).subarray(0, 16),
      selector: '',
      argv: ['systemctl', 'restart', 'app'],
      replyKey: boxKeyPair(seedOf('reply')).publicKey,
      replyHost: Uint8Array.of(127, 0, 0, 1),
      replyPort: 7946,
      timeoutMs: 5000,
      explainOnly: false,
      explainAs: new Uint8Array(0),
      ...changes,
    },
    by.sign,
  );
}

function approve(bytes: Uint8Array, by: Signer): Uint8Array {
  return addApproval(decodeEnvelope(bytes), keyId(by.publicKey), by.sign);
}

/** As nobody's program would make it: any signature under anybody's key id. */
function forge(bytes: Uint8Array, id: Uint8Array, signature: Uint8Array): Uint8Array {
  const { body, bodyBytes, signature: own } = decodeEnvelope(bytes);
  return encodeRpc([
    bodyBytes,
    [
      [body.keyId, 0, own],
      [id, 0, signature],
    ],
  ]);
}

const outcome = (admission: Admission): string =>
  admission.kind === 'admitted'
    ? `admitted ${admission.decision.approvedBy.join(',')}`
    : `${admission.kind} ${admission.kind === 'ignored' ? admission.reason : admission.code}`;

test('one approval by somebody whom the rule names is enough, and is recorded with the decision', () => {
  expect(outcome(gate.admit(approve(asked(), bob)))).toBe('admitted bob');
});

test('without one it is refused, and the answer says what is missing', () => {
  const admission = gate.admit(asked());
  expect(outcome(admission)).toBe('refused approvals');
  expect(admission).toMatchObject({ rule: 'restart', reason: expect.stringContaining('fanout request') });
});

test.each<[string, () => Uint8Array, string]>([
  ['by somebody whom the rule does not name', () => approve(asked(), carol), 'refused approvals'],
  ['by a key that the policy does not know', () => approve(asked(), mallory), 'refused approvals'],
  [
    "mallory's signature under bob's key id",
    () => forge(asked(), keyId(bob.publicKey), mallory.sign(new Uint8Array(8))),
    'refused approvals',
  ],
  [
    "bob's approval of another command",
    () => {
      const [other] = decodeEnvelope(approve(asked({ argv: ['uptime'] }), bob)).approvals;
      return forge(asked(), keyId(bob.publicKey), other!.signature);
    },
    'refused approvals',
  ],
  [
    "the operator's own signature as bob's approval",
    () => forge(asked(), keyId(bob.publicKey), decodeEnvelope(asked()).signature),
    'refused approvals',
  ],
  ['of a command that the one who asks may not run', () => approve(asked({}, carol), bob), 'refused no-rule'],
])('%s does not count', (_, make, expected) => {
  expect(outcome(gate.admit(make()))).toBe(expected);
});

test('a known approver whose signature does not hold spoils even what needs no approval', () => {
  const bytes = forge(asked({ argv: ['uptime'] }), keyId(bob.publicKey), new Uint8Array(64));
  expect(outcome(gate.admit(bytes))).toBe('refused approvals');
});

test('people have longer than machines: only an approved command may be valid for longer than a minute', () => {
  const long = { ttlSeconds: 900 };
  expect(outcome(gate.admit(asked({ ...long, argv: ['uptime'] })))).toBe('refused time-window');
  expect(outcome(gate.admit(approve(asked(long), mallory)))).toBe('refused time-window');
  nowMs += 800_000;
  expect(outcome(gate.admit(approve(asked(long), bob)))).toBe('admitted bob');
  expect(outcome(gate.admit(approve(asked({ ttlSeconds: 901 }), bob)))).toBe('refused time-window');
  nowMs += 200_000;
  expect(outcome(gate.admit(approve(asked(long), bob)))).toBe('refused time-window');
});

test('an approved command is one command: it is taken once, with or without its approvals', () => {
  const bytes = asked();
  expect(outcome(gate.admit(approve(bytes, bob)))).toBe('admitted bob');
  expect(outcome(gate.admit(approve(bytes, bob)))).toBe('ignored replayed');
  expect(outcome(gate.admit(bytes))).toBe('ignored replayed');
});

test('whoever left the policy before the command starts approves nothing any more', () => {
  const admission = gate.admit(approve(asked(), bob));
  if (admission.kind !== 'admitted') throw new Error('it is admitted');
  expect(outcome(gate.reconsider(admission))).toBe('admitted bob');
  policy = policyWith(`${CAROL}\n  dave: { key: "${key(signerOf('dave'), 'dave')}", groups: [approver] }`);
  expect(outcome(gate.reconsider(admission))).toBe('refused approvals');
});

test('an approver may ask what a node would say to the one who asks, once they have approved', () => {
  const question = { explainOnly: true, explainAs: keyId(alice.publicKey) };
  expect(outcome(gate.admit(asked(question, bob)))).toBe('admitted bob');
  expect(outcome(gate.admit(asked(question, carol)))).toBe('refused approvals');
  const nobody = { explainOnly: true, explainAs: keyId(mallory.publicKey) };
  expect(outcome(gate.admit(asked(nobody, bob)))).toBe('refused operator-unknown');
});
