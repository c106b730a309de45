import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { AuditLog } from '../../src/identity/audit.ts';
import { walkAuditChain } from '../../src/identity/audit-verify.ts';
import { boxKeyPair } from '../../src/identity/box.ts';
import { decodeEnvelope, signCommand } from '../../src/identity/envelope.ts';
import { nodeKeyOfSeed } from '../../src/identity/node-key.ts';
import { AskerChannel, type AskerEvent, type AskerFrame } from '../../src/identity/sealed.ts';
import { keyId } from '../../src/identity/ssh-key.ts';
import type { ByteStream } from '../../src/lib/byte-stream.ts';
import { toHex } from '../../src/lib/bytes.ts';
import type { AnsweredAdmission } from '../../src/runtime/gate.ts';
import { Job, type JobContext } from '../../src/runtime/job.ts';
import { NodeAudit, type OnAuditFailure } from '../../src/runtime/node-audit.ts';
import type { RunVerdict, Verdict } from '../../src/runtime/verdict.ts';
import { scratchFolder, seedOf, signerOf } from '../identity/fixtures.ts';
import { specOf } from './command-helper.ts';

const NOW = 1_800_000_000_000;
const HOUR_MS = 3_600_000;
const NO_TROUBLE = { onFailure: 'refuse', warnings: [] } satisfies {
  onFailure: OnAuditFailure;
  warnings: string[];
};
const alice = signerOf('alice');
const reply = boxKeyPair(seedOf('reply'));
const requestId = seedOf('id').subarray(0, 16);

const envelope = decodeEnvelope(
  signCommand(
    {
      version: 3,
      cluster: '',
      environment: 'test',
      keyId: keyId(alice.publicKey),
      issuedAt: 1_800_000_000,
      ttlSeconds: 60,
      id: requestId,
      selector: '',
      argv: ['sleep', '60'],
      replyKey: reply.publicKey,
      replyHost: Uint8Array.of(127, 0, 0, 1),
      replyPort: 7946,
      timeoutMs: 20_000,
      explainOnly: false,
      explainAs: new Uint8Array(0),
    },
    alice.sign,
  ),
);

/** A job and its asker, joined by a stream that passes every chunk on at once. */
class Conversation {
  readonly events: AskerEvent[] = [];
  readonly path = join(scratchFolder(), 'audit.jsonl');
  readonly log = AuditLog.open(this.path, { unixMs: () => NOW });
  /** How often the node was asked for its last word. */
  lastWords = 0;
  readonly job: Job;
  isClosed = false;
  /** What the node decides at the start. */
  atStart: Verdict;
  private readonly channel = new AskerChannel({ requestId, replySecret: reply.secret });
  private hear: (chunk: Uint8Array) => void = () => {};
  private readonly closers: ((error: undefined) => void)[] = [];

  constructor(verdict: RunVerdict, audit: { onFailure: OnAuditFailure; warnings: string[] } = NO_TROUBLE) {
    this.atStart = verdict;
    const admission: AnsweredAdmission = {
      kind: 'admitted',
      envelope,
      operator: 'alice',
      key: 'SHA256:alice',
      policyHash: 'p0',
      decision: {} as Extract<AnsweredAdmission, { kind: 'admitted' }>['decision'],
    };
    const context: JobContext = {
      nodeName: 'web1',
      nodeKey: nodeKeyOfSeed(seedOf('web1')),
      owner: 'web1-1-1',
      audit: new NodeAudit({
        log: this.log,
        onFailure: audit.onFailure,
        unixMs: () => NOW,
        warn: (text) => void audit.warnings.push(text),
      }),
      unixMs: () => NOW,
      randomBytes: (length) => new Uint8Array(length).fill(7),
    };
    this.job = new Job(admission, verdict, this.stream(), context, () => {
      this.lastWords++;
      return { admission, verdict: this.atStart };
    });
  }

  say(...frames: AskerFrame[]): void {
    for (const frame of frames) this.hear(this.channel.seal(frame));
  }

  close(): void {
    this.isClosed = true;
    for (const closer of this.closers.splice(0)) closer(undefined);
  }

  get audit(): Readonly<Record<string, unknown>>[] {
    return [...walkAuditChain(this.path)].map(({ fields }) => fields);
  }

