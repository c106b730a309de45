import { cpSync, existsSync, mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
import { removeFolder, runProgram, temporaryFolder } from '../support/processes.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

interface Instruction {
  readonly word: string;
  readonly args: string;
  /** Which FROM it stands below, from 0. */
  readonly stage: number;
}

/** The instructions of a Dockerfile; a backslash at the end of a line joins it with the next. */
function instructionsOf(text: string): Instruction[] {
  let stage = -1;
  return text
    .replace(/\\\n/g, ' ')
    .split('\n')
    .filter((line) => line.trim() !== '' && !line.startsWith('#'))
    .map((line) => {
      const [, word = '', args = ''] = /^([A-Z]+)\s+(.*)$/.exec(line) ?? [];
      if (word === 'FROM') stage++;
      return { word, args: args.replace(/\s+/g, ' ').trim(), stage };
    });
}

describe('the Dockerfile', () => {
  const instructions = instructionsOf(readFileSync(join(ROOT, 'Dockerfile'), 'utf8'));
  const argsOf = (word: string): string[] =>
    instructions.filter((instruction) => instruction.word === word).map(({ args }) => args);
  const only = (word: string): string => {
    expect(argsOf(word), word).toHaveLength(1);
    return argsOf(word)[0]!;
  };
  const dir = temporaryFolder();
  afterAll(() => removeFolder(dir));

  test('is made of instructions, on one plain image', () => {
    const known = ['FROM', 'WORKDIR', 'COPY', 'RUN', 'EXPOSE', 'VOLUME', 'STOPSIGNAL', 'ENTRYPOINT'];
    for (const { word } of instructions) expect(known).toContain(word);
    expect(argsOf('FROM')).toEqual(['node:20-bookworm-slim AS build', 'node:20-bookworm-slim']);
  });

  test('copies what is there, and what .dockerignore lets through, nothing more', () => {
    const copied = argsOf('COPY')
      .filter((args) => !args.startsWith('--from='))
      .flatMap((args) => args.split(' ').slice(0, -1));
    for (const path of copied) expect(existsSync(join(ROOT, path)), path).toBe(true);
    const lines = readFileSync(join(ROOT, '.dockerignore'), 'utf8').split('\n');
    expect(lines.filter((line) => line !== '' && !line.startsWith('#'))).toEqual([
      '*',
      ...copied.map((path) => `!${path}`),
    ]);
  });

  test('runs scripts that package.json has', () => {
    const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
      scripts: Record<string, string>;
    };
    const named = argsOf('RUN').flatMap((args) => [...args.matchAll(/npm run (\w+)/g)]);
    expect(named.length).toBeGreaterThan(0);
    for (const [, name = ''] of named) expect(scripts).toHaveProperty(name);
  });

  test('puts the command where its entry point, its handlers and the unit find it', async () => {
    for (const { word, args, stage } of instructions) {
      if (word !== 'COPY' || stage !== 1) continue;
      const [to = '', ...from] = args
        .replace(/^--from=build /, '')
        .split(' ')
        .reverse();
      for (const path of from.map((name) => name.replace('/src/', '')))
        cpSync(join(ROOT, path), to.endsWith('/') ? join(dir, to, path) : join(dir, to), { recursive: true });
    }
    const [, target = '', link = ''] =
      argsOf('RUN')
        .map((args) => /^ln -s (\S+) (\S+)$/.exec(args))
        .find((match) => match !== null) ?? [];
    mkdirSync(dirname(join(dir, link)), { recursive: true });
    symlinkSync(target, join(dir, link));

    const [program, ...args] = JSON.parse(only('ENTRYPOINT')) as string[];
    expect([program, ...args]).toEqual(['fanout', 'agent']);
    const unit = readFileSync(join(ROOT, 'packaging', 'fanout-agent.service'), 'utf8');
    expect(unit).toContain(`ExecStart=${link} agent`);
    const env = { ...process.env, PATH: `${join(dir, dirname(link))}:${process.env.PATH}` };
    const told = { ...env, FANOUT_JOIN: '10.0.0.1,seed:7000' };
    const flags = ['--node', 'c1', '--bind', '127.0.0.1:7946', '--tag', 'role=web'];
    const shown = await runProgram(program ?? '', [...args, ...flags, '--check-config'], { env: told });
    expect(shown.stderr).toBe('');
    expect(shown.stdout).toContain('start_join:\n  - 10.0.0.1\n  - seed:7000\n');
    const handlers = await runProgram('fanout', ['handlers', 'list'], { env });
    expect(handlers.stdout).toContain('uptime');
  });

  test('keeps what the agent writes, opens its port, and stops it as the unit does', () => {
    const unit = readFileSync(join(ROOT, 'packaging', 'fanout-agent.service'), 'utf8');
    expect(only('VOLUME')).toBe(`/var/lib/${/^StateDirectory=(.*)$/m.exec(unit)?.[1]}`);
    expect(unit).toContain(`KillSignal=${only('STOPSIGNAL')}\n`);
    expect(only('EXPOSE')).toBe('7946/tcp 7946/udp');
    expect(argsOf('RUN').join(' ')).toContain('install -y --no-install-recommends bubblewrap procps');
  });
});
