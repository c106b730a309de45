import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { PeerKeys } from '../../src/agent/peer-keys.ts';
import { KnownNodes } from '../../src/identity/known-nodes.ts';
import { type NodeKey, nodeKeyOfSeed } from '../../src/identity/node-key.ts';
import { NAMESPACES, sshsigPreimage } from '../../src/identity/sshsig.ts';
import { concatBytes, utf8 } from '../../src/lib/bytes.ts';
import { encodeRpc } from '../../src/lib/msgpack.ts';
import { encodeAck } from '../../src/memberlist/messages.ts';
import type { Claim } from '../../src/memberlist/proofs.ts';
import { encodeQuery } from '../../src/serf/messages.ts';
import { CONFLICT_QUERY } from '../../src/serf/name-vote.ts';
import { addrOf, PORT, sentOf } from '../memberlist/harness.ts';
import { queryOf, Solo } from '../serf/harness.ts';
import { removeFolder, temporaryFolder } from '../support/processes.ts';

const OWNER = nodeKeyOfSeed(new Uint8Array(32).fill(1));
const IMPOSTOR = nodeKeyOfSeed(new Uint8Array(32).fill(2));
const CHALLENGE: Uint8Array = new Uint8Array(16).fill(7);
const WEB1: Claim = { name: 'web1', addr: addrOf(1), port: PORT };

let dir: string;
let clock: number;
let warnings: string[];
const file = (): string => join(dir, 'known_nodes');

beforeEach(() => {
  dir = temporaryFolder();
  clock = 0;
  warnings = [];
});
afterEach(() => removeFolder(dir));

/** The keys of one agent. Those of claimants never pin anything. */
function keysOf(nodeKey: NodeKey): PeerKeys {
  const warn = (text: string): void => {
    warnings.push(text);
  };
  const log = { debug: () => {}, info: () => {}, warn, error: warn };
  return new PeerKeys({ nodeKey, dataDir: dir, log, now: () => clock });
}

function proofOf(nodeKey: NodeKey, claim: Claim = WEB1, challenge = CHALLENGE): Uint8Array {
  const proof = keysOf(nodeKey).prove(claim, challenge);
  if (proof === undefined) throw new Error('no proof was given');
  return proof;
}

