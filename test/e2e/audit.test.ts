import { spawnSync } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { testWhere } from '../support/applies.ts';
import { type AgentProcess, TestCluster } from '../support/cluster.ts';
import { eventually, stopProcess } from '../support/processes.ts';

const RULES = `
  - id: basics
    effect: allow
    operators: ["group:sre"]
    commands:
      - { program: echo, positionals: { max: 60, match: ["any:4096"] } }
      - { program: "false", argv: [] }
`;

type Fields = Readonly<Record<string, unknown>>;

describe('the audit trail of operators and nodes', () => {
  const cluster = new TestCluster();
  let web1: AgentProcess;
  let web2: AgentProcess;
  let policy: string;

  beforeAll(async () => {
    await cluster.operator();
    policy = cluster.addPolicy('open', `${RULES}queries: [{ name: load, from: any }]\n`);
    web1 = await cluster.start({ name: 'web1', policy });
    web2 = await cluster.start({ name: 'web2', policy, join: web1.gossip });
    await cluster.complete(2);
  });
  afterAll(() => cluster.stop());

  const state = (name: string): string => join(cluster.dir, 'state', 'fanout', name);

  function recordsOf(path: string): Fields[] {
    if (!existsSync(path)) return [];
    const lines = readFileSync(path, 'utf8').split('\n').slice(0, -1);
    return lines.map((line) => JSON.parse(line) as Fields);
  }

  /** Waits until a node is a member that lives. */
  function seen(name: string): Promise<boolean> {
    return eventually(`${name} to be there`, async () => {
      return (await cluster.fanout(['nodes', '--node', name])).stdout === `${name}\n`;
    });
  }

  /** Copies what a node has written, as somebody would who compares it elsewhere. */
  function copyOf(agent: AgentProcess): string {
    const copy = join(cluster.dir, `${agent.name}.copy`);
    copyFileSync(join(agent.dataDir, 'audit.jsonl'), copy);
    return copy;
  }

  test('a run is recorded before it is sent, then how each target ended, and what the nodes say agrees', async () => {
    const run = await cluster.fanout(['--no-record', '--', 'echo', 'hello there']);
    expect(run.code, run.stderr).toBe(0);
    const records = recordsOf(state('audit.log'));
    const [begun, ...rest] = records;
    const id = String(begun?.id);
    expect(begun).toMatchObject({
      event: 'run',
      argv: ['echo', 'hello there'],
      selector: '',
      count: 2,
      targets: expect.arrayContaining(['web1', 'web2']),
      environment: 'test',
      key: expect.stringMatching(/^SHA256:/),
    });
    expect(statSync(state('audit.log')).mode & 0o777).toBe(0o600);
    expect(rest.at(-1)).toMatchObject({ event: 'run-end', id, exit: 0, counts: { ok: 2 } });
    for (const agent of [web1, web2]) {
      const target = rest.find(({ node }) => node === agent.name);
      const own = recordsOf(join(agent.dataDir, 'audit.jsonl')).filter((record) => record.id === id);
      const end = own.find(({ event }) => event === 'end');
      expect(target).toMatchObject({ state: 'exited', code: 0, output: end?.output, id, rule: 'basics' });
      expect(target?.head).toMatchObject({ seq: end?.seq });
      expect(own[0]).toMatchObject({ event: 'start', node: agent.name, operator: 'alice', key: begun?.key });
    }
    expect((await cluster.fanout(['audit', 'verify'])).stdout).toMatch(/holds: records 1 to \d+; head/);
    const verified = await cluster.fanout(['audit', 'verify', '--data-dir', web1.dataDir]);
    expect([verified.code, verified.stdout]).toEqual([0, expect.stringContaining('holds')]);
    const cross = await cluster.fanout(['audit', 'cross', copyOf(web1), `web2=${copyOf(web2)}`]);
    expect(cross.stderr).toBe('');
    expect([cross.code, cross.stdout]).toEqual([
      0,
      'web1: 1 agree, 0 differ, 0 of other operators\nweb2: 1 agree, 0 differ, 0 of other operators\n',
    ]);
  });

  test('what is shown cannot drive the terminal, and is found by node, run, age and operator', async () => {
    await cluster.fanout(['false', '--node', 'web1']);
    const shown = await cluster.fanout(['audit', 'show']);
    expect(shown.code, shown.stderr).toBe(0);
    expect(shown.stdout).toMatch(/ run .*echo 'hello there' {2}on 2 nodes/);
    const forged = join(cluster.dir, 'forged.log');
    const evil = '\u001b]0;owned\u0007\u202e\u009b31m\r\nfanout: all agree';
    const first = { seq: 1, prev: '0'.repeat(64), time: '2026-03-01T10:00:00.000Z' };
    const words = { event: evil, id: evil, operator: evil, node: evil, argv: [evil, 'x'], reason: evil };
    writeFileSync(forged, `${JSON.stringify({ ...first, ...words, state: { [evil]: evil } })}\n`);
    for (const format of ['text', 'json', 'ndjson']) {
      const { stdout } = await cluster.fanout(['audit', 'show', forged, '--format', format]);
      expect(stdout).toContain('owned');
      expect(stdout.replaceAll('\n', '')).not.toMatch(/\p{Cc}|\u202e/u);
      expect(stdout).not.toMatch(/^fanout: all agree/m);
    }
    const crossed = await cluster.fanout(['audit', 'cross', `${evil}=${forged}`]);
    expect((crossed.stdout + crossed.stderr).replaceAll('\n', '')).not.toMatch(/\p{Cc}|\u202e/u);
    const filtered = async (...args: string[]): Promise<Fields[]> => {
      const { stdout, stderr } = await cluster.fanout(['audit', 'show', ...args, '--format', 'ndjson']);
      expect(stderr).toBe('');
      return stdout
        .split('\n')
        .slice(0, -1)
        .map((line) => JSON.parse(line) as Fields);
    };
    const all = await filtered();
    expect(all).toEqual(recordsOf(state('audit.log')));
    const last = String(all.at(-1)?.id);
    expect((await filtered('--id', last.slice(0, 8))).map(({ event }) => event)).toEqual([
      'run',
      'target',
      'run-end',
    ]);
    expect((await filtered('--node', 'web2')).map(({ event }) => event)).toEqual(['run', 'target']);
    expect(await filtered('--since', '1h')).toEqual(all);
    const node = join(web1.dataDir, 'audit.jsonl');
    expect((await filtered(node, '--operator', 'alice')).length).toBeGreaterThan(3);
    expect(await filtered(node, '--operator', 'bob')).toEqual([]);
    expect((await cluster.fanout(['audit', 'show', '--since', 'soon'])).code).toBe(2);
    const json = await cluster.fanout(['audit', 'show', '--id', 'ffffffffff', '--format', 'json']);
    expect(JSON.parse(json.stdout)).toEqual({ records: [] });
  });

  test('what somebody changed in a log, or hid from one of them, is named', async () => {
    const path = state('audit.log');
    const whole = readFileSync(path, 'utf8');
    writeFileSync(path, whole.replace('"echo"', '"rm"'));
    const changed = await cluster.fanout(['audit', 'verify']);
    expect([changed.code, changed.stderr]).toEqual([
      7,
      `fanout: ${path}:2: the line before this one was changed or replaced\n`,
    ]);
    expect((await cluster.fanout(['audit', 'show'])).code).toBe(7);
    writeFileSync(path, whole.slice(0, -3));
    expect((await cluster.fanout(['audit', 'verify'])).stderr).toContain('torn');
    writeFileSync(path, whole);
    expect((await cluster.fanout(['audit', 'verify', join(cluster.dir, 'none')])).code).toBe(7);
    const copy = copyOf(web1);
    const lines = readFileSync(copy, 'utf8').split('\n').slice(0, -1);
    writeFileSync(copy, `${lines.slice(0, -1).join('\n')}\n`);
    const cut = await cluster.fanout(['audit', 'cross', copy]);
    expect(cut.code).toBe(7);
    expect(cut.stderr).toMatch(/web1: run [0-9a-f]{8}: .*no record of that/);
    expect(cut.stderr).toContain("the node's log ends before record");
    const none = join(cluster.dir, 'empty.log');
    writeFileSync(none, '');
    const hidden = await cluster.fanout(['audit', 'cross', '--log', none, copy]);
    expect(hidden.stdout).toContain('2 of other operators');
  });

  test('a node whose log went back is named at the next contact, and may begin anew once that was accepted', async () => {
    await stopProcess(web2.child, 'SIGINT');
    const kept = Number(recordsOf(join(web2.dataDir, 'audit.jsonl')).at(-1)?.seq);
    rmSync(join(web2.dataDir, 'audit.jsonl'));
    // Whether this machine has a system log or not, the agent does its work.
    const args = ['--audit-syslog'];
    web2 = await cluster.start({ name: 'web2', policy, join: web1.gossip, args });
    await seen('web2');
    const run = await cluster.fanout(['echo hi', '--node', 'web2']);
    expect(kept).toBe(2);
    expect(run.stdout, run.stderr).toBe('web2: hi\n');
    expect(run.stderr).toContain(
      'fanout: node web2: its audit log was rewritten or lost: it had record 2, now 2\n',
    );
    expect(run.stderr).toContain('fanout audit accept NODE');
    expect(run.code).toBe(7);
    const last = recordsOf(state('audit.log')).filter(({ event }) => event === 'target');
    expect(last.at(-1)?.auditProblem).toContain('rewritten or lost');
    const accepted = await cluster.fanout(['audit', 'accept', 'web2']);
    expect([accepted.code, accepted.stdout]).toEqual([0, 'web2 (test): its audit log may begin anew\n']);
    expect((await cluster.fanout(['echo hi', '--node', 'web2'])).code).toBe(0);
    expect((await cluster.fanout(['audit', 'accept', 'nobody'])).code).toBe(2);
  });

  test('a node that was set up anew is refused for its new key, and once that is taken its log begins anew', async () => {
    await stopProcess(web2.child, 'SIGINT');
    const kept = recordsOf(join(web2.dataDir, 'audit.jsonl')).length;
    expect(kept).toBeGreaterThan(2);
    rmSync(web2.dataDir, { recursive: true });
    web2 = await cluster.start({ name: 'web2', policy, join: web1.gossip });
    await seen('web2');
    const refused = await cluster.fanout(['echo new', '--node', 'web2']);
    expect([refused.code, refused.stdout]).toEqual([7, '']);
    expect(refused.stderr).toContain('the key of "web2" has changed');
    expect(recordsOf(join(web2.dataDir, 'audit.jsonl')).some(({ event }) => event === 'start')).toBe(false);
    const heads = state('node_heads');
    writeFileSync(heads, `old1 test 5 ${'a'.repeat(64)}\n`, { flag: 'a' });
    expect((await cluster.fanout(['known-nodes', 'forget', 'web2'])).code).toBe(0);
    expect(readFileSync(heads, 'utf8')).toMatch(/old1 test 5 a{64}\nweb2 test 0 0{64}\n$/);
    const run = await cluster.fanout(['echo new', '--node', 'web2']);
    expect([run.code, run.stdout]).toEqual([0, 'web2: new\n']);
    expect(run.stderr).not.toContain('rewritten');
    const nodeKey = /node key:\s+(\S+)/.exec(web2.log())?.[1];
    expect(readFileSync(heads, 'utf8').trimEnd().split('\n').at(-1)).toMatch(
      /^web2 test \d+ [0-9a-f]{64} \S+$/,
    );
    expect(readFileSync(heads, 'utf8').trimEnd().split(' ').at(-1)).toBe(nodeKey);
    expect((await cluster.fanout(['echo more', '--node', 'web2'])).code).toBe(0);
  });

  test('nothing is sent when it cannot be recorded, unless the operator only wants to be warned', async () => {
    const path = state('audit.log');
    chmodSync(path, 0o666);
    const before = recordsOf(join(web1.dataDir, 'audit.jsonl')).length;
    const refused = await cluster.fanout(['echo no', '--node', 'web1']);
    expect(refused.code).toBe(2);
    expect(refused.stderr).toMatch(/nothing was sent, because it could not be recorded: others can write/);
    expect(refused.stderr).toContain(`chmod go-w ${path}`);
    expect(recordsOf(join(web1.dataDir, 'audit.jsonl'))).toHaveLength(before);
    const config = join(cluster.dir, 'config', 'fanout', 'config.yaml');
    mkdirSync(join(config, '..'), { recursive: true });
    writeFileSync(config, 'audit: { onFailure: warn }\n');
    const warned = await cluster.fanout(['echo yes', '--node', 'web1', '--quiet']);
    expect([warned.code, warned.stdout]).toEqual([0, 'web1: yes\n']);
    expect(warned.stderr).toContain('this run is not in your audit log');
    writeFileSync(config, 'audit: { onFailure: never }\n');
    expect((await cluster.fanout(['echo no', '--node', 'web1'])).stderr).toContain('audit.onFailure');
    rmSync(config);
    chmodSync(path, 0o600);
    expect((await cluster.fanout(['echo yes', '--node', 'web1'])).code).toBe(0);
  });

  test('runs of twenty processes at once are all in one unbroken log', { timeout: 120_000 }, async () => {
    const count = (kind: string): number =>
      recordsOf(state('audit.log')).filter(({ event }) => event === kind).length;
    const before = [count('run'), count('run-end')] as const;
    const runs = await Promise.all(
      Array.from({ length: 20 }, (_, n) => cluster.fanout([`echo ${n}`, '--node', 'web1'])),
    );
    expect(runs.map(({ code }) => code)).toEqual(runs.map(() => 0));
    expect((await cluster.fanout(['audit', 'verify'])).code).toBe(0);
    expect([count('run'), count('run-end')]).toEqual([before[0] + 20, before[1] + 20]);
  });

  const isRoot = process.getuid?.() === 0;

  testWhere(isRoot)(
    'a full disk refuses commands, and when there is room again the agent goes on',
    async () => {
      const dataDir = join(cluster.dir, 'small');
      mkdirSync(dataDir, { mode: 0o700 });
      const options = ['-t', 'tmpfs', '-o', 'size=64k,mode=0700', 'tmpfs', dataDir];
      expect(spawnSync('mount', options).status, 'a tmpfs can be mounted').toBe(0);
      const full: AgentProcess[] = [];
      try {
        const args = ['--data-dir', dataDir, '--event-handler', 'query:load=echo answered'];
        const asks = ['query', '--node', 'full1', '--timeout', '2s', 'load', 'x'.repeat(300)];
        full.push(await cluster.start({ name: 'full1', policy, join: web1.gossip, args }));
        await seen('full1');
        expect((await cluster.fanout(['echo first', '--node', 'full1'])).code).toBe(0);
        const filler = join(dataDir, 'filler');
        fill(filler);
        // The page of the log that is begun still has room for a record or two.
        const long = ['--node', 'full1', '--', 'echo', 'x'.repeat(3000)];
        const refused = await eventually('a refusal', async () => {
          const run = await cluster.fanout(long);
          return run.code === 4 ? run : undefined;
        });
        expect(refused.stderr).toMatch(/full1 could not start it: its audit log cannot be written/);
        expect([refused.code, refused.stdout]).toEqual([4, '']);
        const isSilent = async (): Promise<boolean> =>
          !(await cluster.fanout(asks)).stdout.includes('answered');
        await eventually('silence about a query that cannot be recorded', isSilent);
        rmSync(filler);
        await eventually('an answer again', async () => !(await isSilent()));
        expect((await cluster.fanout(['echo third', '--node', 'full1'])).stdout).toBe('full1: third\n');
        expect((await cluster.fanout(['audit', 'verify', '--data-dir', dataDir])).code).toBe(0);
        await stopProcess(full[0]!.child, 'SIGINT');
        fill(filler);
        const lax = [...args, '--audit-on-failure', 'run'];
        full.push(await cluster.start({ name: 'full1', policy, join: web1.gossip, args: lax }));
        expect(full[1]!.log()).toContain('WHAT CANNOT BE RECORDED RUNS ALL THE SAME');
        await seen('full1');
        const ran = await eventually('a run without a record', async () => {
          const run = await cluster.fanout(long);
          return full[1]!.log().includes('although it could not be recorded') ? run : undefined;
        });
        expect(ran.stdout).toBe(`full1: ${'x'.repeat(3000)}\n`);
        expect(ran.stderr).toMatch(
          /node full1: its audit log has no record of this command: it had record \d+/,
        );
        expect(full[1]!.log()).toContain('the command runs although it could not be recorded');
      } finally {
        await Promise.all(full.map(({ child }) => stopProcess(child)));
        spawnSync('umount', ['-l', dataDir]);
      }
    },
  );
});

/** Leaves no byte of a file system free. */
function fill(path: string): void {
  writeFileSync(path, '');
  for (let size = 4096; size >= 1; size = Math.floor(size / 2)) {
    try {
      for (;;) appendFileSync(path, Buffer.alloc(size));
    } catch {
      // It is full for pieces of this size: smaller ones may still fit.
    }
  }
}
