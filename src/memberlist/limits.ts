/** What a peer can make us hold or compute. Above it input is refused, whatever it claims. */

/** Compress and compound messages within each other, in one packet. Honest packets need two. */
export const NESTING_MAX = 8;
/** All that one packet may unpack to, over all its compressed parts. The largest datagram has as much. */
export const PACKET_PLAIN_BYTES_MAX = 64 * 1024;
/** Parts of a compound that we send: releases before 0.3.2 compute twice the count in eight bits. */
export const COMPOUND_PARTS_MAX = 127;

/**
 * memberlist's maxPushStateBytes. It bounds an encrypted message, and so it bounds a whole state however it
 * is sent: clear, compressed (then it is what it unpacks to) or sealed.
 */
export const STREAM_BYTES_MAX = 20 * 1024 * 1024;
/**
 * One map on a stream: a header, a node entry, a ping, a hello. An honest one is a name and at most 512 bytes
 * of meta.
 */
export const STREAM_MAP_BYTES_MAX = 64 * 1024;
/**
 * Node entries in one push/pull: in memory some 50 MB, and far above any cluster that this protocol carries.
 */
export const PUSH_PULL_NODES_MAX = 131_072;