describe('a proof', () => {
  test('of a name without a key gives it one, for good', () => {
    const keys = keysOf(IMPOSTOR);
    expect(keys.hasKey('web1')).toBe(false);
    expect(keys.wants(WEB1)).toBe(true);
    expect(keys.check(WEB1, CHALLENGE, proofOf(OWNER))).toBe(true);
    expect(keys.hasKey('web1')).toBe(true);
    expect(keys.wants(WEB1)).toBe(false);
    // Another agent of this machine later, as after a restart.
    const later = keysOf(IMPOSTOR);
    expect(later.hasKey('web1')).toBe(true);
    expect(later.wants(WEB1)).toBe(true);
    expect(later.check(WEB1, CHALLENGE, proofOf(IMPOSTOR))).toBe(false);
    expect(later.check(WEB1, CHALLENGE, proofOf(OWNER))).toBe(true);
  });

  test('is wanted again of a member that has moved, and counts there', () => {
    const keys = keysOf(IMPOSTOR);
    keys.check(WEB1, CHALLENGE, proofOf(OWNER));
    const moved = { ...WEB1, addr: addrOf(9) };
    expect(keys.wants(moved)).toBe(true);
    expect(keys.check(moved, CHALLENGE, proofOf(OWNER, moved))).toBe(true);
    expect(keys.wants(moved)).toBe(false);
  });

  test('is wanted again of who has come back to the same address', () => {
    const keys = keysOf(IMPOSTOR);
    keys.check(WEB1, CHALLENGE, proofOf(OWNER));
    keys.changed('web1');
    expect(keys.wants(WEB1)).toBe(true);
    expect(keys.check(WEB1, CHALLENGE, proofOf(IMPOSTOR))).toBe(false);
    expect(warnings.join()).toContain('the key of "web1" has changed');
  });

  test('has one form for both forms of an address', () => {
    const mapped = { ...WEB1, addr: concatBytes(new Uint8Array(10), Uint8Array.of(255, 255), WEB1.addr) };
    expect(keysOf(IMPOSTOR).check(WEB1, CHALLENGE, proofOf(OWNER, mapped))).toBe(true);
  });

  const elsewhere: [string, Claim, Uint8Array?][] = [
    ['another name', { ...WEB1, name: 'web2' }],
    ['another address, as when somebody passes the challenge on', { ...WEB1, addr: addrOf(2) }],
    ['another port', { ...WEB1, port: PORT + 1 }],
    ['another challenge, as when somebody repeats it', WEB1, new Uint8Array(16).fill(8)],
  ];
  test.each(elsewhere)('for %s proves nothing and pins nothing', (_what, claim, challenge) => {
    const keys = keysOf(IMPOSTOR);
    expect(keys.check(WEB1, CHALLENGE, proofOf(OWNER, claim, challenge))).toBe(false);
    expect(keys.hasKey('web1')).toBe(false);
  });

  test('of the key of one and the signature of another proves nothing', () => {
    const mixed = concatBytes(OWNER.identity, proofOf(IMPOSTOR).subarray(64));
    expect(keysOf(IMPOSTOR).check(WEB1, CHALLENGE, mixed)).toBe(false);
  });

  test('is no signature for anything else, and no other signature is a proof', () => {
    const body = encodeRpc([OWNER.identity, CHALLENGE, 'web1', '10.0.0.1:7946']);
    const isProof = (namespace: string): boolean => {
      const signature = OWNER.sign(sshsigPreimage(namespace, body));
      return keysOf(IMPOSTOR).check(WEB1, CHALLENGE, concatBytes(OWNER.identity, signature));
    };
    expect(Object.values(NAMESPACES).filter(isProof)).toEqual([NAMESPACES.member]);
  });

  test('that is cut, longer or garbage is none', () => {
    const keys = keysOf(IMPOSTOR);
    const proof = proofOf(OWNER);
    for (let length = 0; length < proof.length; length++)
      expect(keys.check(WEB1, CHALLENGE, proof.subarray(0, length))).toBe(false);
    expect(keys.check(WEB1, CHALLENGE, concatBytes(proof, Uint8Array.of(0)))).toBe(false);
    for (let at = 0; at < proof.length; at++) {
      const bad = proof.map((byte, i) => (i === at ? byte ^ 1 : byte));
      expect(keys.check(WEB1, CHALLENGE, bad), `byte ${at}`).toBe(false);
    }
    expect(keys.hasKey('web1')).toBe(false);
  });
});

describe('another key than the pinned one', () => {
  test('is told once, with the way out, however often and with however many keys it comes', () => {
    const keys = keysOf(OWNER);
    keys.check(WEB1, CHALLENGE, proofOf(OWNER));
    for (let i = 2; i < 20; i++) {
      const other = nodeKeyOfSeed(new Uint8Array(32).fill(i));
      expect(keys.check(WEB1, CHALLENGE, proofOf(other))).toBe(false);
    }
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toContain(OWNER.fingerprint);
    expect(warnings[0]).toContain(IMPOSTOR.fingerprint);
    expect(warnings[0]).toContain(`fanout known-nodes forget --data-dir ${dir} web1`);
  });

  test('is taken by a running agent when the pin was forgotten', () => {
    const keys = keysOf(OWNER);
    keys.check(WEB1, CHALLENGE, proofOf(OWNER));
    KnownNodes.inspect(file()).forget('web1');
    expect(keys.hasKey('web1')).toBe(false);
    expect(keys.check(WEB1, CHALLENGE, proofOf(IMPOSTOR))).toBe(true);
  });

  test('is wanted by a running agent as soon as the pin was forgotten, where the member has always been', () => {
    const keys = keysOf(OWNER);
    keys.check(WEB1, CHALLENGE, proofOf(OWNER));
    expect(keys.wants(WEB1)).toBe(false);
    KnownNodes.inspect(file()).forget('web1');
    expect(keys.wants(WEB1)).toBe(true);
    expect(keys.check(WEB1, CHALLENGE, proofOf(IMPOSTOR))).toBe(true);
    expect(keys.wants(WEB1)).toBe(false);
  });
});

