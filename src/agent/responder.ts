import type { Socket } from 'node:net';
import { EMPTY, toHex } from '../lib/bytes.ts';
import { DecodeError } from '../lib/errors.ts';
import { ipText } from '../lib/net-address.ts';
import type { Millis } from '../lib/time.ts';
import { socketStream } from '../net/socket-stream.ts';
import type { Offers } from '../runtime/command-source.ts';
import type { AnsweredAdmission, Gate } from '../runtime/gate.ts';
import type { Abilities } from '../runtime/ground.ts';
import { Job, type JobContext, type LastWord } from '../runtime/job.ts';
import { RateLimiter } from '../runtime/rate-limiter.ts';
import {
  confirmVerdict,
  type Machine,
  type RunVerdict,
  type Verdict,
  verdictFor,
} from '../runtime/verdict.ts';
import type { Engine } from './engine.ts';
import { type EnvelopeReference, readEnvelope, referenceIn } from './envelope-carrier.ts';
import type { Log } from './log.ts';
import { streamEndpointOf } from './stream-endpoint.ts';

const DIAL_TIMEOUT_MS: Millis = 3000;
/** How long an answer waits for the asker to come for it, when the asker could not be dialled. */
const COLLECT_WAIT_MS: Millis = 30_000;
/** Envelopes being fetched and answers waiting, each: what comes on top is dropped. */
const PENDING_MAX = 256;
/** Of those fetches, from one address: one member that lets us wait must not keep us from the others. */
const FETCHES_PER_HOST_MAX = 32;
/** Commands that run or are held back. Those that are held take no place of their rule, and each has a stream open. */
const JOBS_MAX = 1024;
const TOO_MANY_JOBS: Verdict = {
  kind: 'denied',
  code: 'concurrency',
  rule: '',
  reason: `this node has ${JOBS_MAX} commands already, running or held back; try again`,
};

interface Waiting {
  readonly admission: AnsweredAdmission;
  readonly verdict: Verdict;
  readonly timer: NodeJS.Timeout;
}

/** The node's side of runs in its agent: from a query with an envelope to a job that answers it. */
export class Responder {
  private readonly engine: Engine;
  private readonly gate: Gate;
  private readonly abilities: () => Abilities;
  private readonly suspectSince: Machine['suspectSince'];
  private readonly rates = new RateLimiter(() => performance.now());
  private readonly hidePaths: readonly string[];
  private readonly offers: (admission: AnsweredAdmission) => Offers;
  private readonly context: JobContext;
  private readonly log: Log;
  private readonly waiting = new Map<string, Waiting>();
  private readonly jobs = new Set<Job>();
  private readonly running = new Map<string, number>();
  private fetching = 0;
  private readonly fetchingFrom = new Map<string, number>();

  constructor(parts: {
    engine: Engine;
    gate: Gate;
    abilities: () => Abilities;
    suspectSince: Machine['suspectSince'];
    hidePaths: readonly string[];
    offers: (admission: AnsweredAdmission) => Offers;
    context: JobContext;
    log: Log;
  }) {
    this.engine = parts.engine;
    this.gate = parts.gate;
    this.abilities = parts.abilities;
    this.suspectSince = parts.suspectSince;
    this.hidePaths = parts.hidePaths;
    this.offers = parts.offers;
    this.context = parts.context;
    this.log = parts.log;
  }

  /** A query named fanout arrived, by the address `from`; '' where nobody says by which. */
  async query(payload: Uint8Array, from: string): Promise<void> {
    try {
      const reference = referenceIn(payload);
      this.envelope(reference === undefined ? payload : await this.fetch(reference), from);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      this.ignore(error.reason);
    }
  }

  /** The asker came for an answer that we could not bring. */
  collect(run: Uint8Array, socket: Socket, rest: Uint8Array): void {
    const id = toHex(run);
    const waiting = this.waiting.get(id);
    if (waiting === undefined) return void socket.destroy();
    this.waiting.delete(id);
    clearTimeout(waiting.timer);
    this.begin(waiting.admission, waiting.verdict, socket, rest);
  }

  /** Kills everything that runs and waits until it is gone. */
  async stop(): Promise<void> {
    for (const { timer } of this.waiting.values()) clearTimeout(timer);
    this.waiting.clear();
    for (const job of this.jobs) job.abort();
    await Promise.all([...this.jobs].map((job) => job.done));
  }

