import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { findGroups, prepareUnified } from '../../src/runtime/group-home.ts';
import { JobGroup, sweepGroups } from '../../src/runtime/job-group.ts';
import { testWhere } from '../support/applies.ts';
import { stopProcess } from '../support/processes.ts';
import { eventually, IS_ROOT, uniqueWord } from './command-helper.ts';

/** A version 2 hierarchy of this machine, wherever it is mounted, and what it can hand down. */
const UNIFIED = /^\S+ \S+ \S+ \/ (\S+) .* - cgroup2 /m.exec(
  readFileSync('/proc/self/mountinfo', 'utf8'),
)?.[1];
const controllers = (folder: string, name = 'cgroup.controllers'): string[] =>
  readFileSync(join(folder, name), 'utf8').trim().split(' ').filter(Boolean);
const HANDED_DOWN = UNIFIED === undefined ? [] : controllers(UNIFIED, 'cgroup.subtree_control');

describe('texts of a machine', () => {
  test('without control groups there is no home, and it is said what to do', () => {
    const { home, missing } = findGroups({ own: '', mounts: '' });
    expect(home).toEqual({});
    expect(missing.memory).toMatchObject({ reason: 'there is no memory controller of control groups' });
    expect(missing.memory?.hint).toContain('cgroup2');
  });

  test('a folder where no group can be made is no home', () => {
    const mounts = '30 1 0:1 / /proc/fanout rw - cgroup cgroup rw,memory\n';
    const { home, missing } = findGroups({ own: '4:memory:/a\n', mounts });
    expect(home).toEqual({});
    expect(missing.memory?.reason).toContain('no control group can be made in /proc/fanout/a');
  });

  test('in a container, what is mounted is a part of the tree', () => {
    const mounts = '30 1 0:1 /docker/abc /proc/fanout ro - cgroup cgroup rw,cpu,cpuacct\n';
    const of = (own: string) => findGroups({ own, mounts }).missing.cpu?.reason;
    expect(of('4:cpu,cpuacct:/docker/abc/x\n')).toContain('/proc/fanout/x (');
    expect(of('4:cpu,cpuacct:/docker/abcd\n')).toContain('there is no cpuacct controller');
  });
});

describe('a version 2 hierarchy', () => {
  test('that is not there is not made ready', () => {
    expect(prepareUnified('/proc/fanout', ['memory'])).toMatchObject({
      reason: expect.stringContaining('no control group can be made in /proc/fanout'),
    });
  });

  const folders: string[] = [];
  const isUsable = IS_ROOT && UNIFIED !== undefined && canMakeGroup(UNIFIED);

  /** A folder as systemd would hand it to a service, with a process in it. */
  async function delegated() {
    const folder = join(UNIFIED!, uniqueWord());
    mkdirSync(folder);
    folders.push(folder);
    const child = spawn('sleep', ['1000'], { stdio: 'ignore' });
    writeFileSync(join(folder, 'cgroup.procs'), String(child.pid));
    return { folder, child };
  }

  afterEach(() => {
    for (const folder of folders.splice(0)) removeTree(folder);
  });

  testWhere(isUsable && HANDED_DOWN.length > 0)(
    'its process moves into a leaf, and the folder hands down',
    async () => {
      const { folder, child } = await delegated();
      const wanted = controllers(folder);
      expect(prepareUnified(folder, wanted, child.pid)).toEqual({ folder, enabled: wanted });
      expect(readFileSync(join(folder, 'agent/cgroup.procs'), 'utf8')).toBe(`${child.pid}\n`);
      // The next look, out of the leaf, finds the same.
      expect(prepareUnified(join(folder, 'agent'), wanted, child.pid)).toEqual({ folder, enabled: wanted });
      await stopProcess(child);
    },
  );

  testWhere(isUsable && HANDED_DOWN.length > 0)('where others are too, all stays as it was', async () => {
    const { folder, child } = await delegated();
    const other = spawn('sleep', ['1000'], { stdio: 'ignore' });
    writeFileSync(join(folder, 'cgroup.procs'), String(other.pid));
    const refused = prepareUnified(folder, controllers(folder), child.pid);
    expect(refused).toMatchObject({ reason: expect.stringContaining('other processes are in it') });
    expect(refused).toMatchObject({ hint: expect.stringContaining('Delegate=yes') });
    expect(readFileSync(join(folder, 'cgroup.procs'), 'utf8')).toContain(String(child.pid));
    expect(existsSync(join(folder, 'agent'))).toBe(false);
    await Promise.all([stopProcess(child), stopProcess(other)]);
  });

  testWhere(isUsable)('counts the processor time of all, and kills whatever is in it', async () => {
    const { folder, child } = await delegated();
    const home = { cpu: { version: 2, folder } } as const;
    const group = JobGroup.create(home, { cpuMs: 300, memoryBytes: undefined, tasks: undefined });
    // Its child must be born in the group: what was outside would stay when the group is killed.
    const spin = 'read go; while :; do :; done & while :; do :; done';
    const busy = spawn('sh', ['-c', spin], { stdio: ['pipe', 'ignore', 'ignore'] });
    group?.join(busy.pid!);
    busy.stdin.end('go\n');
    const gone = new Promise((resolve) => busy.once('exit', (_, signal) => resolve(signal)));
    await eventually(() => group?.overrun() === 'cpu-limit');
    group?.kill();
    expect(await gone).toBe('SIGKILL');
    group?.remove();
    await eventually(() => !readdirSync(folder).some((name) => name.startsWith('fanout-job')));
    await stopProcess(child);
  });

  testWhere(isUsable)('what a dead agent left is swept up, and what a living one uses is not', async () => {
    const { folder, child } = await delegated();
    const dead = spawn('true');
    await new Promise((resolve) => dead.once('exit', resolve));
    for (const pid of [dead.pid, process.pid]) mkdirSync(join(folder, `fanout-job-${pid}-1`));
    mkdirSync(join(folder, 'somebody-else'));
    sweepGroups({ cpu: { version: 2, folder } });
    const left = readdirSync(folder).filter((name) => /^fanout-job|^somebody/.test(name));
    expect(left.sort()).toEqual([`fanout-job-${process.pid}-1`, 'somebody-else']);
    await stopProcess(child);
  });
});

/** In a container the tree is often there to be read only. */
function canMakeGroup(folder: string): boolean {
  const trial = join(folder, uniqueWord());
  try {
    mkdirSync(trial);
    rmdirSync(trial);
    return true;
  } catch {
    return false;
  }
}

function removeTree(folder: string): void {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    if (entry.isDirectory()) removeTree(join(folder, entry.name));
  }
  rmdirSync(folder);
}
