import type { AuditFields } from '../identity/audit.ts';
import type { NodeKey } from '../identity/node-key.ts';
import { NodeChannel, type NodeFrame } from '../identity/sealed.ts';
import { DATA_BYTES_MAX } from '../identity/sealed-frames.ts';
import type { ByteStream } from '../lib/byte-stream.ts';
import { toHex } from '../lib/bytes.ts';
import { DecodeError } from '../lib/errors.ts';
import { formatEndpoint, ipText } from '../lib/net-address.ts';
import type { Millis } from '../lib/time.ts';
import type { CommandEnd } from './command-spec.ts';
import type { AnsweredAdmission } from './gate.ts';
import type { NodeAudit } from './node-audit.ts';
import { type RunningCommand, startCommand } from './process.ts';
import type { RunVerdict, Verdict } from './verdict.ts';

/** How long a node holds an accepted command for the asker's next word. The asker may be busy with a thousand nodes. */
const GO_WAIT_MS: Millis = 60_000;
/** How long an asker can have a command kept, word by word. Whoever waits for their turn longer asks again. */
const HOLD_MS_MAX: Millis = 24 * 3_600_000;

export interface JobContext {
  readonly nodeName: string;
  readonly nodeKey: NodeKey;
  /** As `ownerOf` names this agent. */
  readonly owner: string;
  readonly audit: NodeAudit;
  readonly unixMs: () => number;
  /** Cryptographically strong random bytes. */
  readonly randomBytes: (length: number) => Uint8Array;
}

/** What a node says about a command at the moment of its start: the verdict, and who and what it rests on. */
export interface LastWord {
  readonly admission: AnsweredAdmission;
  readonly verdict: Verdict;
}

/**
 * One command on this node, from the verdict to the last frame. Nothing runs before the asker, who alone can open the
 * sealed greeting, has answered it with "go": a replayed or unwanted command ends here. When the stream ends, for
 * whatever reason, what it started is killed.
 */
export class Job {
  /** Settled when everything is over and nothing of the command is left. */
  readonly done: Promise<void>;
  private admission: AnsweredAdmission;
  private readonly verdict: Verdict;
  private readonly stream: ByteStream;
  private readonly context: JobContext;
  private readonly channel: NodeChannel;
  private command: RunningCommand | undefined;
  private started = false;
  private over = false;
  private finish: () => void = () => {};
  private goTimer: NodeJS.Timeout | undefined;
  private readonly lastWord: (accepted: RunVerdict) => LastWord;
  private readonly heldUntil: Millis = performance.now() + HOLD_MS_MAX;
  /** What the asker allows it, when that was moved. */
  private askedMs: Millis | undefined;
  private limitMs: Millis = 0;

  /**
   * `lastWord` is asked for at "go": what was accepted long ago may not be allowed any more, and others may have taken the
   * places of its rule.
   */
  constructor(
    admission: AnsweredAdmission,
    verdict: Verdict,
    stream: ByteStream,
    context: JobContext,
    lastWord: (accepted: RunVerdict) => LastWord,
  ) {
    this.admission = admission;
    this.lastWord = lastWord;
    this.verdict = verdict;
    this.stream = stream;
    this.context = context;
    const { id, replyKey } = admission.envelope.body;
    this.channel = new NodeChannel({
      nodeName: context.nodeName,
      nodeKey: context.nodeKey,
      requestId: id,
      replyKey,
      secret: context.randomBytes(32),
      nonce: context.randomBytes(24),
      unixSeconds: Math.floor(context.unixMs() / 1000),
    });
    this.done = new Promise((resolve) => {
      this.finish = resolve;
    });
    this.begin();
  }

  /** Ends the job from the node's side, when the agent stops. */
  abort(): void {
    this.command?.kill('cancelled');
    if (this.command === undefined) this.close();
  }

  private begin(): void {
    const { stream, verdict } = this;
    stream.onClose(() => this.streamClosed());
    stream.onDrain(() => this.command?.resume());
    stream.write(this.channel.hello);
    if (verdict.kind !== 'run') return this.refuse(verdict);
    const { spec, rule, readOnly } = verdict;
    const { path: program, sandbox, timeoutMs, outputBytesMax } = spec;
    this.send({ kind: 'accepted', rule, program, sandbox, timeoutMs, outputBytesMax, readOnly });
    if (this.admission.envelope.body.explainOnly) return this.close();
    this.waitForWord();
    stream.onData((chunk) => this.received(chunk));
  }

  private refuse(verdict: Exclude<Verdict, RunVerdict>): void {
    if (verdict.kind === 'denied') {
      const { code, rule, reason } = verdict;
      this.refusal(code, { event: 'denied', code, rule, reason });
      this.send({ kind: 'denied', code, rule, reason });
    } else {
      const { reason, hint } = verdict;
      this.refusal('failed', { event: 'failed', reason });
      this.send({ kind: 'failed', reason, hint });
    }
    this.close();
  }

