import type { Socket } from 'node:net';
import { toHex } from '../lib/bytes.ts';
import { DecodeError } from '../lib/errors.ts';
import type { Millis } from '../lib/time.ts';
import type { QueryKey, QueryRequest, SerfEvent } from '../serf/events.ts';
import { encodeNodeFilter } from '../serf/filters.ts';
import type { MemberStatus } from '../serf/member.ts';
import { FANOUT_QUERY } from '../serf/query-book.ts';
import type { Engine } from './engine.ts';
import { type EnvelopeShelf, referenceTo } from './envelope-carrier.ts';
import { streamEndpointOf } from './stream-endpoint.ts';

/** When members that have neither acknowledged nor answered get the query again, straight. Then every two seconds. */
const REPEAT_AFTER_MS: readonly Millis[] = [150, 400, 1000, 2000];
const REPEAT_EVERY_MS: Millis = 2000;
/** A member that acknowledged but did not dial us within this time may not be able to: we dial it. */
const COLLECT_AFTER_MS: Millis = 1000;
const DIAL_TIMEOUT_MS: Millis = 5000;
/** A filter by names keeps bystanders from acknowledging; a longer one would crowd out the envelope. */
const NAME_FILTER_BYTES_MAX = 256;
/** Streams per run that nobody has claimed. Each honest target needs one; a hostile member could open them without end. */
const STREAMS_SPARE = 256;

/** What a run tells the command line that started it. */
export interface RunSink {
  acked(node: string): void;
  answered(stream: number, node: string): void;
  member(node: string, status: MemberStatus): void;
}

interface Target {
  acked: boolean;
  answered: boolean;
  ackedAt: Millis;
  collecting: boolean;
}

interface Run {
  readonly id: string;
  readonly idBytes: Uint8Array;
  readonly sink: RunSink;
  readonly targets: Map<string, Target>;
  readonly streams: Set<Socket>;
  readonly request: QueryRequest;
  key: QueryKey;
  repeats: number;
  timer: NodeJS.Timeout | undefined;
  takeOffShelf: () => void;
}

/** The asker's side of runs in its agent: spreads the signed envelope and passes sealed answers on, unopened. */
export class Runs {
  private readonly engine: Engine;
  private readonly nodeName: string;
  private readonly shelf: EnvelopeShelf;
  private readonly runs = new Map<string, Run>();
  private readonly waiting = new Map<number, { socket: Socket; rest: Uint8Array }>();
  private lastStream = 0;

  constructor(engine: Engine, nodeName: string, shelf: EnvelopeShelf) {
    this.engine = engine;
    this.nodeName = nodeName;
    this.shelf = shelf;
  }

  /** Starts a run; the function that comes back ends it and everything that it has open. Throws DecodeError. */
  start(
    request: { run: Uint8Array; envelope: Uint8Array; targets: readonly string[]; timeoutMs: Millis },
    sink: RunSink,
  ): () => void {
    const id = toHex(request.run);
    if (this.runs.has(id)) throw new DecodeError('run-known', 'a run with this id is under way');
    const targets = new Map<string, Target>();
    for (const name of request.targets) {
      targets.set(name, { acked: false, answered: false, ackedAt: 0, collecting: false });
    }
    const { query, takeOffShelf } = this.queryFor(request);
    const key = { ltime: 0, id: 0 };
    const run: Run = {
      id,
      idBytes: request.run,
      sink,
      targets,
      streams: new Set(),
      request: query,
      key,
      repeats: 0,
      timer: undefined,
      takeOffShelf,
    };
    this.runs.set(id, run);
    try {
      run.key = this.engine.ask(query);
    } catch (error) {
      this.runs.delete(id);
      takeOffShelf();
      throw error;
    }
    this.scheduleRepair(run);
    return () => this.end(run);
  }

  /** A Serf event that may concern a run. */
  event(event: SerfEvent): void {
    if (event.kind === 'ack') {
      const run = this.byKey(event.key);
      if (run !== undefined) this.acked(run, event.from);
    } else if (event.kind === 'member') {
      for (const run of this.runs.values()) {
        if (run.targets.has(event.member.name)) run.sink.member(event.member.name, event.member.status);
      }
    }
  }

  /** A node brought its answer, or we went for it. The stream waits until the command line claims it. */
  answer(run: Uint8Array, node: string, socket: Socket, rest: Uint8Array): void {
    const known = this.runs.get(toHex(run));
    const target = known?.targets.get(node);
    // Who joined after the start may answer too. A name that no member has is an invention of whoever holds the cluster key.
    const isMember = target !== undefined || this.engine.members.get(node)?.status === 'alive';
    if (known === undefined || !isMember || !hasRoomFor(known, socket)) return void socket.destroy();
    if (target !== undefined) target.answered = true;
    const stream = ++this.lastStream;
    known.streams.add(socket);
    this.waiting.set(stream, { socket, rest });
    socket.once('close', () => {
      known.streams.delete(socket);
      this.waiting.delete(stream);
    });
    known.sink.answered(stream, node);
  }