  kinds(): string[] {
    return this.events.map(({ kind }) => kind);
  }

  private stream(): ByteStream {
    return {
      write: (bytes) => {
        this.events.push(...this.channel.receive(bytes));
        return true;
      },
      onDrain: () => {},
      onData: (listener) => {
        this.hear = listener;
      },
      onClose: (listener) => void this.closers.push(listener),
      pause: () => {},
      resume: () => {},
      end: () => this.close(),
      destroy: () => this.close(),
    };
  }
}

function verdictOf(changes: Partial<RunVerdict> = {}, argv = ['sleep', '60']): RunVerdict {
  const spec = { ...specOf(argv), timeoutMs: 20_000 };
  return { kind: 'run', spec, rule: 'basics', readOnly: false, limitMs: 30_000, ...changes };
}

describe('a command that is held back', () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] }));
  afterEach(() => void vi.useRealTimers());

  test('is given up a minute after the last word of its asker', async () => {
    const held = new Conversation(verdictOf());
    for (let minute = 0; minute < 10; minute++) {
      vi.advanceTimersByTime(59_000);
      held.say({ kind: 'hold' });
    }
    vi.advanceTimersByTime(59_999);
    expect(held.isClosed).toBe(false);
    vi.advanceTimersByTime(1);
    await held.job.done;
    expect(held.kinds()).toEqual(['hello', 'accepted', 'failed']);
    expect(held.audit).toEqual([]);
  });

  test('is given up after a day, however often its asker asks for more', () => {
    const held = new Conversation(verdictOf());
    for (let minute = 0; minute < 24 * 60 - 1; minute++) {
      vi.advanceTimersByTime(60_000 - 1);
      held.say({ kind: 'hold' });
    }
    vi.advanceTimersByTime(59_000);
    held.say({ kind: 'hold' });
    vi.advanceTimersByTime(2000);
    expect(held.isClosed).toBe(false);
    vi.advanceTimersByTime(1000);
    expect(held.isClosed).toBe(true);
    expect(held.kinds().at(-1)).toBe('failed');
  });

  test('and then cancelled, or whose asker goes, runs nothing and asks for no place', async () => {
    for (const leave of ['cancel', 'close'] as const) {
      const held = new Conversation(verdictOf());
      held.say({ kind: 'hold' }, { kind: 'deadline', timeoutMs: HOUR_MS });
      if (leave === 'cancel') held.say({ kind: 'cancel' });
      else held.close();
      await held.job.done;
      vi.advanceTimersByTime(HOUR_MS);
      expect([held.kinds(), held.audit, held.lastWords]).toEqual([['hello', 'accepted'], [], 0]);
    }
  });

  test('is refused at its go when the node would not run it any more, and that is recorded', async () => {
    const held = new Conversation(verdictOf());
    held.say({ kind: 'hold' });
    held.atStart = { kind: 'denied', code: 'operator-expired', rule: '', reason: 'too late' };
    held.say({ kind: 'go' });
    await held.job.done;
    expect(held.events.at(-1)).toEqual({ ...held.atStart });
    expect(held.audit).toMatchObject([{ event: 'denied', code: 'operator-expired' }]);
    expect(held.lastWords).toBe(1);
  });
});

