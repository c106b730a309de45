import { DecodeError } from '../lib/errors.ts';
import { decodeValue, encodeGossipFloats, Fields } from '../lib/msgpack.ts';

/** First byte of an ack's payload (Serf's PingVersion). */
const PING_VERSION = 1;

/** A Vivaldi coordinate as it goes over the wire. All figures are seconds. */
export interface CoordinateFields {
  readonly vec: readonly number[];
  readonly error: number;
  readonly adjustment: number;
  readonly height: number;
}

/** The coordinate as the payload of an ack. */
export function encodeCoordinatePayload(coordinate: CoordinateFields): Uint8Array {
  const { adjustment, error, height, vec } = coordinate;
  return encodeGossipFloats({ Adjustment: adjustment, Error: error, Height: height, Vec: vec }, PING_VERSION);
}

/**
 * The coordinate in an ack's payload. Throws DecodeError: 'ping-version' for a version that is not known (to
 * be ignored), 'msgpack' and 'field' else. Whether the figures make sense is for Vivaldi to judge.
 */
export function decodeCoordinatePayload(payload: Uint8Array): CoordinateFields {
  if (payload[0] !== PING_VERSION) {
    throw new DecodeError('ping-version', `ack payload version ${payload[0] ?? 'none'} is not known`);
  }
  return readCoordinate(Fields.of(decodeValue(payload, 1).value));
}

/** A coordinate under Serf's names. Throws DecodeError('field'). */
export function readCoordinate(fields: Fields): CoordinateFields {
  const vec = fields.list('Vec').map((component) => {
    if (typeof component === 'number') return component;
    throw new DecodeError('field', 'Vec: has a component that is not a number');
  });
  return {
    vec,
    error: fields.float('Error'),
    adjustment: fields.float('Adjustment'),
    height: fields.float('Height'),
  };
}
