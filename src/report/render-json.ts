import { isUtf8 } from 'node:buffer';
import { concatBytes, EMPTY, utf8 } from '../lib/bytes.ts';
import { safeJson } from '../lib/sanitise.ts';
import { exitCode, isFinal, type RunEvent, type RunState } from '../run/model.ts';
import { HeldOutput } from './held-output.ts';
import { CharacterBoundary } from './output-text.ts';
import { targetFields } from './render-ndjson.ts';
import type { OutputSink, Renderer, RunHead } from './renderers.ts';

/**
 * One JSON object at the end. Holds all output in memory until then: for very much of it, NDJSON is the format. It is
 * written in pieces, because the escaped output of one node alone can be longer than a string may be.
 */
export class JsonRenderer implements Renderer {
  private readonly sink: OutputSink;
  private readonly head: RunHead;
  private readonly held = new HeldOutput();

  constructor(sink: OutputSink, head: RunHead) {
    this.sink = sink;
    this.head = head;
  }

  event(state: RunState, event: RunEvent, data?: Uint8Array): void {
    if (event.kind !== 'output' || data === undefined) return;
    const target = state.targets.get(event.node);
    // What comes from a target that has ended, such as one that is not trusted, is not believed.
    if (target === undefined || isFinal(target.state)) return;
    this.held.push(event.node, event.stream, data);
  }

  end(state: RunState): void {
    const { argv, timeoutMs } = this.head;
    this.write(safeJson({ argv, timeoutMs, exit: exitCode(state) }).slice(0, -1));
    this.write(',"nodes":[');
    let separator = '\n';
    for (const target of state.targets.values()) {
      this.write(separator + safeJson({ state: target.state, ...targetFields(target) }).slice(0, -1));
      this.write(',"stdout":');
      this.output(this.held.chunks(target.name, 'stdout'));
      this.write(',"stderr":');
      this.output(this.held.chunks(target.name, 'stderr'));
      this.write('}');
      this.held.forget(target.name);
      separator = ',\n';
    }
    this.write('\n]}\n');
  }

  /** As `jsonOutput` of all the chunks together. */
  private output(chunks: readonly Uint8Array[]): void {
    if (isText(chunks)) {
      this.write('{"text":"');
      for (const piece of wholeCharacters(chunks))
        this.write(safeJson(bufferOf(piece).toString()).slice(1, -1));
    } else {
      this.write('{"base64":"');
      for (const piece of wholeTriples(chunks)) this.write(bufferOf(piece).toString('base64'));
    }
    this.write('"}');
  }

  private write(text: string): void {
    this.sink.write('stdout', utf8(text));
  }
}

function isText(chunks: readonly Uint8Array[]): boolean {
  for (const piece of wholeCharacters(chunks)) if (!isUtf8(piece)) return false;
  return true;
}

/** The bytes in pieces that end with a whole UTF-8 character. */
function* wholeCharacters(chunks: readonly Uint8Array[]): Generator<Uint8Array> {
  const boundary = new CharacterBoundary();
  for (const chunk of chunks) yield boundary.push(chunk);
  yield boundary.end();
}

/** The bytes in pieces whose base64 can be put together: a multiple of three bytes each, but the last. */
function* wholeTriples(chunks: readonly Uint8Array[]): Generator<Uint8Array> {
  let rest: Uint8Array = EMPTY;
  for (const chunk of chunks) {
    const all = concatBytes(rest, chunk);
    const end = all.length - (all.length % 3);
    yield all.subarray(0, end);
    rest = all.subarray(end);
  }
  yield rest;
}

function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}
