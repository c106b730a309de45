import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { DecodeError } from '../../src/lib/errors.ts';
import {
  type DnsRecord,
  decodeDns,
  dnsLabel,
  encodeAnswer,
  encodeQuestion,
  isSameName,
  TYPE,
} from '../../src/net/mdns-codec.ts';

const VECTORS = readFileSync(new URL('../fixtures/serf-vectors.json', import.meta.url), 'utf8');

/** A packet that a real Serf agent has sent. */
function captured(name: string): Uint8Array {
  const hex = new RegExp(`"name": "${name}"[^}]*?"hex": "([0-9a-f]+)"`, 's').exec(VECTORS)?.[1];
  return Uint8Array.from(Buffer.from(hex ?? '', 'hex'));
}

function bytesOf(...parts: readonly (number | string | readonly number[])[]): Uint8Array {
  const bytes = parts.flatMap((part) =>
    typeof part === 'string'
      ? [part.length, ...Buffer.from(part)]
      : typeof part === 'number'
        ? [part]
        : [...part],
  );
  return Uint8Array.from(bytes);
}

function reasonOf(bytes: Uint8Array): string {
  try {
    decodeDns(bytes);
  } catch (error) {
    if (error instanceof DecodeError) return error.reason;
    throw error;
  }
  return 'accepted';
}

const SERVICE = '_serf_demo._tcp.local';
const RECORDS: readonly DnsRecord[] = [
  { name: SERVICE, ttlSeconds: 120, type: 'PTR', target: `m1.${SERVICE}` },
  { name: `m1.${SERVICE}`, ttlSeconds: 120, type: 'SRV', port: 7950, target: 'vm' },
  { name: 'vm', ttlSeconds: 120, type: 'A', host: '127.0.0.1' },
  { name: `m1.${SERVICE}`, ttlSeconds: 120, type: 'TXT', texts: ["Serf 'demo' cluster"] },
];

describe('what a real Serf agent sends', () => {
  test('its question is ours, byte for byte', () => {
    const bytes = captured('mdns_query');
    expect(decodeDns(bytes)).toEqual({
      id: 20651,
      isResponse: false,
      questions: [{ name: SERVICE, type: TYPE.PTR }],
      records: [],
    });
    expect(encodeQuestion(20651, { name: SERVICE, type: TYPE.PTR })).toEqual(bytes);
  });

  test('its answer, with names that refer to each other, tells of the agent', () => {
    expect(decodeDns(captured('mdns_response'))).toEqual({
      id: 0,
      isResponse: true,
      questions: [],
      records: RECORDS,
    });
  });

  test('what we answer reads the same', () => {
    expect(decodeDns(encodeAnswer(7, RECORDS))).toEqual({
      id: 7,
      isResponse: true,
      questions: [],
      records: RECORDS,
    });
    const v6: DnsRecord = { name: 'x', ttlSeconds: 70_000, type: 'AAAA', host: 'fd00::1' };
    expect(decodeDns(encodeAnswer(7, [v6])).records).toEqual([v6]);
  });
});

describe('names', () => {
  test('a dot or a backslash in a label is none between labels', () => {
    for (const text of ['web1.example', 'a\\b', 'a\\.b', '\\', '.', 'ü', '\n']) {
      const name = `${dnsLabel(text)}.${SERVICE}`;
      const [record] = decodeDns(
        encodeAnswer(1, [{ name, ttlSeconds: 1, type: 'PTR', target: name }]),
      ).records;
      expect(record).toMatchObject({ name, target: name });
    }
    expect(dnsLabel('web1.example')).not.toBe('web1.example');
  });

  test('are equal in any case of ASCII alone', () => {
    expect(isSameName('WEB.local', 'web.LOCAL')).toBe(true);
    expect(isSameName('web.local', 'web1.local')).toBe(false);
    expect(isSameName('É', 'é')).toBe(false);
  });

  test('a label has 1 to 63 bytes', () => {
    expect(dnsLabel('')).toBeUndefined();
    expect(dnsLabel('x'.repeat(63))).toHaveLength(63);
    expect(dnsLabel('x'.repeat(64))).toBeUndefined();
    expect(dnsLabel('ü'.repeat(32))).toBeUndefined();
  });
});

const HEAD = {
  question: [0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0],
  answer: [0, 1, 0x84, 0, 0, 0, 0, 1, 0, 0, 0, 0],
};
const FIXED = [0, TYPE.A, 0, 1, 0, 0, 0, 120];

