import type { NodeEntry } from './node-table.ts';
import type { PushPullNode } from './stream.ts';

/** True when a version vector with at least [PMin, PMax, PCur] makes sense (memberlist, aliveNode). */
export function isUsableVersion(vsn: Uint8Array): boolean {
  const min = vsn[0] ?? 0;
  const max = vsn[1] ?? 0;
  return vsn.length >= 6 && min > 0 && max > 0 && min <= max;
}

/**
 * Why two views cannot be merged, or undefined when they can: every node's current protocol and delegate version must
 * be understood by every alive node (memberlist, verifyProtocol). Remote nodes that sent no versions are left out of the
 * range but must satisfy it, as they would in the real program.
 */
export function incompatibility(
  local: readonly NodeEntry[],
  remote: readonly PushPullNode[],
): string | undefined {
  const range = { pMin: 0, pMax: 255, dMin: 0, dMax: 255 };
  const narrow = (vsn: Uint8Array): void => {
    range.pMin = Math.max(range.pMin, vsn[0] ?? 0);
    range.pMax = Math.min(range.pMax, vsn[1] ?? 0);
    range.dMin = Math.max(range.dMin, vsn[3] ?? 0);
    range.dMax = Math.min(range.dMax, vsn[4] ?? 0);
  };
  for (const node of remote) if (node.state === 0 && node.vsn.length > 0) narrow(node.vsn);
  for (const node of local) if (node.state === 'alive') narrow(node.vsn);
  for (const node of [...remote, ...local]) {
    const protocol = node.vsn[2] ?? 0;
    const delegate = node.vsn[5] ?? 0;
    if (protocol < range.pMin || protocol > range.pMax) {
      return `${node.name} speaks protocol ${protocol}, outside [${range.pMin}, ${range.pMax}]`;
    }
    if (delegate < range.dMin || delegate > range.dMax) {
      return `${node.name} speaks delegate protocol ${delegate}, outside [${range.dMin}, ${range.dMax}]`;
    }
  }
  return undefined;
}