  /** Hands a waiting stream over, once. */
  claim(stream: number): { socket: Socket; rest: Uint8Array } | undefined {
    const found = this.waiting.get(stream);
    this.waiting.delete(stream);
    return found;
  }

  endAll(): void {
    for (const run of [...this.runs.values()]) this.end(run);
  }

  private queryFor(request: { envelope: Uint8Array; targets: readonly string[]; timeoutMs: Millis }): {
    query: QueryRequest;
    takeOffShelf: () => void;
  } {
    const filter = encodeNodeFilter(request.targets);
    const base = {
      name: FANOUT_QUERY,
      filters: filter.length <= NAME_FILTER_BYTES_MAX ? [filter] : [],
      wantsAcks: true,
      relayFactor: 0,
      timeoutMs: request.timeoutMs,
      targets: request.targets,
    };
    const whole = { ...base, payload: request.envelope };
    if (this.engine.fits(whole)) return { query: whole, takeOffShelf: () => {} };
    const takeOffShelf = this.shelf.put(request.envelope);
    return { query: { ...base, payload: referenceTo(request.envelope, this.nodeName) }, takeOffShelf };
  }

  private byKey(key: QueryKey): Run | undefined {
    for (const run of this.runs.values()) {
      if (run.key.ltime === key.ltime && run.key.id === key.id) return run;
    }
    return undefined;
  }

  private acked(run: Run, node: string): void {
    const target = run.targets.get(node);
    if (target === undefined || target.acked) return;
    target.acked = true;
    target.ackedAt = this.engine.now();
    run.sink.acked(node);
  }

  private scheduleRepair(run: Run): void {
    const before = run.repeats === 0 ? 0 : (REPEAT_AFTER_MS[run.repeats - 1] ?? 0);
    const at = REPEAT_AFTER_MS[run.repeats];
    run.repeats++;
    const delay = at === undefined ? REPEAT_EVERY_MS : at - before;
    run.timer = setTimeout(() => {
      this.repair(run);
      this.scheduleRepair(run);
    }, delay);
  }

  /** Asks again whom a packet missed, and goes for the answers of those who cannot dial us. */
  private repair(run: Run): void {
    const silent: string[] = [];
    for (const [name, target] of run.targets) {
      if (target.answered) continue;
      const isOverdue = target.acked && this.engine.now() - target.ackedAt >= COLLECT_AFTER_MS;
      if (isOverdue) void this.collect(run, name, target);
      // Anybody can send an ack in anybody's name: one that no answer follows does not end the repeats.
      if (isOverdue || !target.acked) silent.push(name);
    }
    if (silent.length > 0) this.engine.repeat(run.key, run.request, silent);
  }

  private async collect(run: Run, name: string, target: Target): Promise<void> {
    const member = this.engine.members.get(name);
    if (member === undefined || target.collecting) return;
    target.collecting = true;
    try {
      const to = streamEndpointOf(member);
      const socket = await this.engine.openStream(to, { op: 'collect', run: run.idBytes }, DIAL_TIMEOUT_MS);
      socket.on('error', () => socket.destroy());
      // Only a node that has something to say keeps the stream; its first byte makes it an answer.
      socket.once('data', (first) => {
        socket.pause();
        if (this.runs.has(run.id) && !target.answered) this.answer(run.idBytes, name, socket, first);
        else socket.destroy();
      });
      socket.once('close', () => {
        target.collecting = false;
      });
    } catch {
      target.collecting = false;
    }
  }

  private end(run: Run): void {
    if (!this.runs.delete(run.id)) return;
    clearTimeout(run.timer);
    run.takeOffShelf();
    this.engine.end(run.key);
    // The nodes kill what still runs when their stream closes.
    for (const socket of run.streams) socket.destroy();
  }
}

/** Whether a run can take one more stream. When it is full, the address with most streams loses one to those with less. */
function hasRoomFor(run: Run, socket: Socket): boolean {
  if (run.streams.size < run.targets.size + STREAMS_SPARE) return true;
  const byAddress = new Map<string, Socket[]>();
  for (const stream of run.streams) {
    const address = stream.remoteAddress ?? '';
    const streams = byAddress.get(address);
    if (streams === undefined) byAddress.set(address, [stream]);
    else streams.push(stream);
  }
  const own = byAddress.get(socket.remoteAddress ?? '')?.length ?? 0;
  const [first = []] = [...byAddress.values()].sort((a, b) => b.length - a.length);
  if (first.length <= own + 1) return false;
  const last = first.at(-1);
  if (last !== undefined) run.streams.delete(last);
  last?.destroy();
  return true;
}
