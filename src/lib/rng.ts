/** A source of randomness that is handed in, so that a simulation can replay every choice from one seed. */
export interface Rng {
  /** Uniform in 0 .. 2^32-1. */
  u32(): number;
  /** Uniform in [0, 1). */
  float(): number;
  /** Uniform integer in 0 .. limit-1. */
  below(limit: number): number;
  /** `length` random bytes. */
  bytes(length: number): Uint8Array;
  /** Shuffles in place (Fisher-Yates) and returns the same array. */
  shuffle<T>(items: T[]): T[];
}

/** Builds an Rng on a function that gives 32 random bits. */
export function rngFrom(u32: () => number): Rng {
  const float = (): number => u32() / 0x1_0000_0000;
  const below = (limit: number): number => Math.floor(float() * limit);
  return {
    u32,
    float,
    below,
    bytes(length) {
      const bytes = new Uint8Array(length);
      for (let i = 0; i < length; i++) bytes[i] = u32() & 0xff;
      return bytes;
    },
    shuffle(items) {
      for (let i = items.length - 1; i > 0; i--) {
        const j = below(i + 1);
        const swap = items[i] as (typeof items)[number];
        items[i] = items[j] as (typeof items)[number];
        items[j] = swap;
      }
      return items;
    },
  };
}

/** sfc32, a small fast generator with good statistics (PractRand). Deterministic: for simulations and tests, never for keys. */
export function seededRng(seed: number): Rng {
  let a = 0x9e3779b9;
  let b = 0x243f6a88;
  let c = seed >>> 0;
  let counter = 1;
  const next = (): number => {
    const sum = (a + b + counter) >>> 0;
    counter = (counter + 1) >>> 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) >>> 0;
    c = ((c << 21) | (c >>> 11)) >>> 0;
    c = (c + sum) >>> 0;
    return sum;
  };
  for (let i = 0; i < 15; i++) next();
  return rngFrom(next);
}
