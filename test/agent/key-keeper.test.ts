import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { KeyKeeper } from '../../src/agent/key-keeper.ts';
import { loadKeyring, saveKeyring } from '../../src/agent/keyring-file.ts';
import type { KeyChanges } from '../../src/agent/serf-settings.ts';
import { type AuditFields, AuditLog } from '../../src/identity/audit.ts';
import { type CommandBody, signCommand } from '../../src/identity/envelope.ts';
import { ReplayCache } from '../../src/identity/replay-cache.ts';
import { formatPublicLine } from '../../src/identity/ssh-key.ts';
import { Keyring } from '../../src/memberlist/keyring.ts';
import { loadPolicy } from '../../src/policy/load.ts';
import { Gate } from '../../src/runtime/gate.ts';
import { type KeyChange, keyChangeArgv } from '../../src/serf/key-queries.ts';
import { bodyOf, fanoutErrorOf, scratchFolder, seedOf, signerOf } from '../identity/fixtures.ts';

const NOW_MS = 1_800_000_000_000;
const alice = signerOf('alice');
const KEY = seedOf('the next key');
const POLICY = `version: 1
environment: production
operators: { alice: { key: "${formatPublicLine(alice.publicKey, 'alice')}" } }
defaults: { sandbox: standard, limits: { timeout: 5s, output: 1MiB, concurrency: 2 } }
rules:
  - { id: rotate, effect: allow, operators: [alice], commands: [{ program: fanout-keys, argv: [[install, use], "any:64"] }] }
`;

function keeperOf(
  options: { who?: KeyChanges; hasPolicy?: boolean; keyringFile?: string; isBroken?: boolean } = {},
): {
  keeper: KeyKeeper;
  audit: () => string;
} {
  const file = join(scratchFolder(), 'audit.jsonl');
  const audit = AuditLog.open(file, { unixMs: () => NOW_MS });
  const loaded = options.hasPolicy === false ? undefined : loadPolicy(POLICY, 'test.yaml');
  const policy = () => loaded;
  const gate = new Gate({
    nodeName: 'web-1',
    policy,
    tags: () => new Map(),
    replay: new ReplayCache(),
    unixMs: () => NOW_MS,
    lastRecordUnixMs: () => 0,
  });
  const quiet = () => {};
  const log = { debug: quiet, info: quiet, warn: quiet, error: quiet };
  const records = {
    permit: (fields: AuditFields): boolean => {
      if (options.isBroken !== true) audit.append(fields);
      return options.isBroken !== true;
    },
  };
  const settings = { keyringFile: options.keyringFile, keyChanges: options.who };
  return {
    keeper: new KeyKeeper({ settings, gate, policy, records, log }),
    audit: () => readFileSync(file, 'utf8'),
  };
}

let serial = 0;
function signed(argv: readonly string[], changes: Partial<CommandBody> = {}, sign = alice.sign): Uint8Array {
  const id = seedOf(`id ${serial++}`).subarray(0, 16);
  const body = { cluster: '', selector: '', issuedAt: NOW_MS / 1000, id, argv, ...changes };
  return signCommand(bodyOf(alice.publicKey, body), sign);
}

const change = (operation: KeyChange['operation'], approval: Uint8Array | null, key = KEY): KeyChange => ({
  operation,
  key,
  approval,
  from: '10.0.0.7',
});

test('a change that an operator has signed is made once, and written down before', () => {
  const { keeper, audit } = keeperOf();
  const approval = signed(keyChangeArgv('install', KEY));
  expect(keeper.permit(change('install', approval))).toBeUndefined();
  expect(audit()).toContain('"event":"key-change"');
  expect(audit()).toContain('"operator":"alice","rule":"rotate"');
  expect(keeper.permit(change('install', approval))).toMatch(/replayed/);
});

