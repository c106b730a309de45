import {
  type CommandBody,
  decodeEnvelope,
  type SignedEnvelope,
  verifyApproval,
  verifyEnvelope,
} from '../identity/envelope.ts';
import type { ReplayCache } from '../identity/replay-cache.ts';
import { fingerprint } from '../identity/ssh-key.ts';
import { toHex } from '../lib/bytes.ts';
import { DecodeError, FanoutError } from '../lib/errors.ts';
import { checkArgv } from '../policy/command-string.ts';
import { type Decision, decide } from '../policy/decide.ts';
import { operatorByKeyId } from '../policy/operators.ts';
import type { Policy } from '../policy/policy.ts';
import { matchesSelector, type Selector, selectorText } from '../policy/selector.ts';
import { parseSelector } from '../policy/selector-parser.ts';

/** How long a command that came out of its time is remembered, so that it is answered once and not at each replay. */
const LATE_REMEMBERED_MS = 10 * 60_000;
/** Looking through the remembered commands costs a millisecond when they are many. */
const SWEEP_INTERVAL_MS = 1000;

/** Signature checks in one second. An honest cluster needs a handful; a forger must not get the processor. */
const VERIFICATIONS_PER_SECOND_MAX = 1000;
/** Bad signatures in one second that came by one address: one forger must not use up what is there for all. */
const FORGERIES_PER_HOST_MAX = 250;

export interface GateContext {
  readonly nodeName: string;
  readonly policy: () => Policy | undefined;
  readonly tags: () => ReadonlyMap<string, string>;
  readonly replay: ReplayCache;
  readonly unixMs: () => number;
  /** The time of the newest audit record. A clock that is behind it cannot tell old commands from new ones. */
  readonly lastRecordUnixMs: () => number;
}

/**
 * What a node makes of an envelope. `ignored` is counted, logged and left unanswered: nobody proved to be an operator.
 * `refused` and `admitted` are answers to a command that an operator of this policy has signed.
 */
export type Admission =
  | { readonly kind: 'ignored'; readonly reason: string }
  | (Signed & {
      readonly kind: 'refused';
      readonly code: string;
      readonly rule: string;
      readonly reason: string;
    })
  | (Signed & {
      readonly kind: 'admitted';
      readonly decision: Extract<Decision, { effect: 'allow' }>;
    });

/** A command whose signature held. */
interface Signed {
  readonly envelope: SignedEnvelope;
  readonly operator: string;
  /** Fingerprint of the key that signed, as `ssh-keygen -l` prints it. */
  readonly key: string;
  /** Of the policy that decided. */
  readonly policyHash: string;
}

/** What an operator hears about. */
export type AnsweredAdmission = Exclude<Admission, { kind: 'ignored' }>;

/** Checks an envelope, cheap before dear, and lets the policy decide about its command. Never throws for what came in. */
export class Gate {
  private readonly context: GateContext;
  private window = { since: 0, count: 0, forgeries: new Map<string, number>() };
  private sweptAt = 0;
  /** The latest moment at which commands were judged, and so the one by which some may have been forgotten. */
  private latestMs = 0;

  constructor(context: GateContext) {
    this.context = context;
  }

  /** `from` is the address that handed it to us, which may be an honest member that passes on what it was told. */
  admit(bytes: Uint8Array, from = ''): Admission {
    const policy = this.context.policy();
    if (policy === undefined) return ignored('no-policy');
    let envelope: SignedEnvelope;
    try {
      envelope = decodeEnvelope(bytes);
    } catch (error) {
      if (error instanceof DecodeError) return ignored(`envelope-${error.reason}`);
      throw error;
    }
    const { body } = envelope;
    if (body.cluster !== policy.cluster) return ignored('other-cluster');
    if (body.environment !== policy.environment) return ignored('other-environment');
    const self = { name: this.context.nodeName, tags: this.context.tags() };
    const selector = readSelector(body.selector);
    if (selector === undefined) return ignored('selector');
    if (!matchesSelector(selector, self)) return ignored('not-selected');
    const signer = operatorByKeyId(policy, body.keyId);
    if (signer === undefined) return ignored('unknown-operator');
    const id = toHex(body.id);
    if (this.context.replay.seen(id)) return ignored('replayed');
    if (this.isFlooded(from)) return ignored('too-many-signatures');
    if (!verifyEnvelope(envelope, signer.key)) {
      const { forgeries } = this.window;
      forgeries.set(from, (forgeries.get(from) ?? 0) + 1);
      return ignored('bad-signature');
    }
    return this.judge(policy, signedBy(policy, envelope, signer), id);
  }

  /** From here on the sender is a known operator, who gets an answer. */
  private judge(policy: Policy, signed: Signed, id: string): Admission {
    const { body } = signed.envelope;
    const unixMs = this.context.unixMs();
    const approvers = approversOf(policy, signed.envelope);
    const late = timeProblem(body, approvers, policy, unixMs);
    const refused = (code: string, rule: string, reason: string): Admission => ({
      kind: 'refused',
      ...signed,
      code,
      rule,
      reason,
    });
    const { replay } = this.context;
    this.latestMs = Math.max(this.latestMs, unixMs);
    this.sweep(unixMs);
    if (replay.full) return refused('replay-cache-full', '', 'too many commands at once on this node');
    // An id counts as seen only now that the signature held, so that a forger cannot burn it.
    const validUntil = (body.issuedAt + body.ttlSeconds + policy.clockSkewSeconds) * 1000;
    replay.remember(id, late === undefined ? validUntil : Math.max(validUntil, unixMs + LATE_REMEMBERED_MS));
    if (late !== undefined) return refused('time-window', '', late);
    if (approvers === undefined) {
      return refused('approvals', '', 'an approval does not hold: it is not over this command');
    }
    const behindMs = Math.max(this.context.lastRecordUnixMs(), this.latestMs) - unixMs;
    if (behindMs > policy.clockSkewSeconds * 1000) {
      const seconds = Math.round(behindMs / 1000);
      return refused(
        'clock',
        '',
        `the clock of this node is ${seconds} s behind what it was before: set it right`,
      );
    }
    const unfit = checkArgv(body.argv);
    if (unfit !== undefined) return refused('argv', '', unfit);
    return this.decide(policy, signed, approvers);
  }

