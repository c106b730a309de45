import { closeSync, fdatasync, fdatasyncSync, fstatSync, ftruncateSync, writeSync } from 'node:fs';
import { codeOf } from '../lib/errors.ts';

/**
 * A file that only this process adds to. What is written is the kernel's at once and survives this process; the disk
 * follows without holding the process up.
 */
export class SyncedFile {
  readonly fd: number;
  private length: number;
  private isSyncing = false;
  private needsSync = false;
  private isClosed = false;
  private failure = '';
  private readonly waiters: (() => void)[] = [];

  constructor(fd: number, size: number) {
    this.fd = fd;
    this.length = size;
  }

  get size(): number {
    return this.length;
  }

  /** Why nothing can be written any more, '' while it can. */
  get broken(): string {
    if (this.failure !== '' || this.isClosed) return this.failure === '' ? 'it is closed' : this.failure;
    const { size, nlink } = fstatSync(this.fd);
    if (nlink === 0) this.failure = 'it was deleted';
    else if (size !== this.length) this.failure = 'somebody else wrote to it';
    return this.failure;
  }

  /** Adds bytes, all of them or none. Throws what the system says; `broken` tells whether trying again makes sense. */
  append(bytes: Uint8Array): void {
    try {
      for (let offset = 0; offset < bytes.length; ) offset += writeSync(this.fd, bytes, offset);
    } catch (error) {
      this.takeBack(error);
      throw error;
    }
    this.length += bytes.length;
    this.syncSoon();
  }

  /** Cuts bytes off the end. */
  truncate(size: number): void {
    ftruncateSync(this.fd, size);
    this.length = size;
    this.syncSoon();
  }

  /** Closes with everything on the disk. */
  close(): void {
    if (this.isClosed) return;
    if (this.failure === '') fdatasyncSync(this.fd);
    this.isClosed = true;
    this.closeWhenIdle();
  }

  /** Closes without waiting for the disk; resolves when that is done. */
  closeSoon(): Promise<void> {
    return new Promise((resolve) => {
      this.waiters.push(resolve);
      this.isClosed = true;
      this.closeWhenIdle();
    });
  }

  /** A descriptor under which a request is on its way must stay: its number would become another file. */
  private closeWhenIdle(): void {
    if (this.isSyncing) return;
    closeSync(this.fd);
    for (const waiter of this.waiters.splice(0)) waiter();
  }

  /** One request at a time covers everything written before it. A disk that fails ends the file. */
  private syncSoon(): void {
    if (this.isSyncing) {
      this.needsSync = true;
      return;
    }
    this.isSyncing = true;
    this.needsSync = false;
    fdatasync(this.fd, (error) => {
      this.isSyncing = false;
      if (error !== null && this.failure === '') {
        this.failure = `the disk failed: ${codeOf(error)}`;
      }
      if (this.needsSync && this.failure === '') this.syncSoon();
      else if (this.isClosed) this.closeWhenIdle();
    });
  }

  /** After a failed write half a line may be there, on which the next one must not be built. */
  private takeBack(error: unknown): void {
    try {
      ftruncateSync(this.fd, this.length);
    } catch {
      this.failure = `an earlier write failed: ${codeOf(error)}`;
    }
  }
}
