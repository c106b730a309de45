import type { KnownNodes } from '../identity/known-nodes.ts';
import { identityFingerprint } from '../identity/node-key.ts';
import { AskerChannel, type AskerFrame, type NodeFrame } from '../identity/sealed.ts';
import type { ByteStream } from '../lib/byte-stream.ts';
import { equalBytes } from '../lib/bytes.ts';
import { DecodeError, FanoutError } from '../lib/errors.ts';
import type { Turns } from './turns.ts';

export interface AnswersOptions {
  readonly environment: string;
  readonly requestId: Uint8Array;
  readonly replySecret: Uint8Array;
  readonly knownNodes: KnownNodes;
  readonly isTarget: (node: string) => boolean;
  /** Whether a node that is no target may answer all the same: one that joined since, and is meant as well. */
  readonly mayJoin: (node: string) => boolean;
  /** What comes is looked at in turns. */
  readonly turns: Turns;
}

/** What the streams of a run tell about its nodes. */
export interface AnswersListener {
  joinedLate(node: string): void;
  /** `isFirstSeen`: its key was not known before this run. False holds the node back until `resume`. */
  frame(node: string, frame: NodeFrame, isFirstSeen: boolean): boolean;
  untrusted(node: string, reason: string): void;
  /** Its stream broke before it was closed here. */
  disconnected(node: string): void;
}

interface Answer {
  readonly stream: ByteStream;
  readonly channel: AskerChannel;
  /** Whose answer the stream was announced as, outside of the seal. */
  readonly claimed: string;
  /** Known once the greeting opened. Before that the stream is a claim that anybody with the cluster key can make. */
  node: string | undefined;
  ended: boolean;
  /** "cancel" is the last word to a node. */
  cancelled: boolean;
  /** What it has said and is not looked at yet. It is not read further meanwhile. */
  waiting: number;
  /** A slow reader holds it back. */
  isHeldBack: boolean;
}

/** The sealed answers of one run: who greets with which key, what they say, and the asker's words to them. */
export class Answers {
  private readonly options: AnswersOptions;
  private readonly listener: AnswersListener;
  private readonly answers = new Set<Answer>();
  /** Who has greeted in this run, and with which key. */
  private readonly greeted = new Map<string, { identity: Uint8Array; answer: Answer }>();
  private readonly firstSeen = new Set<string>();

  constructor(options: AnswersOptions, listener: AnswersListener) {
    this.options = options;
    this.listener = listener;
  }

  /** Takes a stream that claims to be the answer of the node `claimed`. */
  take(stream: ByteStream, early: Uint8Array, claimed: string): void {
    const { requestId, replySecret } = this.options;
    const channel = new AskerChannel({ requestId, replySecret });
    const answer: Answer = {
      stream,
      channel,
      claimed,
      node: undefined,
      ended: false,
      cancelled: false,
      waiting: 0,
      isHeldBack: false,
    };
    this.answers.add(answer);
    stream.onClose(() => this.inTurn(answer, () => this.streamClosed(answer)));
    if (early.length > 0) this.inTurn(answer, () => this.received(answer, early));
    stream.onData((chunk) => this.inTurn(answer, () => this.received(answer, chunk)));
  }

  /** Looks at what came when it is its turn, in the order in which it came. */
  private inTurn(answer: Answer, work: () => void): void {
    answer.waiting++;
    const isDone = this.options.turns.run(() => {
      answer.waiting--;
      work();
      if (answer.waiting === 0 && !answer.isHeldBack) answer.stream.resume();
    });
    if (!isDone) answer.stream.pause();
  }

  /** Fingerprint of the key that a node has greeted with, which is the one that is pinned; '' before it has. */
  keyOf(node: string): string {
    const identity = this.greeted.get(node)?.identity;
    return identity === undefined ? '' : identityFingerprint(identity);
  }

  /** Says something to a node; nothing when it is not there, or was told to stop. */
  send(node: string, frame: AskerFrame): void {
    const answer = this.greeted.get(node)?.answer;
    if (answer !== undefined) this.say(answer, frame);
  }

  /** Stops a node. What waits behind a slow reader is read, so that the confirmation comes through. */
  cancel(node: string): void {
    const answer = this.greeted.get(node)?.answer;
    if (answer !== undefined) this.letGo(answer);
    this.send(node, { kind: 'cancel' });
  }

  /** Stops everybody. */
  cancelAll(): void {
    for (const { node } of this.answers) if (node !== undefined) this.cancel(node);
  }