  private decide(policy: Policy, signed: Signed, approvers: readonly string[]): AnsweredAdmission {
    const { operator } = signed;
    const { argv, explainAs } = signed.envelope.body;
    const isForOther = explainAs.length > 0;
    const decision = decide(policy, {
      operator: isForOther ? operatorByKeyId(policy, explainAs)?.name : operator,
      approvers: isForOther ? [operator, ...approvers] : approvers,
      node: this.context.nodeName,
      tags: this.context.tags(),
      argv,
      unixMs: this.context.unixMs(),
    });
    if (decision.effect === 'allow') return { kind: 'admitted', ...signed, decision };
    const { code, rule = '', why, reason } = decision;
    // What is missing is what has to be known here; why the rule exists is not.
    const said = code === 'approvals' ? reason : (why ?? reason);
    return { kind: 'refused', ...signed, code, rule, reason: said };
  }

  /**
   * Decides again about a command that was admitted earlier, by the policy, the tags and the clock of now. Its signature
   * and its time were right when it came, and it came once.
   */
  reconsider(admission: Extract<Admission, { kind: 'admitted' }>): AnsweredAdmission {
    const { envelope, operator, key } = admission;
    const policy = this.context.policy();
    const signed: Signed = { envelope, operator, key, policyHash: policy?.hash ?? '' };
    const refused = (code: string, rule: string, reason: string) =>
      ({ kind: 'refused', ...signed, code, rule, reason }) as const;
    const { body } = envelope;
    const signer = policy === undefined ? undefined : operatorByKeyId(policy, body.keyId);
    const isSame = policy?.environment === body.environment && policy.cluster === body.cluster;
    if (policy === undefined || !isSame || signer?.name !== operator) {
      return refused('changed', '', 'the policy of this node has changed while the command waited');
    }
    const tags = this.context.tags();
    const selector = readSelector(body.selector);
    if (selector === undefined || !matchesSelector(selector, { name: this.context.nodeName, tags })) {
      return refused('changed', '', 'the tags of this node have changed while the command waited');
    }
    // Who has left the policy since approves nothing any more.
    return this.decide(policy, signed, approversOf(policy, envelope) ?? []);
  }

  private sweep(unixMs: number): void {
    if (Math.abs(unixMs - this.sweptAt) < SWEEP_INTERVAL_MS) return;
    this.sweptAt = unixMs;
    this.context.replay.sweep(unixMs);
  }

  private isFlooded(from: string): boolean {
    const unixMs = this.context.unixMs();
    if (Math.abs(unixMs - this.window.since) >= 1000) {
      this.window = { since: unixMs, count: 0, forgeries: new Map() };
    }
    if ((this.window.forgeries.get(from) ?? 0) >= FORGERIES_PER_HOST_MAX) return true;
    return ++this.window.count > VERIFICATIONS_PER_SECOND_MAX;
  }
}

function signedBy(
  policy: Policy,
  envelope: SignedEnvelope,
  { name, key }: { readonly name: string; readonly key: Uint8Array },
): Signed {
  return { envelope, operator: name, key: fingerprint(key), policyHash: policy.hash };
}

/** Undefined for what is no selector, or is not written as our own side writes it: one meaning, one text. */
function readSelector(text: string): Selector | undefined {
  try {
    const selector = parseSelector(text);
    return selectorText(selector) === text ? selector : undefined;
  } catch (error) {
    if (error instanceof FanoutError) return undefined;
    throw error;
  }
}

function ignored(reason: string): Admission {
  return { kind: 'ignored', reason };
}

/**
 * Those of this policy who approved the command. A key that the policy does not know counts for nothing; undefined when a
 * known one is there whose signature does not hold: then somebody plays with it.
 */
function approversOf(policy: Policy, envelope: SignedEnvelope): readonly string[] | undefined {
  const names: string[] = [];
  for (const approval of envelope.approvals) {
    const approver = operatorByKeyId(policy, approval.keyId);
    if (approver === undefined) continue;
    if (!verifyApproval(envelope, approval, approver.key)) return undefined;
    names.push(approver.name);
  }
  return names;
}

/** Why the moment is wrong for a command signed then, or undefined when it is right. */
function timeProblem(
  { issuedAt, ttlSeconds }: CommandBody,
  approvers: readonly string[] | undefined,
  policy: Policy,
  unixMs: number,
): string | undefined {
  const isApproved = approvers !== undefined && approvers.length > 0;
  const ttlMax = isApproved ? policy.maxTtlApprovedSeconds : policy.maxTtlSeconds;
  const ageSeconds = unixMs / 1000 - issuedAt;
  const skew = policy.clockSkewSeconds;
  const clocks = 'compare the clocks of both machines (timedatectl)';
  if (ttlSeconds > ttlMax) {
    return `the command is valid for ${ttlSeconds} s, the policy allows ${ttlMax} s at most`;
  }
  if (ageSeconds < -skew) {
    return `the command was signed ${Math.round(-ageSeconds)} s in the future, ${skew} s are tolerated: ${clocks}`;
  }
  if (ageSeconds > ttlSeconds + skew) {
    return `the command was signed ${Math.round(ageSeconds)} s ago and was valid for ${ttlSeconds} s: ${clocks}`;
  }
  return undefined;
}
