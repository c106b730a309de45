import { describe, expect, test } from 'vitest';
import type { ByteStream } from '../../src/lib/byte-stream.ts';
import { concatBytes, utf8 } from '../../src/lib/bytes.ts';
import { type Encodable, encodeRpc, Fields } from '../../src/lib/msgpack.ts';
import { RpcClient } from '../../src/rpc/client.ts';
import { ValueReader } from '../../src/rpc/framing.ts';
import { decodeRequest, hasBody, isCommand, type Request } from '../../src/rpc/requests.ts';

/** The other end of a client's connection: an agent that a test plays. */
class FakeAgent implements ByteStream {
  readonly requests: { seq: number; request: Request }[] = [];
  readonly raw: Uint8Array[] = [];
  isRaw = false;
  ended = false;
  private readonly reader = new ValueReader(1024 * 1024);
  private readonly answer: (seq: number, request: Request, agent: FakeAgent) => void;
  private header: { seq: number; command: string } | undefined;
  private data: (chunk: Uint8Array) => void = () => {};
  private closed: (error: Error | undefined) => void = () => {};

  constructor(answer: (seq: number, request: Request, agent: FakeAgent) => void) {
    this.answer = answer;
  }

  write(bytes: Uint8Array): boolean {
    if (this.isRaw) {
      this.raw.push(bytes);
      return true;
    }
    this.reader.push(bytes);
    for (let value = this.reader.next(); value !== undefined; value = this.reader.next()) {
      const fields = Fields.of(value);
      this.header ??= { seq: fields.u64('Seq'), command: fields.text('Command') };
      const { command, seq } = this.header;
      if (!isCommand(command)) throw new Error(command);
      if (hasBody(command) && fields.has('Command')) continue;
      this.header = undefined;
      const request = decodeRequest(command, hasBody(command) ? value : null);
      this.requests.push({ seq, request });
      if (request.command === 'handshake') this.send({ Error: '', Seq: seq });
      else this.answer(seq, request, this);
    }
    return true;
  }

  /** Sends values in one chunk, and `rest` behind them. */
  send(...values: (Encodable | Uint8Array)[]): void {
    this.data(
      concatBytes(...values.map((value) => (value instanceof Uint8Array ? value : encodeRpc(value)))),
    );
  }

  die(error?: Error): void {
    this.closed(error);
  }

  onData(listener: (chunk: Uint8Array) => void): void {
    this.data = listener;
  }
  onClose(listener: (error: Error | undefined) => void): void {
    const before = this.closed;
    this.closed = (error) => {
      before(error);
      listener(error);
    };
  }
  onDrain(): void {}
  pause(): void {}
  resume(): void {}
  end(): void {
    this.ended = true;
    this.closed(undefined);
  }
  destroy(): void {
    this.end();
  }
}

const ok = (Seq: number): Encodable => ({ Error: '', Seq });

describe('a conversation', () => {
  test('begins with the handshake, and each reply finds its call in whatever order they come', async () => {
    const seqs: number[] = [];
    const agent = new FakeAgent((seq) => {
      seqs.push(seq);
      if (seqs.length === 2)
        agent.send(ok(seqs[1]!), { serf: { members: '1' } }, ok(seqs[0]!), {
          Members: [{ Name: 'web1', Addr: new Uint8Array(4) }],
        });
    });
    const client = await RpcClient.connect(agent);
    const [members, stats] = await Promise.all([client.members(), client.stats()]);
    expect(members[0]?.name).toBe('web1');
    expect(stats.get('serf')?.get('members')).toBe('1');
    expect(agent.requests[0]).toEqual({ seq: 1, request: { command: 'handshake', version: 1 } });
  });

  test('reads the body that Serf sends after a failed join', async () => {
    const agent = new FakeAgent((seq, request) => {
      if (request.command === 'join') agent.send({ Error: 'no route', Seq: seq }, { Num: 0 });
      else agent.send(ok(seq), { Members: [] });
    });
    const client = await RpcClient.connect(agent);
    await expect(client.join(['10.0.0.9'])).rejects.toMatchObject({
      code: 'AGENT_ERROR',
      message: 'the agent says: no route',
    });
    expect(await client.members()).toEqual([]);
  });

  test('that dies rejects everything that waits, and everything after', async () => {
    const agent = new FakeAgent(() => {});
    const client = await RpcClient.connect(agent);
    const waiting = [client.members(), client.info()];
    agent.die(new Error('reset'));
    for (const call of waiting) await expect(call).rejects.toMatchObject({ code: 'AGENT_UNREACHABLE' });
    await expect(client.stats()).rejects.toMatchObject({ code: 'AGENT_UNREACHABLE' });
    await client.closed;
  });

  test('that turns to garbage fails with an error that says so', async () => {
    const agent = new FakeAgent(() => agent.send(Uint8Array.of(0xc1)));
    const client = await RpcClient.connect(agent);
    await expect(client.members()).rejects.toMatchObject({ code: 'AGENT_ERROR' });
    expect(agent.ended).toBe(true);
  });

  test('a reply that does not fit its command is the agent’s error', async () => {
    const agent = new FakeAgent((seq) => agent.send(ok(seq), { Members: 7 }));
    const client = await RpcClient.connect(agent);
    await expect(client.members()).rejects.toMatchObject({ code: 'AGENT_ERROR' });
  });

  test('bytes that come one by one make no difference', async () => {
    const agent = new FakeAgent((seq) => {
      const bytes = concatBytes(encodeRpc(ok(seq)), encodeRpc({ Members: [{ Name: 'web1' }] }));
      for (const byte of bytes) agent.send(Uint8Array.of(byte));
    });
    const client = await RpcClient.connect(agent);
    expect((await client.members())[0]?.name).toBe('web1');
  });
});

