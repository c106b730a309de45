/**
 * A Lamport clock (Lamport 1978). Starts at 1, as Serf's do after their first increment, so that 0 can mean "never".
 */
export class LamportClock {
  private value = 1;

  /** The time that the next local message carries. */
  get time(): number {
    return this.value;
  }

  /** Takes the present time for a message and moves on. */
  take(): number {
    return this.value++;
  }

  /** Learns of a time that somebody else used. */
  witness(time: number): void {
    if (time >= this.value) this.value = time + 1;
  }
}
