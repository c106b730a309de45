import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { connectAgent } from '../../src/asker/connect.ts';
import { boxKeyPair } from '../../src/identity/box.ts';
import { ed25519PublicKey } from '../../src/identity/ed25519.ts';
import type { LocalKey } from '../../src/identity/operator-key.ts';
import { AskerChannel, type AskerEvent, type AskerFrame } from '../../src/identity/sealed.ts';
import { formatPublicLine } from '../../src/identity/ssh-key.ts';
import { toHex } from '../../src/lib/bytes.ts';
import { type AgentProcess, TestCluster } from '../support/cluster.ts';
import { eventually } from '../support/processes.ts';
import { auditOf, isAlive, operatorKey, Rogue, starts } from './rogue.ts';

const RULES = `
  - id: basics
    effect: allow
    operators: ["group:sre"]
    commands: [{ program: echo, positionals: { max: 2, match: ["any:100"] } }]
  - id: short
    effect: allow
    operators: ["group:sre"]
    limits: { timeout: 1s, concurrency: 1 }
    commands: [{ program: sleep, argv: ["int:1..10000"] }]
  - id: long
    effect: allow
    operators: ["group:sre"]
    limits: { timeout: 1h }
    commands: [{ program: sleep, argv: ["int:20000..30000"] }]
  - id: web-only
    effect: allow
    operators: ["group:sre"]
    tags: { role: web }
    commands: [{ program: uname, argv: [] }]
`;

/** More frames than a node hears from one asker. */
const FRAMES_TOO_MANY = 10_100;
const STRANGER = formatPublicLine(ed25519PublicKey(new Uint8Array(32).fill(5)), 'stranger');

/** One command on one node, asked by hand: an operator who says what a test wants, when it wants. */
class HandledRun {
  readonly events: AskerEvent[] = [];
  isClosed = false;
  private readonly channel: AskerChannel;
  private readonly socket: Socket;

  private constructor(channel: AskerChannel, socket: Socket, early: Uint8Array) {
    this.channel = channel;
    this.socket = socket;
    for (const over of ['end', 'close', 'error']) {
      socket.once(over, () => {
        this.isClosed = true;
        socket.end();
      });
    }
    if (early.length > 0) this.events.push(...channel.receive(early));
    socket.on('data', (chunk) => this.events.push(...channel.receive(chunk)));
    socket.resume();
  }

  static async ask(rogue: Rogue, node: AgentProcess, by: LocalKey, argv: string[]): Promise<HandledRun> {
    const reply = boxKeyPair(new Uint8Array(randomBytes(32)));
    const id = new Uint8Array(randomBytes(16));
    rogue.query(node, rogue.envelope(by, argv, { id, replyKey: reply.publicKey }));
    const { socket, early } = await eventually(`an answer to ${argv.join(' ')}`, () =>
      rogue.visits.find((visit) => visit.run === toHex(id)),
    );
    return new HandledRun(new AskerChannel({ requestId: id, replySecret: reply.secret }), socket, early);
  }

  say(...frames: AskerFrame[]): void {
    for (const frame of frames) this.socket.write(this.channel.seal(frame));
  }

  leave(): void {
    this.socket.destroy();
  }

  async event<K extends AskerEvent['kind']>(kind: K): Promise<Extract<AskerEvent, { kind: K }>> {
    const found = await eventually(`"${kind}", after ${this.kinds().join(', ')}`, () =>
      this.events.find((event) => event.kind === kind),
    );
    return found as Extract<AskerEvent, { kind: K }>;
  }

  async closed(): Promise<void> {
    await eventually('the node to close the stream', () => this.isClosed);
  }

  kinds(): string[] {
    return this.events.map(({ kind }) => kind);
  }
}

