import type { Said } from './schema.ts';

/**
 * What two sources say together, as Serf merges them: lists one after the other, tags each by its name, and of everything
 * else what the later one says. Other than in Serf, a later `false` counts too.
 */
export function merge(earlier: Said, later: Said): Said {
  return {
    ...earlier,
    ...definedOf(later),
    tags: { ...earlier.tags, ...later.tags },
    mdns: { ...earlier.mdns, ...definedOf(later.mdns ?? {}) },
    start_join: [...(earlier.start_join ?? []), ...(later.start_join ?? [])],
    retry_join: [...(earlier.retry_join ?? []), ...(later.retry_join ?? [])],
    event_handlers: [...(earlier.event_handlers ?? []), ...(later.event_handlers ?? [])],
  };
}

/** Without the keys that say nothing: they must not take away what another source has said. */
function definedOf<T extends object>(said: T): Partial<T> {
  const copy: Partial<T> = { ...said };
  for (const key in copy) if (copy[key] === undefined) delete copy[key];
  return copy;
}
