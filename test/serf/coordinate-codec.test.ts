import { expect, test } from 'vitest';
import { DecodeError } from '../../src/lib/errors.ts';
import { decodePacketMessage } from '../../src/memberlist/messages.ts';
import { openPacket } from '../../src/memberlist/packet.ts';
import { decodeCoordinatePayload, encodeCoordinatePayload } from '../../src/serf/coordinate-codec.ts';
import { bytesOfHex, vector } from '../fixtures/vectors.ts';

interface Named {
  readonly Adjustment: number;
  readonly Error: number;
  readonly Height: number;
  readonly Vec: readonly number[];
}

function ackPayload(name: string): Uint8Array {
  const [message] = openPacket(vector(name).bytes, undefined).messages;
  const ack = decodePacketMessage(message!);
  if (ack.kind !== 'ack' || ack.payload === null) throw new Error('an ack with a payload was expected');
  return ack.payload;
}

test.each([
  [
    'serf_ack_coordinate_payload',
    vector('serf_ack_coordinate_payload').bytes,
    vector('serf_ack_coordinate_payload').decoded.coordinate,
  ],
  [
    'udp_ack_with_coordinate',
    ackPayload('udp_ack_with_coordinate'),
    vector('udp_ack_with_coordinate').decoded.coordinate,
  ],
  [
    'udp_ack_compressed',
    ackPayload('udp_ack_compressed'),
    vector('udp_ack_compressed').decoded.inner.coordinate,
  ],
] as [string, Uint8Array, Named][])(
  'the coordinate of %s is read and written again as it was',
  (_name, bytes, named) => {
    const coordinate = decodeCoordinatePayload(bytes);
    expect(coordinate).toEqual({
      adjustment: named.Adjustment,
      error: named.Error,
      height: named.Height,
      vec: named.Vec,
    });
    expect(encodeCoordinatePayload(coordinate)).toEqual(bytes);
  },
);

test.each([
  ['nothing', ''],
  ['another version', '0280'],
  ['no map', '0190'],
  ['a text in the vector', '0181a356656391a161'],
  ['a text for a figure', '0181a54572726f72a161'],
])('a broken payload is refused: %s', (_what, text) => {
  expect(() => decodeCoordinatePayload(bytesOfHex(text))).toThrow(DecodeError);
});

test('whole numbers are read as figures too', () => {
  expect(decodeCoordinatePayload(bytesOfHex('0182a35665639100a54572726f7201'))).toMatchObject({
    vec: [0],
    error: 1,
  });
});