test('a thousand ask at once, as in a vote; a flood gets five hundred proofs a second', () => {
  const keys = keysOf(OWNER);
  const given = (asked: number): number =>
    Array.from({ length: asked }, () => keys.prove(WEB1, CHALLENGE)).filter((proof) => proof !== undefined)
      .length;
  expect(given(1500)).toBe(1000);
  clock = 1000;
  expect(given(1500)).toBe(500);
});

describe('the file of the pins', () => {
  test('of a disk that takes nothing is told once, and nobody is pinned', () => {
    const keys = keysOf(OWNER);
    removeFolder(dir);
    expect(keys.check(WEB1, CHALLENGE, proofOf(OWNER))).toBe(false);
    expect(keys.check({ ...WEB1, name: 'web2' }, CHALLENGE, proofOf(OWNER, { ...WEB1, name: 'web2' }))).toBe(
      false,
    );
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toContain('node keys of other members');
  });

  test('that is spoilt under a running agent keeps what was read, and is told', () => {
    const keys = keysOf(OWNER);
    keys.check(WEB1, CHALLENGE, proofOf(OWNER));
    appendFileSync(file(), 'garbage\n');
    expect(keys.hasKey('web1')).toBe(true);
    expect(warnings.join()).toContain('known_nodes:2: expected NODE ENVIRONMENT IDENTITY');
  });

  test('that a power cut has spoilt does not keep an agent from starting: it votes as Serf does', () => {
    keysOf(OWNER).check(WEB1, CHALLENGE, proofOf(OWNER));
    appendFileSync(file(), 'web2 clus\n');
    const keys = keysOf(OWNER);
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toContain('known_nodes:2: expected NODE ENVIRONMENT IDENTITY. Look at it');
    expect(keys.hasKey('web1')).toBe(false);
    expect(keys.check(WEB1, CHALLENGE, proofOf(OWNER))).toBe(false);
    // Nothing could be done with it, and each proof costs the others a signature.
    expect(keys.wants(WEB1)).toBe(false);
    keys.refused('web1', { host: '10.0.0.1', port: PORT });
    expect(keys.prove(WEB1, CHALLENGE)).toHaveLength(128);
  });

  test('does not grow without bound, however many members somebody invents', () => {
    const line = (i: number): string =>
      `m${i} cluster ${Buffer.from(OWNER.identity).toString('base64')} 2026-11-27T00:00:00Z\n`;
    writeFileSync(file(), Array.from({ length: 16_384 }, (_, i) => line(i)).join(''), { mode: 0o600 });
    const before = readFileSync(file(), 'utf8');
    const keys = keysOf(OWNER);
    expect(keys.check(WEB1, CHALLENGE, proofOf(OWNER))).toBe(false);
    expect(readFileSync(file(), 'utf8')).toBe(before);
    expect(warnings.join()).toContain('no more are remembered');
  });
});

