import fc from 'fast-check';
import { expect, test } from 'vitest';
import { TailBuffer } from '../../src/lib/tail-buffer.ts';

test('whatever the chunks, what is kept are the last bytes of all of them', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 20 }),
      fc.array(fc.uint8Array({ maxLength: 50 }), { maxLength: 12 }),
      (size, chunks) => {
        const buffer = new TailBuffer(size);
        for (const chunk of chunks) buffer.push(chunk);
        const all = Buffer.concat(chunks);
        expect(Buffer.from(buffer.tail())).toEqual(all.subarray(Math.max(0, all.length - size)));
        expect(buffer.totalBytes).toBe(all.length);
      },
    ),
  );
});
