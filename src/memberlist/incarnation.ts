/**
 * Incarnation numbers are unsigned 32-bit on the wire. They are compared as serial numbers (RFC 1982), so that none is
 * the last: with plain comparison one forged message at 2^32-1 leaves the accused nothing to refute with, for ever.
 * For any two that differ by less than 2^31, as all honest ones do, this is the plain comparison.
 */
export function isNewerIncarnation(a: number, b: number): boolean {
  return ((a - b) | 0) > 0;
}

/** The one after; never 0, which peers ignore about a node that they do not know. */
export function nextIncarnation(incarnation: number): number {
  const next = (incarnation + 1) >>> 0;
  return next === 0 ? 1 : next;
}
