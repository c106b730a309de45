import { randomBytes } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { encodePurpose } from '../../src/agent/fanout-stream.ts';
import { StreamDoor } from '../../src/agent/stream-door.ts';
import { streamEndpointOf } from '../../src/agent/stream-endpoint.ts';
import { concatBytes, utf8 } from '../../src/lib/bytes.ts';
import { Keyring } from '../../src/memberlist/keyring.ts';
import { encodeUserStream, sealStream } from '../../src/memberlist/stream.ts';
import { eventually } from '../support/processes.ts';

const KEY = new Uint8Array(32).fill(7);
const keyring = new Keyring([KEY]);
const hello = encodePurpose({ op: 'collect', run: new Uint8Array(16) });

function sealed(message: Uint8Array, ring: Keyring | undefined = keyring): Uint8Array {
  return sealStream(message, { compress: false, keyring: ring, nonce: () => randomBytes(12) });
}

describe('the port for streams beside a Serf agent', () => {
  const doors: StreamDoor[] = [];
  const sockets: Socket[] = [];

  afterEach(async () => {
    for (const socket of sockets.splice(0)) socket.destroy();
    await Promise.all(doors.splice(0).map((door) => door.close()));
  });

  async function open(ring: Keyring | undefined = keyring) {
    const counts: string[] = [];
    const taken: { body: Uint8Array; socket: Socket; rest: Uint8Array }[] = [];
    const door = await StreamDoor.open(
      { host: '127.0.0.1', port: 0 },
      {
        keyring: () => ring,
        stream: (body, socket, rest) => void taken.push({ body, socket, rest }),
        count: (name) => void counts.push(name),
      },
    );
    doors.push(door);
    return { door, counts, taken };
  }

  async function visit(door: StreamDoor, ...chunks: Uint8Array[]): Promise<Socket> {
    const socket = connect({ host: '127.0.0.1', port: door.port });
    sockets.push(socket);
    socket.on('error', () => {});
    await new Promise((resolve) => socket.once('connect', resolve));
    for (const chunk of chunks) {
      socket.write(chunk);
      await new Promise((resolve) => setImmediate(resolve));
    }
    return socket;
  }

  test('takes a stream byte by byte, and what came behind its first message with it', async () => {
    const { door, taken } = await open();
    const bytes = concatBytes(sealed(hello), utf8('more'));
    const socket = await visit(door, ...Array.from(bytes, (byte) => Uint8Array.of(byte)));
    const stream = await eventually('the stream', () => taken[0]);
    expect(concatBytes(Uint8Array.of(hello[0]!), stream.body)).toEqual(hello);
    const heard: Uint8Array[] = [stream.rest];
    stream.socket.on('data', (chunk) => heard.push(chunk));
    stream.socket.resume();
    socket.write('and more');
    await eventually('the rest', () => Buffer.concat(heard).toString() === 'moreand more');
    stream.socket.destroy();
  });

  test.each<[string, string, Uint8Array]>([
    ['in clear', 'stream-door-encryption-missing', hello],
    ['under another key', 'stream-door-decrypt', sealed(hello, new Keyring([new Uint8Array(32)]))],
    ['that is no stream of ours', 'stream-door-kind', sealed(encodeUserStream(utf8('x')))],
    ['of a gigabyte, as it says', 'stream-door-decrypt', Uint8Array.of(10, 0x40, 0, 0, 0)],
    [
      'without end',
      'stream-door-limit',
      concatBytes(Uint8Array.of(10, 0, 0, 0xff, 0xff), new Uint8Array(5000)),
    ],
    ['in another language', 'stream-door-encryption-missing', utf8('GET / HTTP/1.1\r\n\r\n')],
  ])('closes what comes %s', async (_, reason, bytes) => {
    const { door, counts, taken } = await open();
    const socket = await visit(door, bytes);
    await new Promise((resolve) => socket.resume().once('close', resolve));
    expect([counts, taken]).toEqual([[reason], []]);
  });

  test('a thousand that say nothing keep nobody out for good, and end with it', async () => {
    const { door, counts } = await open();
    const silent = await Promise.all(Array.from({ length: 1030 }, () => visit(door)));
    await eventually('the overflow', () => counts.includes('stream-door-full'));
    silent[0]?.destroy();
    await door.close();
    doors.length = 0;
  });
});

test('where the streams of a member go in: the port of its tag, where that is one', () => {
  const at = (port: string) =>
    streamEndpointOf({
      addr: Uint8Array.of(10, 0, 0, 1),
      port: 7946,
      tags: new Map([['fanout_port', port]]),
    }).port;
  expect(['7947', '65535', '1'].map(at)).toEqual([7947, 65_535, 1]);
  expect(['', '0', '65536', '99999', '-1', '7947 ', '0x10', '7e3', '٧'].map(at)).toEqual(Array(9).fill(7946));
});
