import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { checkArgv, parseCommandString } from '../../src/policy/command-string.ts';
import { decide } from '../../src/policy/decide.ts';
import { loadPolicy } from '../../src/policy/load.ts';
import type { Policy } from '../../src/policy/policy.ts';
import { someKey } from './fixtures.ts';

const FOLDER = new URL('../../policies/', import.meta.url);

function shipped(name: string): Policy {
  const file = `${name}.yaml`;
  return loadPolicy(readFileSync(new URL(file, FOLDER), 'utf8'), file);
}

/**
 * What people ask of machines all day, and which of development, staging and production allow it on a web
 * node.
 */
const EVERYDAY: readonly (readonly [command: string, environments: string])[] = [
  ['ps ax', 'dsp'],
  ['ps aux', 'ds'],
  ['ps -ef', 'dsp'],
  ['df -h', 'dsp'],
  ['df -h /', 'dsp'],
  ['df -i', 'dsp'],
  ['uptime', 'dsp'],
  ['free -m', 'dsp'],
  ['free -h', 'ds'],
  ['ss -ltn', 'dsp'],
  ['ss -s', 'dsp'],
  ['ss -tulpn', 'd'],
  ['ip addr', 'ds'],
  ['ip -br addr', 'ds'],
  ['uname -a', 'ds'],
  ['nproc', 'ds'],
  ['hostname', 'd'],
  ['date', 'd'],
  ['id', 'd'],
  ['lsblk', 'ds'],
  ['ls -la /var/log', 'ds'],
  ['ls /srv', 'd'],
  ['cat /etc/os-release', 'ds'],
  ['cat /var/log/syslog', 'ds'],
  ['cat /srv/app/config.yaml', 'd'],
  ['head -n 5 /var/log/syslog', 'd'],
  ['tail -n 100 /var/log/syslog', 'ds'],
  ["grep -i 'out of memory' /var/log/kern.log", 'ds'],
  ['grep -rn x /srv/app', 'd'],
  ["find /srv -name '*.log' -mtime +7", 'd'],
  ['du -sh /var/log', 'd'],
  ['top -b -n 1', 'd'],
  ['journalctl -u nginx.service -n 50', 'dsp'],
  ['journalctl --no-pager -u app-web.service -p err', 'dsp'],
  ["journalctl --since '1 hour ago' -n 500", 'dsp'],
  ['journalctl --since -15m', 'ds'],
  ['journalctl -k -n 50', 'd'],
  ['systemctl status nginx.service', 'dsp'],
  ['systemctl --no-pager status ssh.service', 'ds'],
  ['systemctl status ssh', 'd'],
  ['systemctl is-active app-web.service', 'dsp'],
  ['systemctl --failed', 'ds'],
  ['systemctl list-units --type=service --state=running', 'd'],
];

const POLICIES = [
  ['development', 'd'],
  ['staging', 's'],
  ['production', 'p'],
] as const;

test('the folder has the three policies and a page about them', () => {
  const names = readdirSync(FOLDER).sort();
  expect(names).toEqual([
    'README.md',
    'development.yaml',
    'policy.schema.json',
    'production.yaml',
    'staging.yaml',
  ]);
});

test('the policy on the page is a policy', () => {
  const page = readFileSync(new URL('README.md', FOLDER), 'utf8');
  const text = /```yaml\n([\s\S]*?)```/.exec(page)?.[1] ?? '';
  const key = /key: "(ssh-ed25519 \S+ alice)"/.exec(
    readFileSync(new URL('staging.yaml', FOLDER), 'utf8'),
  )?.[1];
  const sound = text
    .replace('ssh-ed25519 AAAA... alice', key ?? '')
    .replace('ssh-ed25519 AAAA... bob', someKey('bob'));
  expect(loadPolicy(sound, 'README.md').rules.length).toBe(3);
});