describe('attacks', () => {
  test.each<[string, Uint8Array, string]>([
    ['nothing', Uint8Array.of(), 'mdns-truncated'],
    ['a name that points to itself', bytesOf(HEAD.question, 0xc0, 12, [0, 12, 0, 1]), 'mdns-loop'],
    ['two that point to each other', bytesOf(HEAD.question, 0xc0, 14, 0xc0, 12, [0, 12, 0, 1]), 'mdns-loop'],
    ['a name that points into itself', bytesOf(HEAD.question, 'a', 0xc0, 12, [0, 12, 0, 1]), 'mdns-loop'],
    ['a name that points forward', bytesOf(HEAD.question, 0xc0, 16, 0, 12, 0, 1, 'a', 0), 'mdns-loop'],
    ['a name that points outside', bytesOf(HEAD.question, 0xff, 0xff, [0, 12, 0, 1]), 'mdns-loop'],
    ['a label of a kind that is none', bytesOf(HEAD.question, 0x80, 'a', 0), 'mdns-label'],
    [
      'gigantic counts',
      bytesOf([0, 1, 0, 0], [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
      'mdns-count',
    ],
    ['many questions that are not there', bytesOf([0, 1, 0, 0, 0, 64, 0, 0, 0, 0, 0, 0]), 'mdns-truncated'],
    ['an address of five bytes', bytesOf(HEAD.answer, 'a', 0, FIXED, [0, 5, 1, 2, 3, 4, 5]), 'mdns-address'],
    ['an address of none', bytesOf(HEAD.answer, 'a', 0, FIXED, [0, 0]), 'mdns-address'],
    [
      'an IPv4 address that has sixteen',
      bytesOf(HEAD.answer, 'a', 0, FIXED, [0, 16], new Array(16).fill(1)),
      'mdns-address',
    ],
    [
      'data that is longer than the packet',
      bytesOf(HEAD.answer, 'a', 0, FIXED, [0xff, 0xff]),
      'mdns-truncated',
    ],
    [
      'a name that leaves its record',
      bytesOf(HEAD.answer, 'a', 0, [0, TYPE.PTR, 0, 1, 0, 0, 0, 1, 0, 1], 'abc', 0),
      'mdns-record',
    ],
    [
      'a text that leaves its record',
      bytesOf(HEAD.answer, 'a', 0, [0, TYPE.TXT, 0, 1, 0, 0, 0, 1, 0, 2, 5, 1, 2, 3, 4, 5]),
      'mdns-record',
    ],
    [
      'a service too short for its port',
      bytesOf(HEAD.answer, 'a', 0, [0, TYPE.SRV, 0, 1, 0, 0, 0, 1, 0, 1, 1]),
      'mdns-truncated',
    ],
    ['ten thousand bytes', new Uint8Array(10_000), 'mdns-size'],
  ])('%s', (_what, bytes, reason) => {
    expect(reasonOf(bytes)).toBe(reason);
  });

  test('a name above 255 bytes, put together of pieces that are short', () => {
    // Each name is one long label and a reference to the name before it.
    const labels: number[] = [];
    let before = -1;
    for (let i = 0; i < 8; i++) {
      const at = 12 + labels.length;
      labels.push(60, ...new Array<number>(60).fill(0x61));
      if (before < 0) labels.push(0);
      else labels.push(0xc0 | (before >> 8), before & 0xff);
      labels.push(0, 12, 0, 1);
      before = at;
    }
    expect(reasonOf(bytesOf([0, 1, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0], labels))).toBe('mdns-name');
  });

  test('a packet cut at every byte, and with every byte changed, is decoded or refused', () => {
    for (const whole of [captured('mdns_response'), captured('mdns_query'), encodeAnswer(1, RECORDS)]) {
      for (let length = 0; length < whole.length; length++) {
        expect(reasonOf(whole.subarray(0, length)), `cut at ${length}`).toMatch(/^mdns-/);
      }
      for (let at = 0; at < whole.length; at++) {
        for (const value of [0, 1, 0x3f, 0x40, 0x80, 0xc0, 0xff]) {
          const changed = whole.slice();
          changed[at] = value;
          expect(reasonOf(changed)).toMatch(/^(mdns-|accepted)/);
        }
      }
    }
  });

  test('no bytes at all make it throw anything else, or take long', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 600 }), fc.boolean(), (bytes, hasHeader) => {
        const tail = hasHeader ? bytesOf([0, 1, 0x84, 0, 0, 4, 0, 20, 0, 0, 0, 0], [...bytes]) : bytes;
        expect(reasonOf(tail)).toMatch(/^(mdns-|accepted)/);
      }),
      { numRuns: 3000 },
    );
  });
});
