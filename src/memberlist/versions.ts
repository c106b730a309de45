import type { PushPullNode } from './stream.ts';

/** True when a version vector with at least [PMin, PMax, PCur] makes sense (memberlist, aliveNode). */
export function isUsableVersion(vsn: Uint8Array): boolean {
  const min = vsn[0] ?? 0;
  const max = vsn[1] ?? 0;
  return vsn.length >= 6 && min > 0 && max > 0 && min <= max;
}

/** Whether each of two nodes speaks, in both protocols, what the other understands. */
export function isCompatible(own: Uint8Array, other: Uint8Array): boolean {
  return isUsableVersion(other) && understands(own, other) && understands(other, own);
}

/** Six bytes: the range and current version of memberlist's protocol, then of the delegate's. */
function understands(a: Uint8Array, b: Uint8Array): boolean {
  const [pMin = 0, pMax = 0, , dMin = 0, dMax = 0] = a;
  const [, , protocol = 0, , , delegate = 0] = b;
  return pMin <= protocol && protocol <= pMax && dMin <= delegate && delegate <= dMax;
}

/**
 * Why nothing can be had of another view, or undefined when something can: one alive node at least must be compatible.
 * memberlist (verifyProtocol) compares all with all and drops the whole view for one odd entry, so that a single member
 * with forged versions ends joining and anti-entropy for everybody; here each node is judged for itself, as its alive
 * message is.
 */
export function incompatibility(
  own: { readonly name: string; readonly vsn: Uint8Array },
  remote: readonly PushPullNode[],
): string | undefined {
  const alive = remote.filter((node) => node.state === 0 && node.name !== own.name);
  const [first] = alive;
  if (first === undefined || alive.some((node) => isCompatible(own.vsn, node.vsn))) return undefined;
  const [theirs, ours] = [first.vsn, own.vsn].map((vsn) => `[${vsn.join(', ')}]`);
  return `incompatible versions: ${first.name} speaks ${theirs}, we speak ${ours}`;
}