describe.each(POLICIES)('%s', (name, letter) => {
  const policy = shipped(name);

  test.each(EVERYDAY)('%s', (command, environments) => {
    const argv = parseCommandString(command);
    const tags = new Map([['role', 'web']]);
    const { effect } = decide(policy, { operator: 'alice', tags, argv, unixMs: 0 });
    expect(effect).toBe(environments.includes(letter) ? 'allow' : 'deny');
  });

  test('is of its own environment, and has an example for every allow rule', () => {
    expect(policy.environment).toBe(name);
    const text = readFileSync(new URL(`${name}.yaml`, FOLDER), 'utf8');
    const examples = [...text.matchAll(/as: (\w+)(?:, tags: \{ role: (\w+) \})?, cmd: "([^"]+)"/g)];
    const used = examples.map(([, operator, role = '', cmd = '']) => {
      const tags = new Map([['role', role]]);
      return decide(policy, { operator, tags, argv: parseCommandString(cmd), unixMs: 0 }).rule;
    });
    for (const rule of policy.rules) if (rule.effect === 'allow') expect(used, rule.id).toContain(rule.id);
  });

  test('allows nothing without an operator, a bare program, or a declared option', () => {
    const tags = new Map([['role', 'web']]);
    for (const rule of policy.rules) {
      if (rule.effect !== 'allow') continue;
      for (const { program, grammar } of rule.commands) {
        const base = { tags, argv: [program], unixMs: 0 };
        expect(decide(policy, { ...base, operator: undefined })).toMatchObject({ code: 'operator-unknown' });
        for (const other of ['--help-me', '-Z', '--output=/tmp/x', '-', '--exec=sh']) {
          const argv = [program, other];
          expect(checkArgv(argv)).toBeUndefined();
          // Free text is echo's alone, and does not begin with a dash either.
          expect(decide(policy, { ...base, operator: 'alice', argv }), `${argv}`).toMatchObject({
            effect: 'deny',
          });
        }
        if (grammar.form !== 'options') continue;
        for (const option of [...grammar.flags, ...grammar.options.keys()])
          expect(option).toMatch(/^--?[a-zA-Z0-9]/);
      }
    }
  });

  test('denies shells by any path and in any case, and names no shell among its programs', () => {
    for (const shell of [
      'sh',
      'bash',
      'dash',
      'zsh',
      'sudo',
      'ssh',
      'python3',
      'perl',
      'env',
      'xargs',
      'vim',
      'less',
    ]) {
      for (const program of [shell, `/bin/${shell}`, `./${shell}`, shell.toUpperCase()]) {
        const request = { operator: 'alice', tags: new Map(), argv: [program, '-c', 'id'], unixMs: 0 };
        expect(decide(policy, request)).toMatchObject({ effect: 'deny', code: 'deny-rule', rule: 'never' });
      }
    }
  });
});

test('staging and production pin every program to its file, and never fall back to a weaker sandbox', () => {
  for (const policy of [shipped('staging'), shipped('production')]) {
    for (const rule of policy.rules) {
      if (rule.effect !== 'allow') continue;
      expect(rule.surroundings.sandboxes.length).toBe(1);
      for (const { program, path } of rule.commands) expect(path).toBe(`/usr/bin/${program}`);
    }
  }
});

/** Ways to change something with programs that the policies name for looking. */
const CHANGING = [
  ['systemctl', 'restart', 'nginx.service'],
  ['systemctl', 'stop', 'app-1.service'],
  ['systemctl', 'edit', 'nginx.service'],
  ['journalctl', '--vacuum-time=1s'],
  ['journalctl', '--rotate'],
  ['find', '/var/log', '-delete'],
  ['find', '/var/log', '-fprint', '/tmp/x'],
  ['date', '-s', '2030-01-01'],
  ['date', '--set=2030-01-01'],
  ['hostname', 'other'],
  ['ip', 'link', 'set', 'eth0', 'down'],
  ['ip', 'addr', 'add', '10.0.0.1/8', 'dev', 'lo'],
  ['ss', '-K'],
  ['sort', '-o', '/tmp/x', '/etc/passwd'],
  ['kill', '-9', '1'],
  ['rm', '-r', '/srv'],
];

test.each(['development', 'staging', 'production'])(
  '%s says of its rules what is true: they change nothing',
  (name) => {
    const policy = shipped(name);
    const tags = new Map([['role', 'web']]);
    const allowed = policy.rules.filter((rule) => rule.effect === 'allow');
    expect(allowed.length).toBeGreaterThan(2);
    for (const rule of allowed) expect(rule.readOnly, rule.id).toBe(true);
    for (const argv of CHANGING) {
      const decision = decide(policy, { operator: 'alice', tags, argv, unixMs: 0 });
      expect(decision.effect, argv.join(' ')).toBe('deny');
    }
  },
);
