import { equalBytes } from '../lib/bytes.ts';
import { DecodeError } from '../lib/errors.ts';
import { ipText } from '../lib/net-address.ts';
import { decodeSerfMessage } from './messages.ts';

/** The internal query that asks who has a name. */
export const CONFLICT_QUERY = '_serf_conflict';

/** The answers to the question whose a name is (Serf, resolveNodeConflict). */
export class NameVote {
  private readonly claimant: { readonly addr: Uint8Array; readonly port: number };
  private readonly voters: ReadonlySet<string>;
  private readonly heard = new Set<string>();
  private ours = 0;

  /** `claimant` is who asks, `voters` the living members: others have no say. */
  constructor(claimant: NameVote['claimant'], voters: Iterable<string>) {
    this.claimant = claimant;
    this.voters = new Set(voters);
  }

  get votes(): number {
    return this.heard.size;
  }

  get matching(): number {
    return this.ours;
  }

  /** Whether the claimant keeps the name. Without any answer it does not: whoever is cut off cannot know. */
  get isWon(): boolean {
    return this.ours >= Math.floor(this.heard.size / 2) + 1;
  }

  /** One answer. What cannot be read is no vote; not to know the name is one against. */
  add(from: string, payload: Uint8Array | null): void {
    if (!this.voters.has(from) || this.heard.has(from)) return;
    try {
      const message = decodeSerfMessage(payload ?? new Uint8Array());
      if (message.kind !== 'conflictResponse') return;
      this.heard.add(from);
      const { member } = message;
      if (
        member !== null &&
        member.port === this.claimant.port &&
        sameAddress(member.addr, this.claimant.addr)
      )
        this.ours++;
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
    }
  }
}

/** An address of version 4 has two forms. */
function sameAddress(a: Uint8Array, b: Uint8Array): boolean {
  return equalBytes(a, b) || (ipText(a) !== undefined && ipText(a) === ipText(b));
}