  private envelope(bytes: Uint8Array, from: string): void {
    const admission = this.gate.admit(bytes, from);
    if (admission.kind === 'ignored') return this.ignore(admission.reason);
    const isFull = this.jobs.size + this.waiting.size >= JOBS_MAX;
    const verdict = isFull ? TOO_MANY_JOBS : this.verdict(admission);
    const { argv, id } = admission.envelope.body;
    const outcome =
      verdict.kind === 'run' ? `allowed by rule "${verdict.rule}"` : `${verdict.kind}: ${verdict.reason}`;
    this.log.info(`run ${toHex(id).slice(0, 8)}: ${admission.operator}: ${JSON.stringify(argv)}: ${outcome}`);
    void this.dial(admission, verdict);
  }

  private verdict(admission: AnsweredAdmission): Verdict {
    return verdictFor(admission, {
      ...this.abilities(),
      running: (rule) => this.running.get(rule) ?? 0,
      waitMs: (rule, rate) => this.rates.waitMs(rule, rate),
      suspectSince: this.suspectSince,
      hidePaths: this.hidePaths,
      offers: this.offers,
    });
  }

  private async dial(admission: AnsweredAdmission, verdict: Verdict): Promise<void> {
    const { id, replyHost, replyPort } = admission.envelope.body;
    const to = { host: ipText(replyHost) ?? '', port: replyPort };
    const purpose = { op: 'answer', run: id, node: this.context.nodeName } as const;
    const socket = await this.engine.openStream(to, purpose, DIAL_TIMEOUT_MS).catch(() => undefined);
    if (socket === undefined) return this.await(admission, verdict);
    this.begin(admission, verdict, socket, EMPTY);
  }

  private await(admission: AnsweredAdmission, verdict: Verdict): void {
    const id = toHex(admission.envelope.body.id);
    if (this.waiting.size >= PENDING_MAX) return;
    const timer = setTimeout(() => {
      this.waiting.delete(id);
      this.log.warn(`run ${id.slice(0, 8)}: the asker could not be reached and did not come for the answer`);
    }, COLLECT_WAIT_MS);
    this.waiting.set(id, { admission, verdict, timer });
  }

  private begin(admission: AnsweredAdmission, verdict: Verdict, socket: Socket, rest: Uint8Array): void {
    // Only what runs takes a place of its rule: what waits for its turn does not keep others out.
    let taken: string | undefined;
    // A command can wait for a minute without a word of its asker: so this is asked for every one, held or not.
    const lastWord = (accepted: RunVerdict): LastWord => {
      const now = admission.kind === 'admitted' ? this.gate.reconsider(admission) : admission;
      const verdict = confirmVerdict(accepted, this.verdict(now));
      if (verdict.kind === 'run') {
        taken = verdict.rule;
        this.count(taken, 1);
        this.rates.take(taken, verdict.rate);
      }
      return { admission: now, verdict };
    };
    const job = new Job(admission, verdict, socketStream(socket, rest), this.context, lastWord);
    this.jobs.add(job);
    void job.done.then(() => {
      this.jobs.delete(job);
      if (taken !== undefined) this.count(taken, -1);
    });
  }

  private count(rule: string, delta: number): void {
    const count = (this.running.get(rule) ?? 0) + delta;
    if (count === 0) this.running.delete(rule);
    else this.running.set(rule, count);
  }

  private async fetch(reference: EnvelopeReference): Promise<Uint8Array> {
    // Only members are asked for envelopes: a forged query must not make this node dial strangers.
    const source = this.engine.members.get(reference.from);
    if (source === undefined) throw new DecodeError('envelope-fetch-stranger');
    const from = streamEndpointOf(source);
    const busy = this.fetchingFrom.get(from.host) ?? 0;
    if (this.fetching >= PENDING_MAX || busy >= FETCHES_PER_HOST_MAX) {
      throw new DecodeError('envelope-fetch-overload');
    }
    this.fetching++;
    this.fetchingFrom.set(from.host, busy + 1);
    try {
      const purpose = { op: 'fetch', hash: reference.hash } as const;
      const socket = await this.engine.openStream(from, purpose, DIAL_TIMEOUT_MS).catch(() => undefined);
      if (socket === undefined) throw new DecodeError('envelope-fetch-failed');
      return await readEnvelope(socket, reference);
    } finally {
      this.fetching--;
      const left = (this.fetchingFrom.get(from.host) ?? 1) - 1;
      if (left === 0) this.fetchingFrom.delete(from.host);
      else this.fetchingFrom.set(from.host, left);
    }
  }

  private ignore(reason: string): void {
    this.engine.count(`fanout-${reason}`);
    this.log.debug(`ignored a fanout query: ${reason}`);
  }
}