describe('the time limit of a command', () => {
  test('is the one that the asker set before the go', async () => {
    const run = new Conversation(verdictOf());
    expect(run.events.at(-1)).toMatchObject({ kind: 'accepted', timeoutMs: 20_000 });
    run.say({ kind: 'deadline', timeoutMs: HOUR_MS }, { kind: 'deadline', timeoutMs: 50 }, { kind: 'go' });
    await run.job.done;
    expect(run.events.at(-1)).toMatchObject({ kind: 'end', cause: 'timeout' });
  });

  test('can be moved while it runs: a time that has passed ends it at once', async () => {
    const run = new Conversation(verdictOf());
    run.say({ kind: 'go' }, { kind: 'deadline', timeoutMs: 25_000 }, { kind: 'deadline', timeoutMs: 0 });
    await run.job.done;
    expect(run.events.at(-1)).toMatchObject({ kind: 'end', cause: 'timeout' });
    expect(run.audit).toMatchObject([{ event: 'start' }, { event: 'end', cause: 'timeout' }]);
  });

  test('is never above that of the policy, whenever the asker says otherwise', async () => {
    const limitMs = 300;
    const verdict = verdictOf({ limitMs, spec: { ...specOf(['sleep', '60']), timeoutMs: limitMs } });
    const before = new Conversation(verdict);
    before.say({ kind: 'deadline', timeoutMs: HOUR_MS }, { kind: 'go' });
    const after = new Conversation(verdict);
    after.say({ kind: 'go' }, { kind: 'deadline', timeoutMs: 0xffff_ffff });
    for (const run of [before, after]) {
      await run.job.done;
      expect(run.events.at(-1)).toMatchObject({ kind: 'end', cause: 'timeout' });
    }
  });

  test('is that of the policy of now, not of the moment when the command was accepted', async () => {
    const run = new Conversation(verdictOf());
    run.say({ kind: 'hold' }, { kind: 'deadline', timeoutMs: 29_000 });
    run.atStart = verdictOf({ limitMs: 100 });
    run.say({ kind: 'go' });
    await run.job.done;
    expect(run.events.at(-1)).toMatchObject({ kind: 'end', cause: 'timeout' });
  });
});

describe('what a node writes down', () => {
  test('says who ran what by which policy, how it came out, and gives the asker the head with that in it', async () => {
    const run = new Conversation(verdictOf({}, ['echo', 'hi']));
    run.say({ kind: 'go' });
    await run.job.done;
    const end = run.events.at(-1)!;
    if (end.kind !== 'end') throw new Error(end.kind);
    const who = {
      id: toHex(requestId),
      operator: 'alice',
      key: 'SHA256:alice',
      asker: '127.0.0.1:7946',
      argv: ['sleep', '60'],
      policy: 'p0',
    };
    const [start, last] = run.audit;
    const { path: program, sandbox, network } = specOf(['echo', 'hi']);
    expect(start).toMatchObject({ ...who, event: 'start', rule: 'basics', program, sandbox, network });
    expect(start?.user).toMatch(/./);
    const output = toHex(end.outputHash);
    expect(last).toMatchObject({ ...who, event: 'end', code: 0, cause: 'exit', stdoutBytes: 3, output });
    expect(end.auditHead).toEqual(run.log.head);
    expect(end.auditHead?.seq).toBe(2);
  });

  test('says why the risk of its rule is taken, where the rule says so', async () => {
    for (const dangerous of [undefined, 'D-Bus, with one polkit rule']) {
      const run = new Conversation(verdictOf({ dangerous }, ['true']));
      run.say({ kind: 'go' });
      await run.job.done;
      expect(run.audit[0]?.event).toBe('start');
      expect(run.audit[0]?.dangerous).toBe(dangerous);
    }
  });

  test('of a command whose asker went away has the hash of what was sent', async () => {
    const run = new Conversation(verdictOf());
    run.say({ kind: 'go' });
    run.close();
    await run.job.done;
    expect(run.audit.at(-1)).toMatchObject({ event: 'end', cause: 'cancelled', stdoutBytes: 0 });
    expect(run.audit.at(-1)?.output).toMatch(/^[0-9a-f]{64}$/);
  });

  test('decides: when it cannot be written, nothing runs, unless the agent was told otherwise', async () => {
    for (const onFailure of ['refuse', 'run'] as const) {
      const warnings: string[] = [];
      const run = new Conversation(verdictOf({}, ['echo', 'hi']), { onFailure, warnings });
      // Somebody else's line: the log takes no further record.
      appendFileSync(run.path, 'x\n');
      run.say({ kind: 'go' });
      await run.job.done;
      const last = run.events.at(-1)!;
      if (onFailure === 'refuse') {
        expect(last).toMatchObject({
          kind: 'failed',
          reason: expect.stringMatching(/^its audit log cannot be written/),
        });
        expect(run.kinds()).not.toContain('stdout');
      } else {
        expect(last).toMatchObject({ kind: 'end', code: 0, auditHead: null });
        expect(warnings.join('\n')).toContain('--audit-on-failure run');
      }
      expect(warnings[0]).toContain('somebody else wrote to it');
    }
  });
});
