import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { FanoutError } from '../../src/lib/errors.ts';
import { parseCommandString } from '../../src/policy/command-string.ts';
import { type Decision, decide } from '../../src/policy/decide.ts';
import { loadPolicy } from '../../src/policy/load.ts';
import type { Policy } from '../../src/policy/policy.ts';
import { checkRealPaths } from '../../src/runtime/resolve-program.ts';
import { rootOf } from './fixtures.ts';
import { LOOK_ALIKES, SMUGGLED } from './hostile-arguments.ts';
import { DANGEROUS_OPTIONS } from './hostile-options.ts';

const NAMES = ['development', 'staging', 'production'] as const;
const TEXTS = NAMES.map((name) =>
  readFileSync(new URL(`../../policies/${name}.yaml`, import.meta.url), 'utf8'),
);
const POLICIES = NAMES.map((name, i) => [name, loadPolicy(TEXTS[i]!, `${name}.yaml`)] as const);

/** Nodes of every kind that the policies tell apart. */
const NODES = [{ role: 'web' }, { role: 'db' }].map((tags) => new Map<string, string>(Object.entries(tags)));

/** What each policy says to each of its operators on each kind of node. */
function* decisions(argv: readonly string[], policies = POLICIES) {
  for (const [name, policy] of policies) {
    for (const operator of policy.operators.keys()) {
      for (const tags of NODES) {
        const decision = decide(policy, { operator, tags, argv, unixMs: 0 });
        yield { name, operator, tags, decision };
      }
    }
  }
}

/** The letters of the policies that allow an argv to somebody somewhere. */
function allowedBy(argv: readonly string[]): string {
  const letters = [...decisions(argv)].flatMap(({ name, decision }) =>
    decision.effect === 'allow' ? [name.charAt(0)] : [],
  );
  return [...new Set(letters)].join('');
}

const allowRules = POLICIES.flatMap(([, policy]) => policy.rules.filter((rule) => rule.effect === 'allow'));
const commands = allowRules.flatMap((rule) => rule.commands);
const programs = [...new Set(commands.map(({ program }) => program))].sort();

/** Commands that some policy allows, by program: what the dangerous options are put beside. */
const ALLOWED = new Map<string, (readonly string[])[]>();
for (const text of TEXTS) {
  const allow = text.slice(text.indexOf('\nexamples:'), text.indexOf('\n  deny:'));
  for (const [, cmd = ''] of allow.matchAll(/cmd: "([^"]+)"/g)) {
    const argv = parseCommandString(cmd);
    ALLOWED.set(argv[0]!, [...(ALLOWED.get(argv[0]!) ?? []), argv]);
  }
}
const MORE = [
  'top -b -n 1',
  'pgrep x',
  'vmstat 1 2',
  'du -sh /srv',
  'lsblk -f',
  'findmnt',
  'uname -r',
  'hostname -f',
  'date -u',
  'id',
  'whoami',
  'who',
  'nproc',
  'lscpu',
  'getent passwd root',
  'dpkg-query -W bash',
  'true',
  'false',
  'sleep 5',
  'echo hi',
  'head -n 5 /srv/x',
  'tail -n 5 /var/log/x',
  'wc -l /srv/x',
  'stat /srv/x',
  'sha256sum /srv/x',
];
for (const argv of MORE.map(parseCommandString)) {
  ALLOWED.set(argv[0]!, [...(ALLOWED.get(argv[0]!) ?? []), argv]);
}

test('the corpus is large', () => {
  const dangers = Object.values(DANGEROUS_OPTIONS).flat().length;
  const smuggled = Object.values(SMUGGLED).flat().length;
  expect(dangers).toBeGreaterThanOrEqual(250);
  expect(smuggled + LOOK_ALIKES.length).toBeGreaterThanOrEqual(250);
});

test('every program of a shipped policy has hostile cases, and a command that is allowed to put them beside', () => {
  expect(Object.keys(DANGEROUS_OPTIONS).sort()).toEqual(programs);
  for (const program of programs) {
    expect(DANGEROUS_OPTIONS[program]?.length, program).toBeGreaterThan(0);
    expect(ALLOWED.get(program)?.length, program).toBeGreaterThan(0);
    for (const argv of ALLOWED.get(program) ?? []) expect(allowedBy(argv), argv.join(' ')).not.toBe('');
  }
});

/** An option as a program documents it: by itself, with its value, with =, and with the value attached. */
function plainForms(option: string, value: string): string[][] {
  return value === '' ? [[option]] : [[option], [option, value], [`${option}=${value}`], [option + value]];
}

