import fc from 'fast-check';
import { expect, test } from 'vitest';
import { FrameBuffer } from '../../src/identity/frame-buffer.ts';
import { concatBytes, writeU32 } from '../../src/lib/bytes.ts';
import { DecodeError } from '../../src/lib/errors.ts';

const MAX = 65_792;

function frameOf(body: Uint8Array): Uint8Array {
  const frame = concatBytes(new Uint8Array(4), body);
  writeU32(frame, 0, body.length);
  return frame;
}

test('frames come out whole and in order for any chunking', () => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ maxLength: 50 }), { maxLength: 10 }),
      fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 10 }),
      (bodies, lengths) => {
        const bytes = concatBytes(...bodies.map(frameOf));
        const buffer = new FrameBuffer();
        const got: Uint8Array[] = [];
        for (let offset = 0, i = 0; offset < bytes.length; i++) {
          const length = lengths[i % lengths.length]!;
          const chunk = bytes.slice(offset, offset + length);
          buffer.push(
            chunk,
            () => MAX,
            (frame) => got.push(Uint8Array.from(frame)),
          );
          offset += length;
        }
        expect(got).toEqual(bodies);
      },
    ),
  );
});

test('memory grows with the bytes that came, not with the length that was claimed', () => {
  const buffer = new FrameBuffer();
  const head = new Uint8Array(4);
  writeU32(head, 0, MAX);
  const never = (): void => expect.fail('no frame is complete');
  buffer.push(head, () => MAX, never);
  expect(buffer.heldBytes).toBeLessThanOrEqual(8);
  for (let i = 0; i < 1000; i++) buffer.push(new Uint8Array(1), () => MAX, never);
  expect(buffer.heldBytes).toBeLessThanOrEqual(2 * 1004);
  buffer.push(new Uint8Array(60_000), () => MAX, never);
  expect(buffer.heldBytes).toBeLessThanOrEqual(MAX + 4);
  buffer.clear();
  expect(buffer.heldBytes).toBe(0);
});

test('memory stays bounded while a stream goes on and on', () => {
  const buffer = new FrameBuffer();
  const stream = concatBytes(
    frameOf(new Uint8Array(50_000)),
    frameOf(new Uint8Array(0)),
    frameOf(new Uint8Array(65_000)),
  );
  let count = 0;
  for (let round = 0; round < 50; round++) {
    for (let offset = 0; offset < stream.length; offset += 9999) {
      buffer.push(
        stream.subarray(offset, offset + 9999),
        () => MAX,
        () => count++,
      );
      expect(buffer.heldBytes).toBeLessThanOrEqual(MAX + 4);
    }
  }
  expect(count).toBe(150);
});

test('one byte at a time costs linear time', () => {
  const frame = frameOf(new Uint8Array(60_000));
  const buffer = new FrameBuffer();
  let copies = 0;
  let held = 0;
  for (let i = 0; i < frame.length; i++) {
    buffer.push(
      frame.subarray(i, i + 1),
      () => MAX,
      () => {},
    );
    if (buffer.heldBytes !== held) copies++;
    held = buffer.heldBytes;
  }
  // The buffer doubles: a dozen copies for 60,000 chunks.
  expect(copies).toBeLessThan(20);
});

test('a frame in one chunk is handed on where it lies', () => {
  const chunk = frameOf(Uint8Array.of(1, 2, 3));
  const buffer = new FrameBuffer();
  let got: Uint8Array | undefined;
  buffer.push(
    chunk,
    () => MAX,
    (frame) => {
      got = frame;
    },
  );
  expect(got?.buffer).toBe(chunk.buffer);
  expect(buffer.heldBytes).toBe(0);
});

test('a length above the limit of the moment is refused at its fourth byte', () => {
  const buffer = new FrameBuffer();
  const bytes = concatBytes(frameOf(new Uint8Array(10)), frameOf(new Uint8Array(11)));
  let limit = 10;
  let count = 0;
  const push = (chunk: Uint8Array): void =>
    buffer.push(
      chunk,
      () => limit,
      () => count++,
    );
  push(bytes.subarray(0, 17));
  expect(count).toBe(1);
  expect(() => push(bytes.subarray(17, 18))).toThrow(DecodeError);
  limit = 11;
  buffer.clear();
  push(bytes.subarray(14));
  expect(count).toBe(2);
});
