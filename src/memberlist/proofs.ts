import { earliest, type Millis, NEVER } from '../lib/time.ts';
import type { Ack } from './messages.ts';

/** Random bytes that make a proof good for one question. */
export const CHALLENGE_BYTES = 16;

/** Who somebody says to be, and where. */
export interface Claim {
  readonly name: string;
  readonly addr: Uint8Array;
  readonly port: number;
}

/**
 * Proofs of who a member is, which memberlist does not have: our pings may carry a challenge, and the ack of who knows of it
 * the proof. Real members pass over both.
 */
export interface PeerProofs {
  /** The proof that we are `self`, for somebody's challenge; undefined when there are too many to answer. */
  prove(self: Claim, challenge: Uint8Array): Uint8Array | undefined;
  /** Whether the next probe of a member is to ask for its proof. */
  wants(claim: Claim): boolean;
  /** Whether the claim is proven, by the key that has this name for us; a name without one gets the key of the proof. */
  check(claim: Claim, challenge: Uint8Array, proof: Uint8Array): boolean;
  /** Whether a name has a key for us. */
  hasKey(name: string): boolean;
}

interface Challenge {
  readonly claim: Claim;
  readonly bytes: Uint8Array;
  readonly done: (isProven: boolean) => void;
  readonly deadline: Millis;
  /** When it is sent again. */
  sendAt: Millis;
  wrongProofs: number;
}

/** A datagram may be lost, and an answer too. */
const TRIES = 3;
/** Whoever asks for more at a time gets no answer: they must not make us an amplifier. */
const OPEN_MAX = 16;
/**
 * Proofs that are looked at in vain, for one challenge: an honest member with another key sends one a try. Each costs a
 * signature, and a packet of a few kilobytes unpacks to hundreds.
 */
const WRONG_PROOFS_MAX = 2 * TRIES;

export interface ChallengesParts {
  readonly proofs: PeerProofs;
  /** Sends a ping with a challenge to where somebody claims to be. */
  readonly send: (seqNo: number, claim: Claim, challenge: Uint8Array) => void;
  readonly seqNo: () => number;
  readonly random: (length: number) => Uint8Array;
  /** How long a ping may take. */
  readonly timeoutMs: Millis;
}

/** Challenges outside of the probing: somebody claims a name, perhaps from where nobody with that name was seen. */
export class Challenges {
  private readonly parts: ChallengesParts;
  private readonly open = new Map<number, Challenge>();

  constructor(parts: ChallengesParts) {
    this.parts = parts;
  }

  /** Asks; `done` is called once, after two timeouts of a ping at most. False when too many are open: then it never is. */
  begin(now: Millis, claim: Claim, done: Challenge['done']): boolean {
    if (this.open.size >= OPEN_MAX) return false;
    const { random, seqNo, timeoutMs } = this.parts;
    const deadline = now + 2 * timeoutMs;
    const bytes = random(CHALLENGE_BYTES);
    this.open.set(seqNo(), { claim, bytes, done, deadline, sendAt: now, wrongProofs: 0 });
    this.tick(now);
    return true;
  }

  /** Whether the ack was for one of these. What proves nothing settles nothing: a better one may be on its way. */
  ack({ seqNo, proof }: Ack): boolean {
    const challenge = this.open.get(seqNo);
    if (challenge === undefined) return false;
    const { claim, bytes, done } = challenge;
    if (proof === undefined || challenge.wrongProofs >= WRONG_PROOFS_MAX) return true;
    if (this.parts.proofs.check(claim, bytes, proof)) {
      this.open.delete(seqNo);
      done(true);
    } else challenge.wrongProofs++;
    return true;
  }

  tick(now: Millis): void {
    for (const [seqNo, challenge] of this.open) {
      const { claim, bytes, deadline } = challenge;
      if (now >= deadline) {
        this.open.delete(seqNo);
        challenge.done(false);
      } else if (now >= challenge.sendAt) {
        challenge.sendAt = now + (2 * this.parts.timeoutMs) / TRIES;
        this.parts.send(seqNo, claim, bytes);
      }
    }
  }

  nextWake(): Millis {
    let next = NEVER;
    for (const { sendAt, deadline } of this.open.values()) next = earliest(next, sendAt, deadline);
    return next;
  }
}