/** What getopt makes of it besides: beginnings of a long name, and clusters with the flags that the policies declare. */
function otherForms(program: string, option: string, value: string): string[][] {
  const long = /^--[^=]+/.exec(option)?.[0] ?? '';
  const forms: string[][] = [];
  for (let length = 3; length < long.length; length++) {
    forms.push([option.slice(0, length)], [`${option.slice(0, length)}=${value}`]);
  }
  const letter = /^-([a-zA-Z])$/.exec(option)?.[1];
  if (letter === undefined) return forms;
  for (const { program: of, grammar } of commands) {
    if (of !== program || grammar.form !== 'options') continue;
    for (const flag of grammar.flags) {
      if (/^-[a-zA-Z]+$/.test(flag)) forms.push([flag + letter + value], [`-${letter}${flag.slice(1)}`]);
    }
  }
  return forms;
}

describe('no shipped policy allows what a program can do besides looking', () => {
  test.each(Object.entries(DANGEROUS_OPTIONS))('%s', (program, dangers) => {
    const lines = new Map<string, string>();
    const add = (why: string, ...argv: string[]): unknown => lines.set(argv.join('\0'), why);
    const allowed = ALLOWED.get(program) ?? [];
    for (const [option, value, harm, reason] of dangers) {
      const why = `${harm}: ${reason}`;
      for (const words of plainForms(option, value)) {
        add(why, program, ...words);
        for (const [, ...rest] of allowed) {
          add(why, program, ...words, ...rest);
          add(why, program, ...rest, ...words);
          add(why, program, ...rest, '--', ...words);
          add(why, program, ...rest.slice(0, 1), ...words, ...rest.slice(1));
        }
      }
      const [, ...rest] = allowed[0] ?? [];
      for (const words of otherForms(program, option, value)) add(why, program, ...words, ...rest);
    }
    for (const [line, why] of lines) {
      if (allowed.some((argv) => argv.join('\0') === line)) continue;
      expect(allowedBy(line.split('\0')), `${line.replaceAll('\0', ' ')} ${why}`).toBe('');
    }
  });
});

describe.each(Object.entries(SMUGGLED))('%s', (_class, cases) => {
  test.each(cases)('%s (allowed by: "%s"; %s)', (command, letters) => {
    let argv: readonly string[];
    try {
      argv = typeof command === 'string' ? parseCommandString(command) : command;
    } catch (error) {
      expect(error).toBeInstanceOf(FanoutError);
      expect(letters).toBe('');
      return;
    }
    expect(allowedBy(argv)).toBe(letters);
  });
});

describe('what looks like an allowed word is not one', () => {
  test.each(LOOK_ALIKES)('%j (%s)', (argv) => {
    for (const { name, decision } of decisions(argv)) {
      expect(decision, name).toMatchObject({ effect: 'deny' });
      // The answer goes to a terminal: it must not carry there what it refuses.
      expect((decision as { reason: string }).reason).toMatch(/^\P{C}*$/u);
    }
  });
});

describe('bounds', () => {
  const [[, development]] = POLICIES as [(typeof POLICIES)[0]];
  const ask = (argv: readonly string[]): Decision =>
    decide(development, { operator: 'alice', tags: new Map(), argv, unixMs: 0 });
  const words = (count: number, word = 'x'): string[] => Array.from({ length: count }, () => word);

  test.each<[string, readonly string[], string]>([
    ['as many words as echo may have', ['echo', ...words(32)], 'allow'],
    ['one word more', ['echo', ...words(33)], 'no-rule'],
    ['as many words as there can be', ['echo', ...words(63)], 'no-rule'],
    ['64 arguments behind the program', ['echo', ...words(64)], 'argv'],
    ['a thousand arguments', ['echo', ...words(1000)], 'argv'],
    ['as much free text as the rule takes', ['echo', 'x'.repeat(256)], 'allow'],
    ['one character more', ['echo', 'x'.repeat(257)], 'no-rule'],
    ['characters of four bytes are one each', ['echo', '😀'.repeat(256)], 'allow'],
    ['the longest argument', ['echo', 'x'.repeat(4096)], 'no-rule'],
    ['one byte more', ['echo', 'x'.repeat(4097)], 'argv'],
    ['4097 bytes in fewer characters', ['echo', 'é'.repeat(2049)], 'argv'],
    ['the largest command', ['echo', ...words(7, 'x'.repeat(4096)), 'x'.repeat(4092)], 'no-rule'],
    ['one byte more together', ['echo', ...words(7, 'x'.repeat(4096)), 'x'.repeat(4093)], 'argv'],
    ['a program of 4096 bytes', ['p'.repeat(4096)], 'no-rule'],
    ['a program without a name', [''], 'argv'],
    ['nothing at all', [], 'argv'],
    ['as many folders as ls may have', ['ls', '/srv', '/srv', '/srv', '/srv'], 'allow'],
    ['one more', ['ls', '/srv', '/srv', '/srv', '/srv', '/srv'], 'no-rule'],
    ['the same flag sixty times', ['ls', ...words(60, '-l'), '/srv'], 'allow'],
    ['a path as long as a name can be', ['ls', `/srv/${'x'.repeat(4000)}`], 'allow'],
  ])('%s', (_, argv, verdict) => {
    const decision = ask(argv);
    expect(decision.effect === 'allow' ? 'allow' : decision.code).toBe(verdict);
  });
});

