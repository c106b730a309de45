import type { Millis } from '../lib/time.ts';

/** How often one node sends one broadcast: RetransmitMult * ceil(log10(n + 1)) (memberlist, util.go retransmitLimit). */
export function retransmitLimit(retransmitMult: number, nodes: number): number {
  return retransmitMult * Math.ceil(Math.log10(nodes + 1));
}

/** The shortest time a suspect has to refute (memberlist, util.go suspicionTimeout: the scale is cut to three decimals). */
export function suspicionTimeoutMs(suspicionMult: number, nodes: number, probeIntervalMs: Millis): Millis {
  const scale = Math.max(1, Math.log10(Math.max(1, nodes)));
  return (suspicionMult * Math.floor(scale * 1000) * probeIntervalMs) / 1000;
}

/** Above this many nodes anti-entropy is stretched, so that its total cost stays bounded (memberlist, util.go pushPullScale). */
const PUSH_PULL_SCALE_NODES = 32;

export function pushPullIntervalMs(baseMs: Millis, nodes: number): Millis {
  if (nodes <= PUSH_PULL_SCALE_NODES) return baseMs;
  return baseMs * (Math.ceil(Math.log2(nodes) - Math.log2(PUSH_PULL_SCALE_NODES)) + 1);
}
