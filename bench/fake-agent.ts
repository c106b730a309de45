// A control socket that plays an agent with many nodes: they accept, write and end, one of them very much. For measuring the
// session alone: a thousand real agents do not fit one machine. usage: fake-agent SOCKET NODES SPREAD_MS LARGE_BYTES
import { createHash, randomBytes } from 'node:crypto';
import { createServer, type Socket } from 'node:net';
import { decodeEnvelope } from '../src/identity/envelope.ts';
import { nodeKeyOfSeed } from '../src/identity/node-key.ts';
import { NodeChannel } from '../src/identity/sealed.ts';
import { encodeRpc, Fields } from '../src/lib/msgpack.ts';
import { ValueReader } from '../src/rpc/framing.ts';
import { encodeMember } from '../src/rpc/members.ts';
import { encodeInfo, encodeRunRecord } from '../src/rpc/replies.ts';
import { type CommandName, decodeRequest, hasBody } from '../src/rpc/requests.ts';

const [path = '', count = '1000', spread = '1000', large = '0'] = process.argv.slice(2);
const names = Array.from({ length: Number(count) }, (_, i) => `n${String(i + 1).padStart(5, '0')}`);
const seedOf = (text: string): Uint8Array => new Uint8Array(createHash('sha256').update(text).digest());
const keys = new Map(names.map((name) => [name, nodeKeyOfSeed(seedOf(name))]));
const members = names.map((name) =>
  encodeMember({
    name,
    addr: Uint8Array.of(10, 0, 0, 1),
    port: 7946,
    tags: new Map([['role', 'web']]),
    status: 'alive',
    vsn: Uint8Array.of(1, 5, 2, 2, 5, 4),
  }),
);
const info = {
  node: 'n00001',
  version: '0',
  environment: 'bench',
  cluster: '',
  addr: Uint8Array.of(127, 0, 0, 1),
  port: 7946,
  policyHash: '',
  sandboxes: [],
};
const LINE = Buffer.from(`${'x'.repeat(79)}\n`);
const BLOCK = Buffer.concat(Array.from({ length: 800 }, () => LINE));

interface Run {
  readonly id: Uint8Array;
  readonly replyKey: Uint8Array;
}
let run: Run | undefined;

createServer((socket) => serve(socket)).listen(path, () => process.stdout.write('ready\n'));

function serve(socket: Socket): void {
  const reader = new ValueReader(16 * 1024 * 1024, 1_000_000);
  let header: { command: CommandName; seq: number } | undefined;
  let channel: { take(chunk: Uint8Array): void } | undefined;
  socket.on('error', () => socket.destroy());
  socket.on('data', (chunk) => {
    if (channel !== undefined) return channel.take(chunk);
    reader.push(chunk);
    for (let value = reader.next(); value !== undefined; value = reader.next()) {
      if (header === undefined) {
        const fields = Fields.of(value);
        header = { command: fields.text('Command') as CommandName, seq: fields.u64('Seq') };
        if (hasBody(header.command)) continue;
        value = null;
      }
      const { command, seq } = header;
      header = undefined;
      const request = decodeRequest(command, value);
      const reply = (body?: Parameters<typeof encodeRpc>[0]): void => {
        socket.write(encodeRpc({ Error: '', Seq: seq }));
        if (body !== undefined) socket.write(encodeRpc(body));
      };
      switch (request.command) {
        case 'fanout-info':
          reply(encodeInfo(info));
          break;
        case 'members':
          reply({ Members: members });
          break;
        case 'fanout-peers':
          reply({ Peers: [] });
          break;
        case 'fanout-programs':
          reply({ Programs: [] });
          break;
        case 'fanout-run': {
          const { body } = decodeEnvelope(request.envelope);
          reply();
          if (body.explainOnly) break;
          run = { id: body.id, replyKey: body.replyKey };
          for (const [i, from] of names.entries()) {
            const at = (Number(spread) * i) / names.length;
            setTimeout(() => {
              if (socket.destroyed) return;
              socket.write(encodeRpc({ Error: '', Seq: seq }));
              socket.write(encodeRpc(encodeRunRecord({ kind: 'ack', from })));
              socket.write(encodeRpc({ Error: '', Seq: seq }));
              socket.write(encodeRpc(encodeRunRecord({ kind: 'answer', from, stream: i + 1 })));
            }, at);
          }
          break;
        }
        case 'fanout-answer':
          reply();
          reader.takeRest();
          channel = answer(socket, names[request.stream - 1] ?? '');
          return;
        default:
          reply();
      }
    }
  });
}

function answer(socket: Socket, name: string): { take(chunk: Uint8Array): void } {
  const nodeKey = keys.get(name);
  if (run === undefined || nodeKey === undefined) throw new Error('no run');
  const channel = new NodeChannel({
    nodeName: name,
    nodeKey,
    requestId: run.id,
    replyKey: run.replyKey,
    secret: randomBytes(32),
    nonce: randomBytes(24),
    unixSeconds: Math.floor(Date.now() / 1000),
  });
  socket.write(channel.hello);
  const limits = { timeoutMs: 60_000, outputBytesMax: 2 ** 40, readOnly: true };
  const verdict = { rule: 'look', program: '/bin/ps', sandbox: 'none' };
  socket.write(channel.seal({ kind: 'accepted', ...verdict, ...limits }));
  return {
    take: (chunk) => {
      for (const frame of channel.receive(chunk)) if (frame.kind === 'go') void write(socket, channel, name);
    },
  };
}

async function write(socket: Socket, channel: NodeChannel, name: string): Promise<void> {
  const total = name === names[1] ? Number(large) : 10 * 1024;
  let sent = 0;
  while (sent < total && !socket.destroyed) {
    const data = BLOCK.subarray(0, Math.min(BLOCK.length, total - sent));
    sent += data.length;
    if (!socket.write(channel.seal({ kind: 'stdout', data })))
      await new Promise((resolve) => socket.once('drain', resolve));
  }
  if (socket.destroyed) return;
  const code = name.endsWith('7') ? 1 : 0;
  socket.end(
    channel.sealEnd({ code, signal: null, cause: 'exit', durationMs: 12, stdoutBytes: sent, stderrBytes: 0 }),
  );
}
