const UNIT_BYTES: Readonly<Record<string, number>> = { B: 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 };

/** Bytes of a size such as `4096B`, `256KiB`, `4MiB`, `1GiB`; undefined when the text is not one. */
export function parseSize(text: string): number | undefined {
  const match = /^(\d+)(B|KiB|MiB|GiB)$/.exec(text);
  if (match === null) return undefined;
  const bytes = Number(match[1]) * (UNIT_BYTES[match[2] as string] as number);
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

/** A size for people: `812 B`, `1.4 KiB`, `200 MiB`. */
export function formatSize(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`;
  for (const [unit, next] of [
    ['KiB', 2 ** 20],
    ['MiB', 2 ** 30],
    ['GiB', Number.POSITIVE_INFINITY],
  ] as const) {
    if (bytes >= next) continue;
    const value = bytes / (UNIT_BYTES[unit] as number);
    return `${value < 9.95 ? value.toFixed(1) : Math.round(value)} ${unit}`;
  }
  return `${bytes} B`;
}
