import { createHash } from 'node:crypto';
import { concatBytes, utf8 } from '../lib/bytes.ts';
import { foldNames } from '../lib/node-set.ts';
import { Sanitiser, sanitiseText } from '../lib/sanitise.ts';
import { diffTexts } from '../run/diff.ts';
import { type Group, groupsOf, largestFirst, referenceGroup } from '../run/groups.ts';
import { isFinal, type RunEvent, type RunState } from '../run/model.ts';
import { HeldOutput } from './held-output.ts';
import type { TextRenderer } from './render-text.ts';
import type { OutputSink, Renderer, Terminals } from './renderers.ts';

/** What of one node is compared and shown. The record of the run has all of it. */
const NODE_BYTES_MAX = 1024 * 1024;
/** As clush and clubak draw it. */
const RULE = '-'.repeat(15);

export interface GatherOptions {
  /** Whether stderr is gathered too, behind stdout; else it is shown as it comes. */
  readonly withStderr: boolean;
  /** `block`: a head, then the text; `line`: the nodes in front of each line; `diff`: groups as differences. */
  readonly style: 'block' | 'line' | 'diff';
}

/** Identical answers once, under the names of those that gave them. Everything else is told as plain text is. */
export class GatheredRenderer implements Renderer {
  private readonly sink: OutputSink;
  private readonly text: TextRenderer;
  private readonly terminals: Terminals;
  private readonly options: GatherOptions;
  private readonly held = new HeldOutput(NODE_BYTES_MAX);

  constructor(sink: OutputSink, text: TextRenderer, terminals: Terminals, options: GatherOptions) {
    this.sink = sink;
    this.text = text;
    this.terminals = terminals;
    this.options = options;
  }

  event(state: RunState, event: RunEvent, data?: Uint8Array): void {
    if (event.kind !== 'output' || (event.stream === 'stderr' && !this.options.withStderr)) {
      return this.text.event(state, event, data);
    }
    const target = state.targets.get(event.node);
    // What comes from a target that has ended, such as one that is not trusted, is not believed.
    if (data === undefined || target === undefined || isFinal(target.state)) return;
    this.held.push(event.node, event.stream, data);
  }

  end(state: RunState): void {
    const ran = [...state.targets.values()].filter((target) => target.cause !== undefined);
    const digests = new Map(
      ran.map(({ name }) => [name, createHash('sha256').update(this.outputOf(name)).digest('base64')]),
    );
    const groups = largestFirst(groupsOf(ran, (node) => digests.get(node) ?? ''));
    const reference = this.options.style === 'diff' ? referenceGroup(groups) : undefined;
    for (const group of reference === undefined
      ? groups
      : [reference, ...groups.filter((other) => other !== reference)]) {
      const bytes = this.outputOf(group.names[0] ?? '');
      if (this.options.style === 'line') this.lines(group, bytes);
      else if (reference !== undefined && group !== reference) this.difference(reference, group, bytes);
      else this.block(group, bytes);
      if (group.names.some((name) => this.held.isCut(name))) {
        const more = `the output is longer: fanout show last --only ${foldNames(group.names.slice(0, 1))} has it whole`;
        this.sink.write('stderr', utf8(`fanout: ${sanitiseText(headOf(group))}: ${sanitiseText(more)}\n`));
      }
    }
    this.text.end(state);
  }

  private outputOf(node: string): Uint8Array {
    const stdout = this.held.bytes(node, 'stdout');
    return this.options.withStderr ? concatBytes(stdout, this.held.bytes(node, 'stderr')) : stdout;
  }

  private block(group: Group, bytes: Uint8Array): void {
    if (bytes.length === 0 && group.code === 0) return;
    this.sink.write('stdout', utf8(`${RULE}\n${sanitiseText(headOf(group))}\n${RULE}\n`));
    this.body(bytes);
  }

  private lines(group: Group, bytes: Uint8Array): void {
    const label = `${sanitiseText(foldNames(group.names))}: `;
    const text = new TextDecoder().decode(bytes);
    for (const line of text.replace(/\n$/, '').split('\n')) {
      if (bytes.length > 0) this.body(utf8(`${label}${line}\n`));
    }
  }

  private difference(reference: Group, group: Group, bytes: Uint8Array): void {
    const decoder = new TextDecoder();
    const before = decoder.decode(this.outputOf(reference.names[0] ?? ''));
    const { lines, problem } = diffTexts(before, decoder.decode(bytes));
    const heads = [`--- ${headOf(reference)}`, `+++ ${headOf(group)}`].map(
      (head) => `${sanitiseText(head)}\n`,
    );
    this.sink.write('stdout', utf8(heads.join('')));
    if (problem !== '') this.sink.write('stdout', utf8(`(${problem})\n`));
    const sign = { head: '', context: ' ', added: '+', removed: '-' };
    for (const { kind, text } of lines) this.body(utf8(`${sign[kind]}${text}\n`));
  }

  /** As it is for files and pipes; clean, and ending with a line, for a terminal. */
  private body(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    const isEnded = bytes[bytes.length - 1] === 0x0a;
    if (!this.terminals.stdout) {
      this.sink.write('stdout', isEnded ? bytes : concatBytes(bytes, utf8('\n')));
      return;
    }
    const sanitiser = new Sanitiser(this.terminals.colours);
    const text = sanitiser.push(new TextDecoder().decode(bytes)) + sanitiser.end();
    this.sink.write('stdout', utf8(text.endsWith('\n') ? text : `${text}\n`));
  }
}

/** `web[1-3] (3)`, and how it ended when that was not a 0. */
function headOf(group: Group): string {
  const { names, code, signal, outcome } = group;
  const count = names.length > 1 ? ` (${names.length})` : '';
  const end = signal !== null ? ` died of ${signal}` : code !== 0 && code !== null ? ` exit ${code}` : '';
  return `${foldNames(names)}${count}${end === '' && outcome !== 'ok' ? ` ${outcome}` : end}`;
}
