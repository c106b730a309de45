import { beforeEach, expect, test } from 'vitest';
import { boxKeyPair } from '../../src/identity/box.ts';
import { type CommandBody, signCommand } from '../../src/identity/envelope.ts';
import { ReplayCache } from '../../src/identity/replay-cache.ts';
import { formatPublicLine, keyId } from '../../src/identity/ssh-key.ts';
import { loadPolicy } from '../../src/policy/load.ts';
import type { Policy } from '../../src/policy/policy.ts';
import { type Admission, Gate } from '../../src/runtime/gate.ts';
import { seedOf, signerOf } from '../identity/fixtures.ts';

const NOW_MS = 1_800_000_000_000;
const alice = signerOf('alice');
const mallory = signerOf('mallory');

function publicLineOf({ publicKey }: { publicKey: Uint8Array }): string {
  return formatPublicLine(publicKey, 'alice');
}

const POLICY = `version: 1
environment: production
operators: { alice: { key: "${publicLineOf(alice)}" } }
defaults: { sandbox: none, dangerous: tests, limits: { timeout: 5s, output: 1MiB, concurrency: 2 } }
rules:
  - { id: never, effect: deny, why: shells, programs: [sh] }
  - { id: look, effect: allow, operators: [alice], commands: [{ program: uptime, argv: [] }] }
`;

let policy: Policy | undefined;
let tags: ReadonlyMap<string, string>;

let serial = 0;
let replay: ReplayCache;
let nowMs: number;
let lastRecordMs: number;
let gate: Gate;

beforeEach(() => {
  policy = loadPolicy(POLICY, 'test.yaml');
  tags = new Map([['role', 'web']]);
  replay = new ReplayCache();
  nowMs = NOW_MS;
  lastRecordMs = NOW_MS - 1000;
  gate = new Gate({
    nodeName: 'web1',
    policy: () => policy,
    tags: () => tags,
    replay,
    unixMs: () => nowMs,
    lastRecordUnixMs: () => lastRecordMs,
  });
});

function body(changes: Partial<CommandBody> = {}): CommandBody {
  return {
    version: 3,
    cluster: '',
    environment: 'production',
    keyId: keyId(alice.publicKey),
    issuedAt: NOW_MS / 1000,
    ttlSeconds: 60,
    id: seedOf(`id ${serial++}`).subarray(0, 16),
    selector: 'role=web',
    argv: ['uptime'],
    replyKey: boxKeyPair(seedOf('reply')).publicKey,
    replyHost: Uint8Array.of(127, 0, 0, 1),
    replyPort: 7946,
    timeoutMs: 5000,
    explainOnly: false,
    explainAs: new Uint8Array(0),
    ...changes,
  };
}

const signed = (changes: Partial<CommandBody> = {}, sign = alice.sign): Uint8Array =>
  signCommand(body(changes), sign);
const outcome = (admission: Admission): string =>
  admission.kind === 'admitted'
    ? 'admitted'
    : `${admission.kind} ${admission.kind === 'ignored' ? admission.reason : admission.code}`;

test('a signed command that the policy allows is admitted, with the rule', () => {
  const admission = gate.admit(signed());
  expect(admission).toMatchObject({ kind: 'admitted', operator: 'alice', decision: { rule: 'look' } });
});

test('what the policy denies is answered with the rule and its reason', () => {
  expect(gate.admit(signed({ argv: ['sh', '-c', 'id'] }))).toMatchObject({
    kind: 'refused',
    code: 'deny-rule',
    rule: 'never',
  });
  expect(outcome(gate.admit(signed({ argv: ['id'] })))).toBe('refused no-rule');
});

test.each<[string, Partial<CommandBody>]>([
  ['other-cluster', { cluster: 'elsewhere' }],
  ['other-environment', { environment: 'staging' }],
  ['not-selected', { selector: 'role=db' }],
  ['not-selected', { selector: 'node=web2' }],
  ['selector', { selector: 'role=(' }],
  ['selector', { selector: 'role = web' }],
  ['selector', { selector: '@saved' }],
  ['unknown-operator', { keyId: keyId(mallory.publicKey) }],
])('%s: ignored, unanswered', (reason, changes) => {
  expect(outcome(gate.admit(signed(changes)))).toBe(`ignored ${reason}`);
});

