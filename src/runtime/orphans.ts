import { createHash } from 'node:crypto';
import { beginningOf, killAllMarked } from './kill-tree.ts';

/** Of a digest, enough to tell the nodes of one machine apart. */
const NODE_DIGITS = 16;
const MARKER = /^([0-9a-f]+)-(\d+)-(\d+)-[0-9a-f]{32}$/;

/**
 * Names the agent that runs in this process, among all that the node had before and all of other nodes on this machine. In
 * the markers of its commands. `identity`: the node's public keys.
 */
export function ownerOf(identity: Uint8Array): string {
  return `${nodeOf(identity)}-${process.pid}-${beginningOf(process.pid)}`;
}

function nodeOf(identity: Uint8Array): string {
  return createHash('sha256').update(identity).digest('hex').slice(0, NODE_DIGITS);
}

/**
 * Kills what agents of this node that run no more have left of their commands: what was just being started when they were
 * killed, and children that nothing bound to them. Returns how many processes that were. What an agent that still runs has
 * started is left alone, and so are other nodes' commands: theirs may live where this one sees no agent, as in a container.
 */
export function killOrphans(identity: Uint8Array): number {
  const own = nodeOf(identity);
  return killAllMarked((marker) => {
    const [, node, pid, beginning] = MARKER.exec(marker) ?? [];
    return node === own && beginningOf(Number(pid)) !== beginning;
  });
}