  private waitForWord(): void {
    clearTimeout(this.goTimer);
    const leftMs = Math.min(GO_WAIT_MS, this.heldUntil - performance.now());
    this.goTimer = setTimeout(() => {
      const reason = 'its asker did not say in time that it should start; nothing was run';
      this.send({ kind: 'failed', reason, hint: '' });
      this.close();
    }, leftMs);
  }

  private received(chunk: Uint8Array): void {
    if (this.over) return;
    try {
      for (const frame of this.channel.receive(chunk)) {
        if (this.over) return;
        if (frame.kind === 'cancel') this.cancel();
        else if (frame.kind === 'hold') this.waitForWord();
        else if (frame.kind === 'deadline') this.moveDeadline(frame.timeoutMs);
        else this.go();
      }
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      // Whoever is there is not the asker.
      this.stream.destroy();
    }
  }

  /** Never above the policy's limit; counted from the start of the command. */
  private moveDeadline(timeoutMs: Millis): void {
    this.askedMs = timeoutMs;
    this.command?.limitTo(Math.min(timeoutMs, this.limitMs));
  }

  private go(): void {
    const { verdict: accepted } = this;
    if (this.started || accepted.kind !== 'run') return;
    this.started = true;
    clearTimeout(this.goTimer);
    const { verdict, admission } = this.lastWord(accepted);
    this.admission = admission;
    if (verdict.kind !== 'run') return this.refuse(verdict);
    this.limitMs = verdict.limitMs;
    const asked = this.askedMs ?? verdict.spec.timeoutMs;
    const { owner } = this.context;
    const spec = { ...verdict.spec, owner, timeoutMs: Math.min(asked, verdict.limitMs) };
    if (!this.context.audit.permit(this.recordOf(startFields(verdict)))) {
      this.send({
        kind: 'failed',
        reason: 'its audit log cannot be written, and what cannot be recorded is not run',
        hint: "The node's log tells why.",
      });
      return this.close();
    }
    this.command = startCommand(spec, (stream, chunk) => {
      for (let at = 0; at < chunk.length; at += DATA_BYTES_MAX) {
        const data = chunk.subarray(at, at + DATA_BYTES_MAX);
        if (!this.send({ kind: stream, data })) this.command?.pause();
      }
    });
    this.command.ended.then(
      (end) => this.ended(end),
      (error: unknown) => this.ended({ kind: 'failed', reason: String(error), hint: '' }),
    );
  }

  private cancel(): void {
    if (this.command !== undefined) return this.command.kill('cancelled');
    this.close();
  }

  private ended(end: CommandEnd): void {
    const { audit } = this.context;
    if (end.kind === 'failed') {
      audit.note(this.recordOf({ event: 'failed', reason: end.reason }));
      this.send({ kind: 'failed', reason: end.reason, hint: end.hint });
    } else {
      const { kind: _, ...summary } = end;
      const output = toHex(this.channel.endOutput());
      // Written before the end is sent, so that the asker's copy of the head holds the node to it.
      const head = audit.note(this.recordOf({ event: 'end', ...summary, output }));
      if (!this.over) this.stream.write(this.channel.sealEnd(summary, head));
    }
    this.command = undefined;
    this.close();
  }

  /** False when the asker is slower than the command. */
  private send(frame: Exclude<NodeFrame, { kind: 'end' }>): boolean {
    return this.over ? true : this.stream.write(this.channel.seal(frame));
  }

  private refusal(code: string, entry: AuditFields): void {
    this.context.audit.refusal({ operator: this.admission.operator, code }, this.recordOf(entry));
  }

  /** Who asked for what, by which policy, and what came of it. */
  private recordOf({ event, ...entry }: AuditFields): AuditFields {
    const { admission } = this;
    const { envelope, operator, key, policyHash: policy } = admission;
    const { id, argv, replyHost, replyPort } = envelope.body;
    const approvedBy = admission.kind === 'admitted' ? (admission.decision.approvedBy ?? []) : [];
    return {
      event,
      id: toHex(id),
      node: this.context.nodeName,
      operator,
      key,
      ...(approvedBy.length === 0 ? {} : { approvedBy: [...approvedBy] }),
      asker: formatEndpoint({ host: ipText(replyHost) ?? '?', port: replyPort }),
      argv: [...argv],
      policy,
      ...entry,
    };
  }

  private streamClosed(): void {
    this.over = true;
    clearTimeout(this.goTimer);
    // "A closed stream kills what still runs": the asker is gone, or wants no more.
    if (this.command !== undefined) this.command.kill('cancelled');
    else this.finish();
  }

  private close(): void {
    clearTimeout(this.goTimer);
    const wasOver = this.over;
    this.over = true;
    this.stream.end();
    if (wasOver || this.command === undefined) this.finish();
  }
}

/** What is about to run, and as what. */
function startFields({ rule, spec, limitMs, dangerous }: RunVerdict): AuditFields {
  const { path: program, sandbox, network, user } = spec;
  const account = user?.name ?? `uid ${process.geteuid?.() ?? '?'}`;
  const risk = dangerous === undefined ? {} : { dangerous };
  return { event: 'start', rule, program, sandbox, network, user: account, limitMs, ...risk };
}