  /** Lets all nodes go on that were held back by a slow reader. */
  resume(): void {
    for (const answer of this.answers) this.letGo(answer);
  }

  private letGo(answer: Answer): void {
    answer.isHeldBack = false;
    if (answer.waiting === 0) answer.stream.resume();
  }

  /** Ends the answer of a node: nothing more is heard of it, and what runs there dies with the stream. */
  close(node: string): void {
    const answer = this.greeted.get(node)?.answer;
    if (answer === undefined || answer.ended) return;
    answer.ended = true;
    answer.stream.end();
  }

  closeAll(): void {
    for (const answer of this.answers) {
      answer.ended = true;
      answer.stream.end();
    }
  }

  private say(answer: Answer, frame: AskerFrame): void {
    if (answer.ended || answer.cancelled) return;
    answer.cancelled = frame.kind === 'cancel';
    answer.stream.write(answer.channel.seal(frame));
  }

  private received(answer: Answer, chunk: Uint8Array): void {
    if (answer.ended) return;
    try {
      for (const event of answer.channel.receive(chunk)) {
        if (event.kind === 'hello') this.greet(answer, event.node, event.identity);
        else if (answer.node !== undefined) {
          const isReady = this.listener.frame(answer.node, event, this.firstSeen.has(answer.node));
          if (!isReady) {
            answer.isHeldBack = true;
            answer.stream.pause();
          }
        }
        if (answer.ended) return;
      }
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      this.damaged(answer, error);
    }
  }

  /** The greeting opened: the stream is from whoever holds this key. Is it the key that this node has always had? */
  private greet(answer: Answer, node: string, identity: Uint8Array): void {
    // Our agent let the stream in because of the name outside: under the seal it must be the same.
    if (node !== answer.claimed) return this.drop(answer);
    const before = this.greeted.get(node);
    if (before !== undefined && equalBytes(before.identity, identity)) return this.drop(answer);
    // The node that we have always known is answering: whoever comes after it with another key cannot take its place.
    if (before !== undefined && !this.firstSeen.has(node)) return this.drop(answer);
    const { knownNodes, environment, isTarget, mayJoin } = this.options;
    if (!isTarget(node) && !mayJoin(node)) return this.drop(answer);
    const pin = knownNodes.check(environment, node, identity);
    answer.node = node;
    if (before !== undefined)
      return this.untrusted(answer, node, this.twoKeys(node, before.identity, identity));
    if (typeof pin === 'object') {
      return this.untrusted(answer, node, knownNodes.changeOf(environment, node, identity));
    }
    if (!isTarget(node)) this.listener.joinedLate(node);
    if (pin === 'new' && !this.remember(answer, node, identity)) return;
    this.greeted.set(node, { identity, answer });
  }

  /** False when the key of a new node cannot be kept: then nobody could tell the next time whether it is the same. */
  private remember(answer: Answer, node: string, identity: Uint8Array): boolean {
    this.firstSeen.add(node);
    try {
      this.options.knownNodes.remember(this.options.environment, node, identity);
      return true;
    } catch (error) {
      if (!(error instanceof FanoutError)) throw error;
      this.listener.untrusted(node, error.message);
      this.drop(answer);
      return false;
    }
  }

  /** Nobody can tell yet which of the two is the node; the first is pinned. */
  private twoKeys(node: string, first: Uint8Array, second: Uint8Array): string {
    const { knownNodes, environment } = this.options;
    return (
      `two machines answer as "${node}" with different keys: ${identityFingerprint(first)}, which is now pinned in ` +
      `${knownNodes.path}, and ${identityFingerprint(second)}. Find out which is right; if it is the second, run: ` +
      knownNodes.forgetCommand({ node, environment })
    );
  }

  private untrusted(answer: Answer, node: string, reason: string): void {
    this.listener.untrusted(node, reason);
    this.drop(answer);
  }

  private damaged(answer: Answer, error: DecodeError): void {
    // Before the greeting opened, it may be anybody: what a stranger sends says nothing about the node.
    if (answer.node !== undefined) {
      this.listener.untrusted(answer.node, `its answer was damaged on the way: ${error.message}`);
    }
    this.drop(answer);
  }

  private drop(answer: Answer): void {
    answer.ended = true;
    this.answers.delete(answer);
    answer.stream.destroy();
  }

  private streamClosed(answer: Answer): void {
    this.answers.delete(answer);
    if (answer.ended || answer.node === undefined) return;
    answer.ended = true;
    this.listener.disconnected(answer.node);
  }
}
