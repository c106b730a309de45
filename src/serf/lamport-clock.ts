/**
 * A clock above this was not counted up to: at a million ticks a second it takes a century. It is a hostile
 * value, sent to push everybody's clock to its end, where the real Serf's wraps and every later intent looks
 * old.
 */
export const LTIME_MAX = 2 ** 52;

/**
 * A Lamport clock (Lamport 1978). Starts at 1, as Serf's do after their first increment, so that 0 can mean "never".
 * It stops at LTIME_MAX: a clock driven there must not make us say what our peers refuse to read.
 */
export class LamportClock {
  private value = 1;

  /** The time that the next local message carries. */
  get time(): number {
    return this.value;
  }

  /** Takes the present time for a message and moves on. */
  take(): number {
    const { value } = this;
    this.witness(value);
    return value;
  }

  /** Learns of a time that somebody else used. */
  witness(time: number): void {
    if (time >= this.value) this.value = Math.min(time + 1, LTIME_MAX);
  }
}
