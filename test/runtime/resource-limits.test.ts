import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync, statSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { tasksOf } from '../../src/runtime/resource-limits.ts';

const folder = mkdtempSync(join(tmpdir(), 'fanout-tasks-'));
const uid = process.getuid?.() ?? 0;

afterEach(() => rmSync(folder, { recursive: true }));

test('a process that ends while the tasks of its account are counted is left out, and the others are counted', async () => {
  const child = spawn('sleep', ['60']);
  await once(child, 'spawn');
  const descriptor = openSync(`/proc/${child.pid}`, 'r');
  try {
    child.kill('SIGKILL');
    await once(child, 'exit');
    // What a look meets that has found the process a moment before its end.
    symlinkSync(`/proc/self/fd/${descriptor}`, join(folder, '1'));
    expect(() => statSync(join(folder, '1/task'), { throwIfNoEntry: false })).toThrow(/ESRCH/);
    symlinkSync('/proc/self', join(folder, '2'));
    mkdirSync(join(folder, '3'));

    expect(tasksOf(uid, folder)).toBe(statSync('/proc/self/task').nlink - 2);
  } finally {
    closeSync(descriptor);
  }
});