describe('commands that an operator has nodes hold back', () => {
  const cluster = new TestCluster();
  let web1: AgentProcess;
  let rogue: Rogue;
  let alice: LocalKey;
  let policy: string;
  let sound: string;

  beforeAll(async () => {
    await cluster.operator();
    alice = operatorKey(cluster);
    policy = cluster.addPolicy('open', RULES);
    sound = readFileSync(policy, 'utf8');
    web1 = await cluster.start({ name: 'web1', tags: { role: 'web' }, policy });
    rogue = await Rogue.join(cluster, web1, { tags: { role: 'rogue' } });
    await cluster.complete(2);
  });

  beforeEach(() => setPolicy(sound));

  afterAll(async () => {
    await rogue.leave();
    await cluster.stop();
  });

  async function setPolicy(text: string): Promise<void> {
    if (readFileSync(policy, 'utf8') === text) return;
    writeFileSync(policy, text);
    const before = reloads();
    web1.child.kill('SIGHUP');
    await eventually('the policy to be read again', () => {
      return reloads() > before;
    });
  }

  function reloads(): number {
    return web1.log().split('policy reloaded').length;
  }

  /** A command that was accepted and is held. */
  async function held(...argv: string[]): Promise<HandledRun> {
    const run = await HandledRun.ask(rogue, web1, alice, argv);
    await run.event('accepted');
    run.say({ kind: 'hold' });
    return run;
  }

  test('a command runs when its asker says so, however often it was held before', async () => {
    const run = await held('echo', 'at last');
    run.say({ kind: 'hold' }, { kind: 'hold' }, { kind: 'deadline', timeoutMs: 10_000 }, { kind: 'go' });
    expect(await run.event('end')).toMatchObject({ code: 0, cause: 'exit' });
    expect(starts(web1, 'echo', 'at last')).toBe(1);
  });

  test.each<[string, string, (text: string) => string]>([
    [
      'deny-rule',
      'a rule that denies it',
      (text) => `${text}\n  - { id: no, effect: deny, programs: [echo] }\n`,
    ],
    ['no-rule', 'no rule for it any more', (text) => text.replace('program: echo', 'program: printf')],
    [
      'no-rule',
      'an operator who lost the right',
      (text) => text.replace('groups: [sre] }', `groups: [] }\n  bob: { key: "${STRANGER}", groups: [sre] }`),
    ],
    ['changed', 'an operator who has left', (text) => text.replace(cluster.publicLine, STRANGER)],
    [
      'operator-expired',
      'an operator whose time is over',
      (text) => text.replace('groups: [sre]', 'groups: [sre], notAfter: "2026-01-01"'),
    ],
    ['changed', 'another environment', (text) => text.replace('environment: test', 'environment: live')],
    ['changed', 'another rule that allows it', (text) => text.replace('id: basics', 'id: other')],
  ])('%s: the policy that counts is the one of now, with %s', async (code, _what, change) => {
    const word = randomBytes(8).toString('hex');
    const run = await held('echo', word);
    await setPolicy(change(sound));
    run.say({ kind: 'go' });
    expect(await run.event('denied')).toMatchObject({ code });
    await run.closed();
    const events = auditOf(web1).filter(({ argv }) => argv?.includes(word));
    expect(events.map(({ event }) => event)).toEqual(['denied']);
  });

  test('tags that were changed meanwhile are the ones that count', async () => {
    const run = await held('uname');
    const client = await connectAgent({ path: web1.control });
    try {
      await client.tags(new Map([['role', 'db']]), []);
      run.say({ kind: 'go' });
      expect(await run.event('denied')).toMatchObject({ code: 'no-rule' });
      expect(starts(web1, 'uname')).toBe(0);
    } finally {
      await client.tags(new Map([['role', 'web']]), []);
      client.close();
    }
  });

  test('an asker who is gone leaves nothing behind that could start', async () => {
    const runs = await Promise.all(['1', '2', '3'].map((word) => held('echo', `gone ${word}`)));
    for (const run of runs) run.leave();
    const after = await held('echo', 'after');
    after.say({ kind: 'go' });
    await after.event('end');
    expect(runs.map((_run, i) => starts(web1, 'echo', `gone ${i + 1}`))).toEqual([0, 0, 0]);
  });

  test('what is held takes no place of its rule, and what starts does', async () => {
    const [first, second] = [await held('sleep', '900'), await held('sleep', '901')];
    first.say({ kind: 'go' });
    await eventually('it to start', () => starts(web1, 'sleep', '900') === 1);
    second.say({ kind: 'go' });
    expect(await second.event('denied')).toMatchObject({ code: 'concurrency', rule: 'short' });
    const third = await HandledRun.ask(rogue, web1, alice, ['sleep', '902']);
    expect(await third.event('denied')).toMatchObject({ code: 'concurrency' });
    first.say({ kind: 'cancel' });
    await first.event('end');
    const fourth = await held('sleep', '903');
    fourth.say({ kind: 'go' }, { kind: 'cancel' });
    expect(await fourth.event('end')).toMatchObject({ cause: 'cancelled' });
    expect([starts(web1, 'sleep', '901'), starts(web1, 'sleep', '902')]).toEqual([0, 0]);
  });

  test('no asker gets more time than the policy gives, and each may take less', async () => {
    const hour: AskerFrame = { kind: 'deadline', timeoutMs: 3_600_000 };
    const before = await held('sleep', '800');
    expect(await before.event('accepted')).toMatchObject({ timeoutMs: 1000 });
    before.say(hour, { kind: 'go' });
    expect(await before.event('end')).toMatchObject({ cause: 'timeout' });
    const after = await held('sleep', '801');
    after.say({ kind: 'go' }, hour, { kind: 'deadline', timeoutMs: 0xffff_ffff });
    expect(await after.event('end')).toMatchObject({ cause: 'timeout' });
    const less = await held('sleep', '20000');
    expect(await less.event('accepted')).toMatchObject({ timeoutMs: 30_000 });
    less.say({ kind: 'go' }, { kind: 'deadline', timeoutMs: 0 });
    expect(await less.event('end')).toMatchObject({ cause: 'timeout' });
  });

  test('an asker who breaks the order loses the stream, and what runs is killed', async () => {
    const late = await held('sleep', '700');
    late.say({ kind: 'go' });
    await eventually('it to start', () => starts(web1, 'sleep', '700') === 1);
    late.say({ kind: 'hold' });
    await late.closed();
    await eventually('the end to be recorded', () =>
      auditOf(web1).some(({ event, argv }) => event === 'end' && argv?.[1] === '700'),
    );
    const twice = await held('sleep', '701');
    twice.say({ kind: 'cancel' });
    await twice.closed();
    const endless = await held('echo', 'endless');
    for (let i = 0; i < FRAMES_TOO_MANY && !endless.isClosed; i++) endless.say({ kind: 'hold' });
    await endless.closed();
    expect([starts(web1, 'sleep', '701'), starts(web1, 'echo', 'endless')]).toEqual([0, 0]);
    expect(isAlive(web1)).toBe(true);
  });
});
