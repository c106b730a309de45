import { nodeKeyOfSeed } from '../../src/identity/node-key.ts';
import { type AskerFrame, type EndSummary, NodeChannel } from '../../src/identity/sealed.ts';
import type { ByteStream } from '../../src/lib/byte-stream.ts';
import { EMPTY, utf8 } from '../../src/lib/bytes.ts';
import { replyKeys, seedOf } from '../identity/fixtures.ts';

export const REQUEST_ID = seedOf('request').subarray(0, 16);

/** A node that a test plays: it greets with a key of its own, and keeps what the asker says to it. */
export class FakeNode implements ByteStream {
  readonly name: string;
  /** Frames of the asker, in short: `deadline 500` for one with a number. */
  readonly heard: string[] = [];
  isClosed = false;
  isPaused = false;
  private readonly channel: NodeChannel;
  private data: (chunk: Uint8Array) => void = () => {};
  private closed: (error: Error | undefined) => void = () => {};

  constructor(name: string, keyLabel = name) {
    this.name = name;
    this.channel = new NodeChannel({
      nodeName: name,
      nodeKey: nodeKeyOfSeed(seedOf(keyLabel)),
      requestId: REQUEST_ID,
      replyKey: replyKeys.publicKey,
      secret: seedOf(`secret of ${keyLabel}`),
      nonce: seedOf(`nonce of ${keyLabel}`).subarray(0, 24),
      unixSeconds: 1_763_712_000,
    });
  }

  /** Brings the answer to a session: greets and accepts. */
  accept(
    session: { answer(stream: ByteStream, early: Uint8Array, claimed: string): void },
    readOnly = false,
    claimed = this.name,
  ): this {
    session.answer(this, EMPTY, claimed);
    const limits = { timeoutMs: 60_000, outputBytesMax: 1000 };
    this.data(this.channel.hello);
    const verdict = { rule: 'r', program: '/bin/true', sandbox: 'none', ...limits, readOnly };
    this.data(this.channel.seal({ kind: 'accepted', ...verdict }));
    return this;
  }

  output(text: string): void {
    this.data(this.channel.seal({ kind: 'stdout', data: utf8(text) }));
  }

  finish(facts: Partial<EndSummary> = {}): void {
    const counts = { durationMs: 1, stdoutBytes: 0, stderrBytes: 0 };
    this.data(this.channel.sealEnd({ code: 0, signal: null, cause: 'exit', ...counts, ...facts }));
    this.hangUp();
  }

  hangUp(): void {
    this.isClosed = true;
    this.closed(undefined);
  }

  write(bytes: Uint8Array): boolean {
    for (const frame of this.channel.receive(bytes)) this.heard.push(shown(frame));
    return true;
  }
  onData(listener: (chunk: Uint8Array) => void): void {
    this.data = listener;
  }
  onClose(listener: (error: Error | undefined) => void): void {
    this.closed = listener;
  }
  onDrain(): void {}
  pause(): void {
    this.isPaused = true;
  }
  resume(): void {
    this.isPaused = false;
  }
  end(): void {
    this.hangUp();
  }
  destroy(): void {
    this.hangUp();
  }
}

function shown(frame: AskerFrame): string {
  return frame.kind === 'deadline' ? `deadline ${frame.timeoutMs}` : frame.kind;
}