test("a forger who states an operator's key id is ignored, and does not burn the id", () => {
  const wanted = body();
  expect(outcome(gate.admit(signCommand(wanted, mallory.sign)))).toBe('ignored bad-signature');
  expect(outcome(gate.admit(signCommand(wanted, alice.sign)))).toBe('admitted');
});

test('no changed byte of an envelope is ever admitted', () => {
  const envelope = signed();
  for (let i = 0; i < envelope.length; i++) {
    const changed = envelope.slice();
    changed[i] = (changed[i] ?? 0) ^ (1 << (i % 8));
    expect(gate.admit(changed).kind).toBe('ignored');
    nowMs += 1000;
  }
});

test('the same command twice is ignored, on this life of the agent and on the next', () => {
  const envelope = signed();
  expect(outcome(gate.admit(envelope))).toBe('admitted');
  expect(outcome(gate.admit(envelope))).toBe('ignored replayed');
});

test.each<[string, number, string]>([
  ['in time', 59, 'admitted'],
  ['late within the tolerated skew', 89, 'admitted'],
  ['too late', 92, 'refused time-window'],
  ['early within the tolerated skew', -29, 'admitted'],
  ['too early', -32, 'refused time-window'],
])('%s', (_name, ageSeconds, expected) => {
  nowMs = NOW_MS + ageSeconds * 1000;
  expect(outcome(gate.admit(signed()))).toBe(expected);
});

test('a refusal for time says by how much, and what to look at', () => {
  nowMs = NOW_MS + 300_000;
  const admission = gate.admit(signed());
  expect(admission).toMatchObject({ reason: expect.stringMatching(/300 s ago.*clocks/) });
});

test('a node whose clock fell behind its own audit log refuses until it is right again', () => {
  lastRecordMs = NOW_MS + 60_000;
  expect(gate.admit(signed())).toMatchObject({
    kind: 'refused',
    code: 'clock',
    reason: expect.stringContaining('60 s behind'),
  });
  lastRecordMs = NOW_MS + 10_000;
  expect(outcome(gate.admit(signed()))).toBe('admitted');
});

test('a clock that jumps ahead and back does not let a command in again', () => {
  const envelope = signed();
  const missed = signed();
  expect(outcome(gate.admit(envelope))).toBe('admitted');
  nowMs = NOW_MS + 3_600_000;
  // In that hour of the clock the first command is over, and forgotten as soon as another one comes.
  expect(outcome(gate.admit(missed))).toBe('refused time-window');
  for (const backMs of [0, 10_000, -20_000]) {
    nowMs = NOW_MS + backMs;
    for (const bytes of [envelope, missed]) expect(outcome(gate.admit(bytes))).not.toBe('admitted');
    expect(outcome(gate.admit(signed()))).toBe('refused clock');
  }
  nowMs = NOW_MS + 3_600_000;
  expect(outcome(gate.admit(signed({ issuedAt: nowMs / 1000 })))).toBe('admitted');
});

test('a command that wants to live longer than the policy allows is refused', () => {
  expect(outcome(gate.admit(signed({ ttlSeconds: 61 })))).toBe('refused time-window');
});

test('a flood of forgeries does not get the processor, and passes', () => {
  const forged = Array.from({ length: 1200 }, () => signed({}, mallory.sign));
  const reasons = forged.map((envelope, i) => outcome(gate.admit(envelope, `10.0.0.${i % 6}`)));
  expect(reasons.filter((reason) => reason === 'ignored bad-signature').length).toBe(1000);
  expect(reasons.at(-1)).toBe('ignored too-many-signatures');
  nowMs += 1001;
  expect(outcome(gate.admit(signed()))).toBe('admitted');
});

