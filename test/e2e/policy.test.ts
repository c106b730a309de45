import { chmodSync, lstatSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { TestCluster } from '../support/cluster.ts';

const RULES = `  - { id: never, effect: deny, programs: [sh] }
  - { id: look, effect: allow, operators: [alice], commands: [{ program: uptime, argv: [] }] }
`;

describe('fanout policy', () => {
  const cluster = new TestCluster();
  let sound: string;
  let warned: string;
  let dangerous: string;
  const fanout = (...args: string[]) => cluster.fanout(['policy', ...args]);

  beforeAll(async () => {
    // The history of whoever runs these tests is none of their business.
    cluster.env.XDG_STATE_HOME = join(cluster.dir, 'state');
    await cluster.operator();
    warned = cluster.addPolicy('warned', RULES, 'sandbox: strict');
    sound = cluster.addPolicy(
      'sound',
      `${RULES}examples: { allow: [{ as: alice, cmd: uptime }] }\n`,
      'sandbox: strict',
    );
    dangerous = cluster.addPolicy(
      'dangerous',
      RULES.replace('program: uptime', 'program: env'),
      'sandbox: strict',
    );
  });
  afterAll(() => cluster.stop());

  test('check: exit codes, several files at once, --strict', async () => {
    expect(await fanout('check', sound)).toMatchObject({ code: 0, stdout: expect.stringContaining('sound') });
    expect(await fanout('check', '--strict', sound)).toMatchObject({ code: 0 });
    const warning = await fanout('check', warned);
    expect(warning).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/:8: warn: rule "look": no example/),
    });
    expect(await fanout('check', '--strict', warned)).toMatchObject({ code: 2 });
    const all = await fanout('check', sound, dangerous, join(cluster.dir, 'none.yaml'));
    expect(all.code).toBe(2);
    expect(all.stdout).toMatch(
      /sound\.yaml: sound[\s\S]*dangerous\.yaml:8: danger:[\s\S]*cannot read the policy/,
    );
  });

  test('check: JSON, and the programs of this machine', async () => {
    const { code, stdout } = await fanout('check', '--format', 'json', dangerous);
    expect(code).toBe(2);
    expect(JSON.parse(stdout)).toMatchObject({
      files: [
        {
          file: dangerous,
          sound: false,
          problems: [{ level: 'warn' }, { level: 'danger', code: 'starts', line: 8 }],
        },
      ],
    });
    const missing = cluster.addPolicy('missing', RULES.replace('program: uptime', 'program: no-such-thing'));
    const system = await fanout('check', '--system', missing);
    expect(system).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('on this machine: no program "no-such-thing"'),
    });
  });

  test('an agent does not start on a policy with a danger, and explain still explains it', async () => {
    const agent = [
      'agent',
      '--node',
      'x',
      '--bind',
      '127.0.0.1:0',
      '--rpc-addr',
      join(cluster.dir, 'x.sock'),
    ];
    const refused = await cluster.fanout([
      ...agent,
      '--data-dir',
      join(cluster.dir, 'x'),
      '--policy',
      dangerous,
    ]);
    expect(refused).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/danger: env starts other programs/),
    });
    const why = await fanout(
      'explain',
      'env',
      '--policy',
      dangerous,
      '--as',
      'alice',
      '--approved-by',
      'bob',
    );
    expect(why).toMatchObject({ code: 0, stdout: expect.stringContaining('ALLOWED by rule "look"') });
  });

  test('diff: 0 the same, 1 different, 2 unreadable; with the commands of the past', async () => {
    expect(await fanout('diff', sound, sound)).toMatchObject({ code: 0, stdout: '' });
    const other = await fanout('diff', sound, warned, '--format', 'json');
    expect(other).toMatchObject({ code: 0 });
    const different = await fanout('diff', sound, dangerous);
    expect(different.code).toBe(1);
    expect(different.stdout).toMatch(/denied now:\n {2}uptime\n[\s\S]*~ rule look: commands/);
    expect(JSON.parse((await fanout('diff', sound, dangerous, '--format', 'json')).stdout)).toMatchObject({
      same: false,
    });
    expect(await fanout('diff', sound, join(cluster.dir, 'none.yaml'))).toMatchObject({ code: 2 });
  });

  test('diff tries the commands of the history', async () => {
    const wide = cluster.addPolicy(
      'wide',
      RULES.replace('argv: []', 'flags: ["-p", "-s"]'),
      'sandbox: strict',
    );
    expect((await fanout('diff', sound, wide)).stdout).not.toContain('uptime -');
    mkdirSync(join(cluster.dir, 'state/fanout'), { recursive: true });
    const run = { id: 'a', unixMs: 0, command: "uptime '-p'", selector: '', targets: 1, counts: {}, exit: 5 };
    const lines = [
      JSON.stringify({ ...run, durationMs: 1 }),
      'not a line',
      JSON.stringify({ ...run, durationMs: 1 }),
    ];
    writeFileSync(join(cluster.dir, 'state/fanout/history.jsonl'), lines.join('\n'));
    const { code, stdout } = await fanout('diff', sound, wide);
    expect(code).toBe(1);
    expect(stdout).toMatch(
      /allowed now:\n {2}uptime '-p' \(of your history\)\n.*allowed by "look"\n.*as alice\n/,
    );
    expect((await fanout('diff', '--no-history', sound, wide)).stdout).not.toContain('history');
  });

  test('fmt: --check changes nothing; without it the file, its mode and a link to it stay', async () => {
    const ugly = join(cluster.dir, 'ugly.yaml');
    const link = join(cluster.dir, 'link.yaml');
    writeFileSync(
      ugly,
      readFileSync(sound, 'utf8').replace('environment: test', 'environment:   test # here'),
    );
    chmodSync(ugly, 0o640);
    symlinkSync(ugly, link);
    const before = readFileSync(ugly, 'utf8');
    expect(await fanout('fmt', '--check', link)).toMatchObject({ code: 1, stdout: `${link}\n` });
    expect(readFileSync(ugly, 'utf8')).toBe(before);
    expect(await fanout('fmt', link)).toMatchObject({ code: 0 });
    expect(readFileSync(ugly, 'utf8')).toContain('\nenvironment: test # here\n');
    expect(statSync(ugly).mode & 0o7777).toBe(0o640);
    expect(lstatSync(link).isSymbolicLink()).toBe(true);
    expect(await fanout('fmt', '--check', link)).toMatchObject({ code: 0, stdout: '' });
    writeFileSync(ugly, 'version: 1\nrules: [');
    expect(await fanout('fmt', ugly)).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('not valid YAML'),
    });
    expect(readFileSync(ugly, 'utf8')).toBe('version: 1\nrules: [');
  });

  test('schema: what the folder of policies has', async () => {
    const file = new URL('../../policies/policy.schema.json', import.meta.url);
    expect((await fanout('schema')).stdout).toBe(readFileSync(file, 'utf8'));
  });
});