describe('links on the disk', () => {
  const root = realpathSync(mkdtempSync(join(tmpdir(), 'fanout-links-')));
  afterAll(() => rmSync(root, { recursive: true, force: true }));
  for (const folder of ['srv/app', 'srv/own', 'srv/.ssh', 'etc/ssh', 'var/log/app', 'root']) {
    mkdirSync(join(root, folder), { recursive: true });
  }
  for (const file of [
    'etc/shadow',
    'etc/passwd',
    'srv/app/a.log',
    'srv/.ssh/id',
    'var/log/syslog',
    'root/secret',
  ]) {
    writeFileSync(join(root, file), 'x');
  }
  const link = (name: string, target: string): void => symlinkSync(target, join(root, name));
  link('srv/file', '../etc/passwd');
  link('srv/absolute', join(root, 'etc/passwd'));
  link('srv/shadow', '../etc/shadow');
  link('srv/folder', '../etc');
  link('srv/up', '..');
  link('srv/chain', 'file');
  link('srv/chain2', 'app/../chain');
  link('srv/loop', 'loop');
  link('srv/loop2', 'loop3');
  link('srv/loop3', 'loop2');
  link('srv/dangling', 'nowhere');
  link('srv/dangling-out', join('..', 'root', 'not-yet'));
  link('srv/proc', `${rootOf('self')}/etc/passwd`);
  link('srv/fd', '/proc/self/fd/0');
  link('srv/keys', '.ssh');
  link('srv/own/inside', '../app/a.log');
  link('srv/own/log', '../../var/log/syslog');
  link('var/log/home', '../../root');
  link('var/log/app/current', '../syslog');

  /** The shipped policies with their folders moved into one where links may be planted; the rules are the same. */
  const moved: [string, Policy][] = NAMES.map((name, i) => {
    const text = TEXTS[i]!.replace(/\nexamples:[\s\S]*/, '\n').replaceAll(
      /(\/etc|\/srv|\/var)\b/g,
      `${root}$1`,
    );
    return [name, loadPolicy(text.replaceAll(`*${root}/etc`, '*/etc'), `${name}.yaml`)];
  });

  /** The letters of the policies under which the file would be read. */
  function readBy(program: readonly string[], path: string): string {
    const argv = [...program, join(root, path)];
    const letters = [...decisions(argv, moved as unknown as typeof POLICIES)].flatMap(({ name, decision }) =>
      decision.effect === 'allow' && checkRealPaths(decision.pathChecks) === undefined
        ? [name.charAt(0)]
        : [],
    );
    return [...new Set(letters)].join('');
  }

  test.each([
    ['srv/app/a.log', 'd', 'no link at all'],
    ['srv/own/inside', 'd', 'a link that stays inside'],
    ['srv/own/log', 'd', 'a link into another allowed folder'],
    ['srv/file', '', 'a link out'],
    ['srv/absolute', '', 'an absolute link out'],
    ['srv/shadow', '', 'a link to what is denied'],
    ['srv/folder/passwd', '', 'a folder that is a link'],
    ['srv/up/etc/passwd', '', 'a link upwards'],
    ['srv/up/srv/app/a.log', 'd', 'a link upwards that comes back'],
    ['srv/chain', '', 'a link to a link'],
    ['srv/chain2', '', 'a link with dots to a link'],
    ['srv/loop', '', 'a link to itself'],
    ['srv/loop2', '', 'two links in a circle'],
    ['srv/dangling', '', 'a link to what may be made later'],
    ['srv/dangling-out', '', 'a link to what may be made later elsewhere'],
    ['srv/proc', '', 'a link by way of a process'],
    ['srv/fd', '', 'a link to a descriptor'],
    ['srv/keys/id', '', 'a link to a folder that is denied by name'],
    ['srv/nothing', 'd', 'a file that is not there'],
    ['srv/nothing/at/all', '', 'a folder that is not there'],
    ['srv/app/a.log/x', '', 'below a file'],
    ['var/log/syslog', 'ds', 'no link at all'],
    ['var/log/app/current', 'ds', 'a link that stays inside'],
    ['var/log/home/secret', '', 'a folder that is a link'],
  ])('cat %s is allowed by "%s": %s', (path, letters) => {
    expect(readBy(['cat'], path)).toBe(letters);
  });

  test.each([
    ['head', '-n', '5'],
    ['tail', '-n', '5'],
    ['grep', 'x'],
    ['wc', '-l'],
    ['stat'],
    ['sha256sum'],
    ['ls'],
    ['du', '-s'],
    ['find'],
  ])('%s is held to the same', (...program) => {
    expect(readBy(program, 'srv/app/a.log')).toBe('d');
    for (const path of ['srv/shadow', 'srv/folder/shadow', join('srv/up', 'root', 'secret'), 'srv/loop']) {
      expect(readBy(program, path), path).toBe('');
    }
  });
});
