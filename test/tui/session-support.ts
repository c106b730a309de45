import { type RunEvent, type RunState, reduceRun, startRun } from '../../src/run/model.ts';
import type { Effect, Message } from '../../src/tui/model/messages.ts';
import {
  initialState,
  type MemberView,
  type OutputSource,
  type SessionState,
} from '../../src/tui/model/state.ts';
import { update } from '../../src/tui/model/update.ts';
import { draw } from '../../src/tui/screens/draw.ts';
import type { KeyEvent } from '../../src/tui/terminal/keys.ts';
import { textOf } from '../../src/tui/view/line.ts';

/** 12:00:00 of a fixed day. */
export const NOON = Date.UTC(2030, 0, 1, 12);

const NAMED_KEYS =
  /^(ctrl-.|enter|escape|tab|backtab|up|down|left|right|home|end|pageup|pagedown|backspace|delete)$/;

/** What the nodes of a test run wrote. */
class MemoryOutputs implements OutputSource {
  readonly texts = new Map<string, string>();

  bytes(node: string): number {
    return this.texts.get(node)?.length ?? 0;
  }
  lineCount(node: string): number {
    return this.all(node).length;
  }
  lines(node: string, from: number, count: number) {
    return this.all(node)
      .slice(from, from + count)
      .map((text) => ({ stream: 'stdout' as const, text }));
  }
  lastLine(node: string): string {
    return this.all(node).at(-1) ?? '';
  }
  digest(node: string): string {
    return this.texts.get(node) ?? '';
  }
  private all(node: string): string[] {
    const text = this.texts.get(node) ?? '';
    return text === '' ? [] : text.replace(/\n$/, '').split('\n');
  }
}

export function member(
  name: string,
  tags: Record<string, string> = {},
  changes: Partial<MemberView> = {},
): MemberView {
  return {
    name,
    address: '10.0.0.1:7946',
    status: 'alive',
    isSuspect: false,
    rttMs: 0.6,
    tags: new Map(Object.entries(tags)),
    about: undefined,
    ...changes,
  };
}

/** A session without a world: messages in, states and effects out. */
export class TestSession {
  state: SessionState;
  effects: Effect[] = [];
  readonly outputs = new MemoryOutputs();
  run: RunState | undefined;

  constructor(columns = 80, rows = 24, selector = '', asksByItself = true) {
    this.state = initialState({
      columns,
      rows,
      now: 0,
      unixMs: NOON,
      zoneMinutes: 0,
      selector,
      asksByItself,
    });
  }

  send(message: Message): this {
    const step = update(this.state, message);
    this.state = step.state;
    this.effects.push(...step.effects);
    return this;
  }

  /** Presses keys: names, or single characters. */
  press(...keys: readonly string[]): this {
    for (const key of keys) this.send({ kind: 'key', key: keyOf(key) });
    return this;
  }

  type(text: string): this {
    return this.press(...text);
  }

  paste(text: string): this {
    return this.send({ kind: 'key', key: { kind: 'paste', text } });
  }

  tick(ms: number): this {
    return this.send({ kind: 'tick', now: this.state.now + ms, unixMs: this.state.unixMs + ms });
  }

  members(...members: readonly MemberView[]): this {
    return this.send({ kind: 'agent', node: 'here', environment: 'prod' }).send({ kind: 'members', members });
  }

  /** Opens a live run on these nodes. */
  open(names: readonly string[], command = 'ps ax', timeoutMs = 12_800): this {
    this.run = startRun(names, timeoutMs, this.state.now);
    return this.send({
      kind: 'run-opened',
      id: '7f3a'.repeat(8),
      command,
      selector: 'role=web',
      run: this.run,
      outputs: this.outputs,
      isLive: true,
      startedUnixMs: this.state.unixMs,
    });
  }

  /** Applies events to the run and tells the session. */
  happen(...events: readonly RunEvent[]): this {
    for (const event of events) this.run = reduceRun(this.run!, event, this.state.now);
    return this.send({
      kind: 'run-changed',
      id: this.state.run!.id,
      run: this.run!,
      phase: undefined,
      problem: '',
    });
  }

  /** A node accepts, runs and ends. */
  answer(node: string, text: string, code = 0, durationMs = 120): this {
    this.outputs.texts.set(node, text);
    return this.happen(...accepted(node), {
      kind: 'ended',
      node,
      code,
      signal: null,
      cause: 'exit',
      durationMs,
      stdoutBytes: text.length,
      stderrBytes: 0,
    });
  }

  /** The effects since the last time, of one kind. */
  took<K extends Effect['kind']>(kind: K): Extract<Effect, { kind: K }>[] {
    const found = this.effects.filter(
      (effect): effect is Extract<Effect, { kind: K }> => effect.kind === kind,
    );
    this.effects = [];
    return found;
  }

  /** The screen as text, without blanks at the ends of lines. */
  get screen(): string {
    return draw(this.state, { ascii: false })
      .lines.map((line) => textOf(line).trimEnd())
      .join('\n');
  }
}

export function accepted(node: string): RunEvent[] {
  return [
    {
      kind: 'accepted',
      node,
      rule: 'health',
      program: '/bin/ps',
      sandbox: 'standard',
      firstSeen: false,
      readOnly: true,
      limitMs: 15_000,
    },
    { kind: 'started', node },
  ];
}

function keyOf(key: string): KeyEvent {
  if (key === 'space') return { kind: 'char', text: ' ' };
  return NAMED_KEYS.test(key) ? { kind: 'key', name: key } : { kind: 'char', text: key };
}
