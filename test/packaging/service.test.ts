import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
import { TestCluster } from '../support/cluster.ts';
import { hasOptional } from '../support/optional.ts';
import {
  eventually,
  FANOUT,
  removeFolder,
  runProgram,
  stopProcess,
  temporaryFolder,
} from '../support/processes.ts';

const UNIT = fileURLToPath(new URL('../../packaging/fanout-agent.service', import.meta.url));
const HAS_SYSTEMD = hasOptional('systemd-analyze', 'the check of the unit by systemd', 'systemd');

const unit = readFileSync(UNIT, 'utf8');

/** The value of a key; the last one, as systemd reads it. */
function settingOf(key: string): string {
  const found = [...unit.matchAll(new RegExp(`^${key}=(.*)$`, 'gm'))].at(-1)?.[1];
  if (found === undefined) throw new Error(`the unit has no ${key}`);
  return found;
}

describe('the systemd unit', () => {
  const dir = temporaryFolder();
  afterAll(() => removeFolder(dir));

  const [program = '', ...args] = settingOf('ExecStart').split(' ');
  const [folder = ''] = args.slice(args.indexOf('--config-dir') + 1);

  test.skipIf(!HAS_SYSTEMD)('is one of which systemd has nothing to say', async () => {
    const copy = join(dir, 'fanout-agent.service');
    writeFileSync(copy, unit.replaceAll(program, FANOUT));
    const { code, stdout, stderr } = await runProgram('systemd-analyze', ['verify', '--man=no', copy]);
    expect(`${stdout}${stderr}`).toBe('');
    expect(code).toBe(0);
  });

  test('starts what the agent understands, with a folder as the README lays it out', async () => {
    expect(program).toBe('/usr/local/bin/fanout');
    expect(folder).toBe('/etc/fanout');
    const etc = join(dir, 'etc');
    mkdirSync(join(etc, 'policies'), { recursive: true });
    writeFileSync(join(etc, 'agent.yaml'), 'node_name: web1\nretry_join: [127.0.0.1]\n');
    // Not read as a configuration: it is deeper.
    writeFileSync(join(etc, 'policies', 'production.yaml'), 'version: 1\n');
    const told = args.map((arg) => (arg === folder ? etc : arg));
    const { code, stdout, stderr } = await runProgram(process.execPath, [FANOUT, ...told, '--check-config']);
    expect(stderr).toBe('');
    expect(code).toBe(0);
    expect(stdout.match(/^# read: .*/gm)).toEqual([`# read: ${join(etc, 'agent.yaml')}`]);
    if (process.getuid?.() !== 0) return;
    expect(stdout).toContain(`data_dir: /var/lib/${settingOf('StateDirectory')}/web1\n`);
    expect(stdout).toContain(`rpc_addr: /run/${settingOf('RuntimeDirectory')}/agent.sock\n`);
  });

  test('reloads and stops it in the way that the agent takes for that, with exit status 0', async () => {
    const [, signal] = /^\/bin\/kill -(\w+) \$MAINPID$/.exec(settingOf('ExecReload')) ?? [];
    const cluster = new TestCluster();
    try {
      const { child, log } = await cluster.start({ name: 'one' });
      child.kill(`SIG${signal}` as NodeJS.Signals);
      await eventually('a reload', () => log().includes('configuration reloaded'));
      await stopProcess(child, settingOf('KillSignal') as NodeJS.Signals);
      expect(child.exitCode).toBe(0);
      expect(log()).toContain('leaving the cluster');
    } finally {
      await cluster.stop();
    }
  });

  test('takes nothing away that sandboxes and control groups need', () => {
    expect(settingOf('Delegate')).toBe('yes');
    const keys = [...unit.matchAll(/^(\w+)=/gm)].map((match) => match[1]);
    const harmful = ['ProtectKernelTunables', 'ProtectKernelLogs', 'ProtectControlGroups', 'ProtectProc'];
    for (const key of [...harmful, 'ProcSubset', 'RestrictNamespaces', 'SystemCallFilter', 'PrivateUsers'])
      expect(keys).not.toContain(key);
    for (const needed of ['SETUID', 'SETGID', 'KILL', 'SYS_ADMIN', 'CHOWN'])
      expect(settingOf('CapabilityBoundingSet')).not.toContain(`CAP_${needed}`);
  });
});
