/**
 * A two-way stream of bytes with back-pressure: what net/ makes of a TCP or unix socket, and all that the floors below
 * it know of one.
 */
export interface ByteStream {
  /** Queues bytes; false when the other side is slow and the writer should wait for `onDrain`. */
  write(bytes: Uint8Array): boolean;
  /** Called whenever everything that was written has left. */
  onDrain(listener: () => void): void;
  /** Called with each chunk. Data is held back until the first listener is there. */
  onData(listener: (chunk: Uint8Array) => void): void;
  /** Called once, when the stream is over for whatever reason. Later listeners are called at once. */
  onClose(listener: (error: Error | undefined) => void): void;
  /** Stops reading, so that the other side feels the back-pressure. */
  pause(): void;
  resume(): void;
  /** Sends what was written, then closes. */
  end(): void;
  /** Closes now. */
  destroy(): void;
}
