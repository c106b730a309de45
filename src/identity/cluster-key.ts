import { randomBytes } from 'node:crypto';

/**
 * A new cluster key as Serf's -encrypt takes it: 32 random bytes (AES-256) in base64. It admits to the gossip
 * only.
 */
export function generateClusterKey(): string {
  return randomBytes(32).toString('base64');
}