describe('a vote', () => {
  /** A voter that has met the owner of "web1", and somebody with a key who asks for that name from an address. */
  function vote(nodeKey: NodeKey | undefined, index: number): Solo {
    const voter = new Solo(0, { proofs: keysOf(nodeKeyOfSeed(new Uint8Array(32).fill(3))) });
    const proofs = nodeKey === undefined ? {} : { proofs: keysOf(nodeKey) };
    const claimant = new Solo(0, { name: 'web1', addr: addrOf(index), ...proofs });
    const payload = utf8('web1');
    const { addr, port } = { addr: addrOf(index), port: PORT };
    voter.hear(encodeQuery(queryOf({ name: CONFLICT_QUERY, payload, addr, port, sourceNode: 'web1' })));
    pass(voter, claimant, `10.0.0.${index}`);
    pass(claimant, voter, '10.0.0.0');
    return voter;
  }

  function pass(from: Solo, to: Solo, host: string): void {
    for (const output of from.serf.drain()) {
      if (output.kind !== 'datagram') continue;
      expect(output.to).toEqual({ host, port: PORT });
      to.serf.memberlist.receivedPacket(to.now, { host: '10.0.0.77', port: PORT }, output.bytes);
    }
  }

  const answers = (solo: Solo) => solo.sent().map(({ message }) => message);
  const votes = (solo: Solo): unknown[] =>
    answers(solo).map((message) =>
      message.kind === 'queryResponse' ? Buffer.from(message.payload ?? []) : 0,
    );

  beforeEach(() => {
    expect(keysOf(IMPOSTOR).check(WEB1, CHALLENGE, proofOf(OWNER))).toBe(true);
  });

  test('is for the owner, also from an address where nobody has seen it', () => {
    const voter = vote(OWNER, 9);
    const [payload] = votes(voter);
    expect(payload).toBeInstanceOf(Buffer);
    // The address of who asked stands in the answer: that is what is counted.
    expect((payload as Buffer).includes(Buffer.from(addrOf(9)))).toBe(true);
    expect(voter.events()).toContainEqual(expect.objectContaining({ kind: 'internal-query' }));
  });

  test.each([
    ['another key', IMPOSTOR],
    ['no key at all, as a real Serf agent', undefined],
  ])('is against who has %s, also at the address where the owner was last seen', (_who, nodeKey) => {
    const voter = vote(nodeKey, 1);
    expect(votes(voter)).toEqual([]);
    const at = { host: '10.0.0.1', port: PORT };
    let said: unknown[] = [];
    let answered: unknown[] = [];
    while (said.length === 0) {
      voter.wake();
      expect(voter.now, 'two timeouts of a ping').toBeLessThanOrEqual(1000);
      answered = votes(voter);
      said = voter.events().filter(({ kind }) => kind === 'unproven-name');
    }
    expect(said).toEqual([{ kind: 'unproven-name', name: 'web1', at }]);
    expect(answered).toEqual([Buffer.from('06c0', 'hex')]);
  });

  test('costs a voter few looks at proofs, however many come, and none that somebody else sends', () => {
    const looked: Uint8Array[] = [];
    const check = (_claim: Claim, _challenge: Uint8Array, proof: Uint8Array): boolean => {
      looked.push(proof);
      return proof.length === 128;
    };
    const proofs = { prove: () => undefined, wants: () => false, hasKey: () => true, check };
    const voter = new Solo(0, { proofs });
    const query = { name: CONFLICT_QUERY, payload: utf8('web1'), addr: addrOf(9) };
    const seqNos = [1, 2].map((id) => {
      voter.hear(encodeQuery(queryOf({ ...query, id })));
      const [ping] = sentOf(voter.serf.drain()).flatMap(({ messages }) => messages);
      return ping?.kind === 'ping' ? ping.seqNo : 0;
    });
    const [seqNo = 0, other = 0] = seqNos;
    for (let guess = 0; guess <= 1000; guess++) {
      for (const near of [guess, other + 1 + guess])
        voter.packet(encodeAck({ seqNo: near >>> 0, payload: null, proof: new Uint8Array(127) }));
    }
    expect(looked).toHaveLength(0);
    for (let i = 0; i < 400; i++)
      voter.packet(encodeAck({ seqNo, payload: null, proof: new Uint8Array(127) }));
    expect(looked).toHaveLength(6);
    // Who has spoilt its own question has not spoilt that of another.
    voter.packet(encodeAck({ seqNo: other, payload: null, proof: new Uint8Array(128) }));
    expect(looked).toHaveLength(7);
    expect(votes(voter)).toHaveLength(1);
  });

  test('does not make a voter ping for whoever asks without end', () => {
    const voter = new Solo(0, { proofs: keysOf(OWNER) });
    const payload = utf8('web1');
    for (let id = 1; id <= 100; id++)
      voter.hear(encodeQuery(queryOf({ name: CONFLICT_QUERY, payload, ltime: 1, id, addr: addrOf(66) })));
    const pings = voter.serf.drain().filter((output) => output.kind === 'datagram');
    expect(pings).toHaveLength(16);
    expect(voter.serf.memberlist.counters.get('challenge-overload')).toBe(84);
  });
});