test('one forger does not use up what is there for all', () => {
  const forged = Array.from({ length: 1200 }, () => signed({}, mallory.sign));
  const reasons = forged.map((envelope) => outcome(gate.admit(envelope, '10.0.0.66')));
  expect(reasons.filter((reason) => reason === 'ignored bad-signature').length).toBe(250);
  expect(outcome(gate.admit(signed(), '10.0.0.66'))).toBe('ignored too-many-signatures');
  expect(outcome(gate.admit(signed(), '10.0.0.1'))).toBe('admitted');
});

test('a command out of its time is answered once', () => {
  nowMs = NOW_MS + 3_600_000;
  const old = signed();
  expect(outcome(gate.admit(old))).toBe('refused time-window');
  expect(outcome(gate.admit(old))).toBe('ignored replayed');
});

test('commands whose time is over make room for others', () => {
  while (!replay.full) replay.remember(`id ${replay.size}`, NOW_MS + 90_000);
  expect(outcome(gate.admit(signed()))).toBe('refused replay-cache-full');
  nowMs = NOW_MS + 91_000;
  expect(outcome(gate.admit(signed({ issuedAt: nowMs / 1000 })))).toBe('admitted');
});

test('garbage is ignored', () => {
  for (const bytes of [new Uint8Array(0), Uint8Array.of(0x92), new Uint8Array(70_000).fill(0xff)]) {
    expect(gate.admit(bytes).kind).toBe('ignored');
  }
});

/** A command that was admitted, and what the gate makes of it after something has changed. */
function reconsidered(change: () => void, text = POLICY): string {
  policy = loadPolicy(text, 'test.yaml');
  tags = new Map([['role', 'web']]);
  nowMs = NOW_MS;
  const admission = gate.admit(signed());
  expect(admission.kind).toBe('admitted');
  change();
  return outcome(gate.reconsider(admission as Extract<Admission, { kind: 'admitted' }>));
}

test('a command that was held back is decided about anew', () => {
  expect(reconsidered(() => {})).toBe('admitted');
  const change = (from: string, to: string) => () => {
    const text = POLICY.replace(from, to);
    expect(text).not.toBe(POLICY);
    policy = loadPolicy(text, 'test.yaml');
  };
  expect(reconsidered(change('argv: []', 'argv: [-p]'))).toBe('refused no-rule');
  expect(reconsidered(change('programs: [sh]', 'programs: [uptime]'))).toBe('refused deny-rule');
});

test.each<[string, string, string]>([
  ['refused changed', 'environment: production', 'environment: staging'],
  ['refused changed', 'version: 1', 'version: 1\ncluster: elsewhere'],
  ['refused changed', publicLineOf(alice), publicLineOf(mallory)],
  ['refused operator-expired', 'alice: {', 'alice: { notAfter: "2026-01-01",'],
])('%s, when the policy was changed while the command was held', (expected, from, to) => {
  const change = (): void => {
    policy = loadPolicy(POLICY.replace(from, to), 'test.yaml');
  };
  expect(reconsidered(change)).toBe(expected);
});

test('a command that was held is refused when its operator expires or the node is selected no more', () => {
  const text = POLICY.replace('alice: {', 'alice: { notAfter: "2027-01-15",');
  const endOfDay = Date.parse('2027-01-16T00:00:00Z');
  const at = (unixMs: number) => () => {
    nowMs = unixMs;
  };
  expect(reconsidered(at(endOfDay - 1), text)).toBe('admitted');
  expect(reconsidered(at(endOfDay), text)).toBe('refused operator-expired');
  const retag = (): void => {
    tags = new Map([['role', 'db']]);
  };
  expect(reconsidered(retag)).toBe('refused changed');
  const forget = (): void => {
    policy = undefined;
  };
  expect(reconsidered(forget)).toBe('refused changed');
});

test('a command that was held long beyond its time to live is not late: it came in time', () => {
  expect(reconsidered(() => (nowMs += 3_600_000))).toBe('admitted');
});
