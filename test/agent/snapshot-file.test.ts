import { chmodSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { SnapshotFile } from '../../src/agent/snapshot-file.ts';
import type { SerfEvent } from '../../src/serf/events.ts';
import { fanoutErrorOf, scratchFolder } from '../identity/fixtures.ts';
import { addrOf, PORT } from '../memberlist/harness.ts';
import { eventually } from '../support/processes.ts';

function opened(path: string, options: { rejoins?: boolean; clock?: () => number } = {}) {
  const said: string[] = [];
  const note = (text: string): void => void said.push(text);
  const log = { debug: note, info: note, warn: note, error: note };
  const { rejoins = false, clock = () => 1 } = options;
  return { file: SnapshotFile.open(path, { rejoins, log, memberClock: clock }), said };
}

const joins = (name: string): SerfEvent => ({
  kind: 'member',
  event: 'member-join',
  member: {
    name,
    addr: addrOf(1),
    port: PORT,
    tags: new Map(),
    vsn: new Uint8Array(6),
    status: 'alive',
    statusLTime: 0,
    goneAt: 0,
  },
});

describe('a snapshot', () => {
  test('holds what happened, is written within a moment, and is its owner’s alone', async () => {
    const path = join(scratchFolder(), 'snapshot');
    const { file } = opened(path, { clock: () => 12 });
    file.event(joins('web1'));
    const text = `alive: web1 10.0.0.1:${PORT}\nclock: 11\n`;
    await eventually('the lines to be written', () => readFileSync(path, 'utf8') === text);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    file.leave();
    expect(readFileSync(path, 'utf8')).toBe(`${text}leave\n`);
    file.close();
    const again = opened(path, { rejoins: true }).file;
    expect(again.content).toMatchObject({ alive: new Map([['web1', `10.0.0.1:${PORT}`]]), clock: 11 });
    again.close();
  });

  test('is replaced by a shorter one when it has grown', () => {
    const path = join(scratchFolder(), 'snapshot');
    writeFileSync(path, `alive: a 10.0.0.1:1\n${'# nothing\n'.repeat(20_000)}clock: 5\n`);
    const { file } = opened(path);
    file.event(joins('b'));
    file.close();
    expect(readFileSync(path, 'utf8')).toBe(
      `alive: a 10.0.0.1:1\nalive: b 10.0.0.1:${PORT}\nclock: 5\nevent-clock: 0\nquery-clock: 0\n`,
    );
  });

  test('goes on behind a line that a crash has torn', () => {
    const path = join(scratchFolder(), 'snapshot');
    writeFileSync(path, 'alive: a 10.0.0.1:1\nalive: b 10.0');
    const { file } = opened(path);
    expect([...file.content.alive.keys()]).toEqual(['a']);
    file.event(joins('c'));
    file.close();
    const again = opened(path);
    // What was torn is whole now, and no address: nobody will be reached there.
    expect([...again.file.content.alive]).toContainEqual(['c', `10.0.0.1:${PORT}`]);
    again.file.close();
  });

  test.each([
    ['zeros', new Uint8Array(10_000)],
    ['noise', Uint8Array.from({ length: 10_000 }, (_, i) => (i * 7919) % 256)],
    ['a single line', Buffer.from('x'.repeat(1_000_000))],
    ['more than anybody writes', Buffer.alloc(33 * 1024 * 1024, '# filler\n')],
  ])('of %s does not keep an agent from starting, nor from keeping one', (_what, bytes) => {
    const path = join(scratchFolder(), 'snapshot');
    writeFileSync(path, bytes);
    const { file } = opened(path);
    expect(file.content.alive.size).toBe(0);
    file.event(joins('a'));
    file.close();
    const again = opened(path);
    expect([...again.file.content.alive.keys()]).toEqual(['a']);
    again.file.close();
  });

  test('is not taken from where others could have written it', () => {
    const folder = scratchFolder();
    const path = join(folder, 'snapshot');
    writeFileSync(path, '');
    chmodSync(path, 0o666);
    expect(fanoutErrorOf(() => opened(path))).toMatchObject({
      code: 'CONFIG',
      hint: expect.stringContaining('chmod'),
    });
    symlinkSync('/etc/hostname', join(folder, 'link'));
    expect(fanoutErrorOf(() => opened(join(folder, 'link'))).message).toMatch(/symbolic link/);
    mkdirSync(join(folder, 'folder'));
    expect(fanoutErrorOf(() => opened(join(folder, 'folder'))).code).toBe('CONFIG');
    expect(fanoutErrorOf(() => opened(join(folder, 'no', 'snapshot'))).message).toMatch(/no folder/);
  });
});
