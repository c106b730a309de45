/** A queue of things to do at virtual moments, in order of time and, within one moment, of being asked for. */
export class VirtualTime {
  private readonly heap: { at: number; serial: number; run: () => void }[] = [];
  private serial = 0;
  now = 0;

  at(when: number, run: () => void): void {
    const { heap } = this;
    const item = { at: Math.max(when, this.now), serial: this.serial++, run };
    heap.push(item);
    let i = heap.length - 1;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (before(heap[parent]!, item)) break;
      heap[i] = heap[parent]!;
      i = parent;
    }
    heap[i] = item;
  }

  /** Runs everything up to and including the moment `until`. */
  runUntil(until: number): void {
    while (this.heap.length > 0 && this.heap[0]!.at <= until) {
      const item = this.pop();
      this.now = item.at;
      item.run();
    }
    this.now = until;
  }

  private pop(): { at: number; serial: number; run: () => void } {
    const { heap } = this;
    const first = heap[0]!;
    const last = heap.pop()!;
    if (heap.length === 0) return first;
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child++;
      if (before(last, heap[child]!)) break;
      heap[i] = heap[child]!;
      i = child;
    }
    heap[i] = last;
    return first;
  }
}

function before(a: { at: number; serial: number }, b: { at: number; serial: number }): boolean {
  return a.at !== b.at ? a.at < b.at : a.serial < b.serial;
}