test('a run’s records come in between the replies', async () => {
  const agent = new FakeAgent((seq, request) => {
    if (request.command === 'fanout-run') return agent.send(ok(seq), ok(seq), { Type: 'ack', From: 'web1' });
    agent.send(ok(2), { Type: 'answer', From: 'web1', Stream: 5 }, ok(seq), { Members: [] }, ok(2), {
      Type: 'member',
      Name: 'web2',
      Status: 'left',
    });
  });
  const client = await RpcClient.connect(agent);
  const records: unknown[] = [];
  const request = { run: new Uint8Array(16), envelope: utf8('e'), targets: ['web1', 'web2'], timeoutMs: 9 };
  await client.run(request, (record) => records.push(record));
  await client.members();
  expect(records).toEqual([
    { kind: 'ack', from: 'web1' },
    { kind: 'answer', from: 'web1', stream: 5 },
    { kind: 'member', name: 'web2', status: 'left' },
  ]);
  expect(agent.requests[1]?.request).toEqual({ command: 'fanout-run', ...request });
});

describe('an answer', () => {
  test('turns the connection into its raw bytes: none lost, none read as messages', async () => {
    const agent = new FakeAgent((seq) => {
      agent.isRaw = true;
      agent.send(ok(seq), Uint8Array.of(0xc1, 1));
      agent.send(Uint8Array.of(2));
    });
    const client = await RpcClient.connect(agent);
    const { connection, rest } = await client.answer(5);
    agent.send(Uint8Array.of(3));
    const got: number[] = [...rest];
    connection.onData((chunk) => got.push(...chunk));
    agent.send(Uint8Array.of(4));
    expect(got).toEqual([0xc1, 1, 2, 3, 4]);
    connection.write(utf8('go'));
    expect(agent.raw).toEqual([utf8('go')]);
  });

  test('that the agent does not have ends the connection, so that none is left open', async () => {
    const agent = new FakeAgent((seq) => agent.send({ Error: 'No such answer', Seq: seq }));
    const client = await RpcClient.connect(agent);
    await expect(client.answer(5)).rejects.toMatchObject({ code: 'AGENT_ERROR' });
    expect(agent.ended).toBe(true);
  });
});

describe('what goes on until it is stopped', () => {
  test('a stream gives its events, and what was under way when it was stopped comes to nobody', async () => {
    const event = (Name: string): Encodable => ({ Event: 'user', LTime: 1, Name, Payload: null });
    const agent = new FakeAgent((seq, request) => {
      if (request.command === 'stream') return agent.send(ok(seq), ok(seq), event('first'));
      if (request.command === 'stop') return agent.send(ok(request.stop), event('late'), ok(seq));
      agent.send(ok(seq), { Members: [] });
    });
    const client = await RpcClient.connect(agent);
    const names: string[] = [];
    const stop = await client.stream('user', (event) => 'name' in event && names.push(event.name));
    agent.send(ok(2), event('second'));
    stop();
    expect(await client.members()).toEqual([]);
    expect(names).toEqual(['first', 'second']);
    expect(agent.requests.map(({ request }) => request)).toEqual([
      { command: 'handshake', version: 1 },
      { command: 'stream', type: 'user', isLive: true },
      { command: 'stop', stop: 2 },
      { command: 'members' },
    ]);
  });

  test('one that the agent refuses is over', async () => {
    const agent = new FakeAgent((seq) => agent.send({ Error: 'Unknown log level: LOUD', Seq: seq }));
    const client = await RpcClient.connect(agent);
    const refused = client.monitor('LOUD', () => {});
    await expect(refused).rejects.toMatchObject({ message: 'the agent says: Unknown log level: LOUD' });
  });

  const QUERY = {
    name: 'load',
    payload: utf8('now'),
    filterNodes: [],
    filterTags: new Map<string, string>(),
    requestAck: true,
    relayFactor: 0,
    timeoutNs: 1_500_000_000,
  };

  test('a query gives acks and responses by somebody, and ends with done', async () => {
    const agent = new FakeAgent((seq, request) => {
      expect(request).toMatchObject({ name: 'load', requestAck: true, timeoutNs: 1_500_000_000 });
      const record = (Type: string, From: string, Payload: Uint8Array | null): Encodable[] => [
        ok(seq),
        { From, Payload, Type },
      ];
      agent.send(ok(seq), ...record('ack', 'web1', null), ...record('response', 'web1', utf8('3')));
      // As a real agent does now and then, when its query ends.
      agent.send(...record('ack', '', null), ...record('response', '', null), ...record('done', '', null));
    });
    const client = await RpcClient.connect(agent);
    const records: unknown[] = [];
    await client.query(QUERY, (record) => records.push(record));
    expect(records).toEqual([
      { kind: 'ack', from: 'web1' },
      { kind: 'response', from: 'web1', payload: utf8('3') },
      { kind: 'done' },
    ]);
  });

  test('a record that cannot be read ends the conversation, with everything that waits', async () => {
    const agent = new FakeAgent((seq, request) => {
      if (request.command === 'stream') agent.send(ok(seq));
      else agent.send(ok(2), { Event: 'member-join', Members: 7 });
    });
    const client = await RpcClient.connect(agent);
    await client.stream('', () => {});
    await expect(client.peers()).rejects.toMatchObject({ code: 'AGENT_ERROR' });
    expect(agent.ended).toBe(true);
  });
});
