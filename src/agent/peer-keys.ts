import { join } from 'node:path';
import { verifyEd25519 } from '../identity/ed25519.ts';
import { KnownNodes } from '../identity/known-nodes.ts';
import { IDENTITY_BYTES, type NodeKey } from '../identity/node-key.ts';
import { quote } from '../identity/owned-file.ts';
import { NAMESPACES, sshsigPreimage } from '../identity/sshsig.ts';
import { concatBytes } from '../lib/bytes.ts';
import { errnoOf, FanoutError } from '../lib/errors.ts';
import { encodeRpc } from '../lib/msgpack.ts';
import { type Endpoint, formatEndpoint } from '../lib/net-address.ts';
import type { Millis } from '../lib/time.ts';
import { endpointOf } from '../memberlist/node-table.ts';
import type { Claim, PeerProofs } from '../memberlist/proofs.ts';
import { RateLimiter } from '../runtime/rate-limiter.ts';
import type { Log } from './log.ts';

/** The file of an agent's pins, in its data folder. */
const PEER_KEYS_FILE = 'known_nodes';

/** An agent is in one cluster, whatever the environments of its policies are called. */
const CLUSTER = 'cluster';

/** Names with a key: more than clusters have members, and a hostile member that invents some fills no disk. */
const PINS_MAX = 16_384;

/**
 * A signature costs a fifth of a millisecond: a flood of challenges must not take more than a tenth of a processor. The
 * bucket is big enough for all members of a large cluster to ask at once, as they do in a vote.
 */
const PROOFS = { rule: 'proofs', rate: { count: 1000, perMs: 2000 } } as const;

const SIGNATURE_BYTES = 64;

/**
 * The node keys of the other members, pinned at first sight in a file of their own, and the proof of our own. A proof is
 * 128 bytes: identity (64) and the node key's signature over it, the challenge, the name and the address, so that it is good for
 * nobody who passes the challenge on.
 */
export class PeerKeys implements PeerProofs {
  private readonly nodeKey: NodeKey;
  /** Undefined when its file is broken: then nobody has a key for us until the next start. */
  private readonly known: KnownNodes | undefined;
  private readonly log: Log;
  private readonly rate: RateLimiter;
  /** Where each member was when it last gave its proof to this agent. */
  private readonly proven = new Map<string, string>();
  /** What was warned of already: somebody who changes its key each second gets one line. Names that have a key, twice at most. */
  private readonly warned = new Set<string>();

  constructor(parts: {
    readonly nodeKey: NodeKey;
    readonly dataDir: string;
    readonly log: Log;
    readonly now: () => Millis;
  }) {
    const { nodeKey, dataDir, log, now } = parts;
    this.nodeKey = nodeKey;
    this.log = log;
    const path = join(dataDir, PEER_KEYS_FILE);
    this.known = this.unlessBroken(() => KnownNodes.load(path, ` --data-dir ${quote(dataDir)}`));
    this.rate = new RateLimiter(now);
  }

  prove(self: Claim, challenge: Uint8Array): Uint8Array | undefined {
    const { rule, rate } = PROOFS;
    if (this.rate.waitMs(rule, rate) > 0) return undefined;
    this.rate.take(rule, rate);
    const { identity } = this.nodeKey;
    return concatBytes(identity, this.nodeKey.sign(preimage(identity, self, challenge)));
  }

  wants(claim: Claim): boolean {
    if (this.known === undefined) return false;
    // A member whose key was forgotten is to get one again, where it is.
    return this.proven.get(claim.name) !== placeOf(claim) || !this.hasKey(claim.name);
  }

  check(claim: Claim, challenge: Uint8Array, proof: Uint8Array): boolean {
    const identity = proof.slice(0, IDENTITY_BYTES);
    const signature = proof.subarray(IDENTITY_BYTES);
    // The first half of an identity is the key that signs.
    const signer = identity.subarray(0, IDENTITY_BYTES / 2);
    if (signature.length !== SIGNATURE_BYTES) return false;
    if (!verifyEd25519(signer, preimage(identity, claim, challenge), signature)) return false;
    if (!this.isThatOf(claim.name, identity)) return false;
    this.proven.set(claim.name, placeOf(claim));
    return true;
  }

  /** A member came, or went: whoever has its name next, be it at the same address, has to prove it anew. */
  changed(name: string): void {
    this.proven.delete(name);
  }

  hasKey(name: string): boolean {
    // Read again: "fanout known-nodes forget" writes into the file.
    this.unlessBroken(() => this.known?.refresh());
    return this.known?.has(CLUSTER, name) === true;
  }

  /** Somebody asked us to vote for it under a name, and could not prove to be whom we know by it. */
  refused(name: string, at: Endpoint): void {
    const { known } = this;
    if (known === undefined) return;
    this.warnOnce(
      `refused ${name}`,
      `"${name}" at ${formatEndpoint(at)} does not prove the node key that ${known.path} has for that name: it gets ` +
        `no vote. Only if you know that the machine was set up anew, run: ${known.forgetCommand({ node: name, environment: CLUSTER })}`,
    );
  }

  /** Whether a name has this key for us; one without any has it from now on. */
  private isThatOf(name: string, identity: Uint8Array): boolean {
    const { known } = this;
    if (known === undefined) return false;
    const state = known.check(CLUSTER, name, identity);
    if (state === 'known') return true;
    if (state !== 'new') {
      this.warnOnce(`changed ${name}`, known.changeOf(CLUSTER, name, identity));
      return false;
    }
    if (known.size >= PINS_MAX) {
      this.warnOnce('full', `${known.path} has ${PINS_MAX} node keys: no more are remembered`);
      return false;
    }
    this.unlessBroken(() => known.remember(CLUSTER, name, identity));
    return known.check(CLUSTER, name, identity) === 'known';
  }

  /** A file that was spoilt, as by a power cut, or a full disk: it is told, and the agent goes on with what it knows. */
  private unlessBroken<T>(action: () => T): T | undefined {
    try {
      return action();
    } catch (error) {
      if (!(error instanceof FanoutError) && errnoOf(error) === undefined) throw error;
      const hint = error instanceof FanoutError && error.hint !== undefined ? `. ${error.hint}` : '';
      this.warnOnce('file', `the node keys of other members: ${(error as Error).message}${hint}`);
      return undefined;
    }
  }

  private warnOnce(about: string, text: string): void {
    if (this.warned.has(about)) return;
    this.warned.add(about);
    this.log.warn(text);
  }
}

/** An address as text has one form, whoever writes it down. */
function placeOf(claim: Claim): string {
  return formatEndpoint(endpointOf(claim));
}

function preimage(identity: Uint8Array, claim: Claim, challenge: Uint8Array): Uint8Array {
  return sshsigPreimage(NAMESPACES.member, encodeRpc([identity, challenge, claim.name, placeOf(claim)]));
}