test.each<[string, Uint8Array | null, RegExp]>([
  ['without a signature', null, /an operator has to sign it/],
  ['for another operation', signed(keyChangeArgv('use', KEY)), /another change/],
  ['for another key', signed(keyChangeArgv('install', seedOf('other'))), /another change/],
  ['for a plan', signed(keyChangeArgv('install', KEY), { explainOnly: true }), /has to sign it/],
  ['for a command', signed(['uptime']), /no rule allows it/],
  ['by somebody else', signed(keyChangeArgv('install', KEY), {}, signerOf('mallory').sign), /bad-signature/],
  [
    'long ago',
    signed(keyChangeArgv('install', KEY), { issuedAt: NOW_MS / 1000 - 3600 }),
    /signed 3600 s ago/,
  ],
  [
    'for another environment',
    signed(keyChangeArgv('install', KEY), { environment: 'test' }),
    /other-environment/,
  ],
  ['for other members', signed(keyChangeArgv('install', KEY), { selector: 'node=db1' }), /not-selected/],
  ['that is noise', new Uint8Array(300), /fanout keys \(envelope-/],
])('one %s is refused and leaves no record', (_what, approval, reason) => {
  const { keeper, audit } = keeperOf();
  expect(keeper.permit(change('install', approval))).toMatch(reason);
  expect(audit()).toBe('');
});

test('a change that cannot be recorded is not made', () => {
  const { keeper } = keeperOf({ isBroken: true });
  expect(keeper.permit(change('install', signed(keyChangeArgv('install', KEY))))).toMatch(/be recorded/);
});

test('what the policy does not name is refused', () => {
  const { keeper } = keeperOf();
  expect(keeper.permit(change('remove', signed(keyChangeArgv('remove', KEY))))).toMatch(/^alice: no rule/);
});

test('who decides can be set either way', () => {
  expect(keeperOf({ who: 'any' }).keeper.permit(change('use', null))).toBeUndefined();
  expect(keeperOf({ hasPolicy: false }).keeper.permit(change('use', null))).toBeUndefined();
  const nobody = keeperOf({ hasPolicy: false, who: 'operators' }).keeper;
  expect(nobody.permit(change('use', signed(keyChangeArgv('use', KEY))))).toMatch(/no policy/);
});

test('a ring is kept, and one that cannot be kept is a failure', () => {
  const keyringFile = join(scratchFolder(), 'keyring.json');
  const ring = new Keyring([seedOf('a'), seedOf('b')]);
  expect(keeperOf({ keyringFile }).keeper.changed(ring)).toBeUndefined();
  expect(loadKeyring(keyringFile).keys).toEqual(ring.keys);
  expect(keeperOf({ keyringFile: '/nowhere/keyring.json' }).keeper.changed(ring)).toMatch(/no folder/);
});

test.each([
  ['nothing', '', /is not JSON/],
  ['an empty list', '[]', /does not have 1 to 64 keys/],
  ['an object', '{"keys":[]}', /does not have 1 to 64 keys/],
  ['a number', '[5]', /does not have 1 to 64 keys/],
  ['too many', JSON.stringify(Array.from({ length: 65 }, () => 'AAECAwQFBgcICQoLDA0ODw==')), /1 to 64/],
  ['what is no key', '["hello"]', /not standard base64/],
  ['half of it', '["AAECAwQFBgcICQoLDA0ODw==",', /is not JSON/],
])('a keyring with %s is refused', (_what, text, reason) => {
  const file = join(scratchFolder(), 'keyring.json');
  writeFileSync(file, text, { mode: 0o600 });
  const error = fanoutErrorOf(() => loadKeyring(file));
  expect([error.code, error.message]).toEqual(['KEY_INVALID', expect.stringMatching(reason)]);
});

test('a keyring that others can read is refused', () => {
  const file = join(scratchFolder(), 'keyring.json');
  saveKeyring(file, new Keyring([KEY]));
  writeFileSync(`${file}.open`, readFileSync(file), { mode: 0o644 });
  expect(fanoutErrorOf(() => loadKeyring(`${file}.open`)).hint).toContain('chmod 600');
});
