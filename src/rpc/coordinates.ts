import { type Encodable, Fields, type MsgpackValue } from '../lib/msgpack.ts';
import { type CoordinateFields, readCoordinate } from '../serf/coordinate-codec.ts';

/** Serf's reply to get-coordinate. */
export function encodeCoordinateReply(coordinate: CoordinateFields | undefined): Encodable {
  const { adjustment, error, height, vec } = coordinate ?? { adjustment: 0, error: 0, height: 0, vec: null };
  return {
    Coord: { Adjustment: adjustment, Error: error, Height: height, Vec: vec },
    Ok: coordinate !== undefined,
  };
}

/** Undefined for a member that the agent knows no coordinate of. Throws DecodeError. */
export function decodeCoordinateReply(body: MsgpackValue): CoordinateFields | undefined {
  const fields = Fields.of(body);
  return fields.bool('Ok') ? readCoordinate(fields.fields('Coord')) : undefined;
}
