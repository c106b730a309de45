import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type AgentProcess, TestCluster } from '../support/cluster.ts';
import { eventually, FANOUT, freePort, type Result, runProgram } from '../support/processes.ts';
import { HAS_SERF } from '../support/real-serf.ts';

const IS_ROOT = process.getuid?.() === 0;
/** Where nobody but root can change anything: what others can write is not run. */
const dir = IS_ROOT ? mkdtempSync('/opt/fanout-e2e-') : '';
const shipped = fileURLToPath(new URL('../../handlers', import.meta.url));

const RULES = `
  - id: handlers
    effect: allow
    readOnly: true
    operators: ["group:sre"]
    commands:
      - { handler: uptime }
      - { handler: disk }
      - { handler: show }
      - { handler: lost }
      - { handler: strict-only }
      - { handler: online }
      - { handler: tail-log, params: { path: "path:/var/log/fanout-test-*/**", lines: "int:1..5", format: [json, text] } }
  - id: little
    effect: allow
    limits: { output: 64KiB }
    commands: [{ handler: flood }]
  - { id: not-that, effect: deny, anyArg: [/etc/shadow] }
`;
const QUERIES = `queries:
  - { name: uptime, from: any }
  - { name: shown, from: any }
  - { name: signed, operators: ["group:sre"] }
  - { name: lines, operators: ["group:sre"] }
  - { name: tags, operators: ["group:sre"] }
  - { name: nothing, operators: ["group:sre"] }
`;

const TAGS_LINE = 'query:tags=echo "$SERF_TAG_ROLE"';

function add(name: string, manifest: string, script = ''): void {
  const folder = join(dir, name);
  mkdirSync(folder);
  writeFileSync(join(folder, 'handler.yaml'), `name: ${name}\ndescription: for a test\n${manifest}`);
  if (script === '') return;
  writeFileSync(join(folder, 'run'), `#!/bin/sh\n${script}\n`);
  chmodSync(join(folder, 'run'), 0o755);
}

describe.skipIf(!IS_ROOT)('handlers of the nodes', () => {
  const cluster = new TestCluster();
  let with1: AgentProcess;
  let rpc: string;

  // Nobody is to be taken for failed because this machine is busy.
  const calm = ['--profile', 'wan'];

  beforeAll(async () => {
    chmodSync(dir, 0o755);
    cpSync(shipped, dir, { recursive: true });
    // A checkout may have come with a generous umask.
    await runProgram('chmod', ['-R', 'go-w', dir]);
    add(
      'show',
      'query: shown\nparams:\n  text: { type: string, default: x }\n  file: { type: path, pattern: "/**", default: / }\ncommand: [./run, "{text}", "{file}"]\n',
      'printf "%s|" "$#" "$@"; id -u; touch /tmp/x && echo "private tmp"; touch "$0.x" 2>/dev/null || echo "own folder is read-only"',
    );
    add('flood', 'command: [./run]\n', 'exec yes');
    add('strict-only', 'command: [./run]\nsandbox: { profile: strict }\n', 'echo strict');
    add('online', 'command: ["true"]\nsandbox: { network: host }\n');
    add('signed', 'query: signed\ncommand: [./run]\n', 'echo "signed answer"');
    await cluster.operator();
    const policy = cluster.addPolicy('p', RULES + QUERIES, 'sandbox: standard');
    rpc = `127.0.0.1:${await freePort()}`;
    with1 = await cluster.start({
      name: 'with1',
      policy,
      tags: { role: 'web' },
      args: [
        ...calm,
        '--handlers',
        dir,
        '--rpc-addr',
        rpc,
        '--event-handler',
        'query:lines=cat; env | grep FANOUT_ | sort',
        '--event-handler',
        TAGS_LINE,
      ],
    });
    await cluster.start({
      name: 'with2',
      policy,
      tags: { role: 'db' },
      args: [...calm, '--handlers', dir, '--event-handler', TAGS_LINE],
      join: with1.gossip,
    });
    await cluster.start({ name: 'without', policy, tags: { role: 'old' }, args: calm, join: with1.gossip });
    await eventually(
      'three members',
      async () => (await fanout('nodes')).stdout.trim().split('\n').length === 3,
    );
  });
  afterAll(async () => {
    await cluster.stop();
    rmSync(dir, { recursive: true, force: true });
  });

  const fanout = (...args: string[]): Promise<Result> =>
    runProgram(process.execPath, [FANOUT, ...args], { env: { ...cluster.env, FANOUT_RPC_ADDR: rpc } });
  const onWeb = ['--node', 'with1'];

  test('run like commands, everywhere at once, and the nodes that have none say so', async () => {
    const run = await fanout('run', 'uptime', '--param', 'format=json');
    for (const node of ['with1', 'with2']) {
      const line = run.stdout.split('\n').find((text) => text.startsWith(`${node}: `));
      expect(line, run.stderr).toBeDefined();
      expect(JSON.parse(line?.slice(node.length + 2) ?? '')).toMatchObject({ cpus: expect.any(Number) });
    }
    expect(run.stderr).toContain('this node has no handler "uptime"');
    expect(run.code).toBe(4);
    expect((await fanout('run', 'uptime', ...onWeb)).code).toBe(0);
  });

  test('the string form means the same, and plan asks for it', async () => {
    expect((await fanout('handler:disk path=/usr format=json', ...onWeb)).stdout).toMatch(
      /^with1: \{"path":"\/usr"/,
    );
    const plan = await fanout('plan', 'handler:disk path=/usr', ...onWeb);
    expect([plan.code, plan.stdout]).toEqual([0, expect.stringContaining('rule "handlers": read-only')]);
  });

  test('a program of that name is another thing', async () => {
    for (const command of ['disk path=/', 'uptime', './run', `${dir}/uptime/run`]) {
      const run = await fanout('--node', 'with1', '--', ...command.split(' '));
      expect([command, run.code]).toEqual([command, 5]);
    }
  });

  test('values are data: not for a shell, not for a template, and no option', async () => {
    for (const value of ['$(touch /tmp/p)', '`id`;id|id', '{file}', '%s\\n', '"\'', '* ?', '漢字']) {
      const run = await fanout('run', 'show', '--dir', dir, '--param', `text=${value}`, ...onWeb);
      expect(run.stdout).toContain(`with1: 2|${value}|/|65534`);
      expect(run.stdout).toContain('with1: private tmp');
      expect(run.stdout).toContain('with1: own folder is read-only');
      expect(run.code).toBe(0);
    }
  });

  test('what is no value is refused before it is sent, and by the node in any case', async () => {
    const early = await fanout('run', 'disk', '--param', 'path=../../etc', ...onWeb);
    expect([early.code, early.stderr]).toEqual([2, expect.stringContaining('Nothing was sent')]);
    for (const word of ['path=../../etc', 'path=-h', 'other=1', 'format=xml', 'path']) {
      const late = await fanout('--node', 'with1', '--', 'handler:disk', word);
      expect([word, late.code]).toEqual([word, 5]);
      expect(late.stdout).toBe('');
    }
    const newline = await fanout('--node', 'with1', '--', 'handler:show', 'text=a\nb');
    expect(newline.code).toBe(2);
  });

  test('a path that leads elsewhere by a link is refused, by manifest, rule and deny rule alike', async () => {
    const log = mkdtempSync('/var/log/fanout-test-');
    try {
      chmodSync(log, 0o755);
      writeFileSync(join(log, 'a.log'), 'one\ntwo "quoted"\\\n\u001b[31mred\t\n', { mode: 0o644 });
      await runProgram('ln', ['-s', '/etc/passwd', join(log, 'link')]);
      await runProgram('ln', ['-s', '/etc/shadow', join(log, 'shadow')]);
      const tail = await fanout(
        'run',
        'tail-log',
        '--param',
        `path=${log}/a.log`,
        '--param',
        'lines=2',
        '--param',
        'format=json',
        ...onWeb,
      );
      expect(JSON.parse(tail.stdout.slice('with1: '.length))).toEqual({
        path: `${log}/a.log`,
        lines: ['two "quoted"\\', '[31mred\t'],
      });
      const link = await fanout('run', 'tail-log', '--param', `path=${log}/link`, ...onWeb);
      expect([link.code, link.stderr]).toEqual([5, expect.stringContaining('is really /etc/passwd')]);
      const shadow = await fanout('run', 'disk', '--param', `path=${log}/shadow`, ...onWeb);
      expect([shadow.code, shadow.stderr]).toEqual([5, expect.stringContaining('is really /etc/shadow')]);
    } finally {
      rmSync(log, { recursive: true });
    }
  });

  test('a flood ends at the limit of the rule, and a handler that is allowed and not there is told', async () => {
    const flood = await fanout('run', 'flood', '--dir', dir, '--format', 'json', ...onWeb);
    expect(flood.code).toBe(1);
    expect(flood.stdout.length).toBeLessThan(200_000);
    expect(flood.stdout).toContain('output-limit');
    const lost = await fanout('run', 'lost', ...onWeb);
    expect([lost.code, lost.stderr]).toEqual([4, expect.stringContaining('no handler "lost"')]);
    expect((await fanout('run', 'memory', ...onWeb)).code).toBe(5);
  });

  test('a manifest asks for a sandbox and a network, and gets none that the rule does not give', async () => {
    const strict = await fanout('run', 'strict-only', ...onWeb);
    expect([strict.code, strict.stderr]).toEqual([
      4,
      expect.stringContaining('works in the sandbox strict, and its rule gives standard'),
    ]);
    const online = await fanout('run', 'online', ...onWeb);
    expect([online.code, online.stderr]).toEqual([
      4,
      expect.stringContaining('the handler needs the network'),
    ]);
  });

  test('a signed question reaches a handler and a line for events, which learn who asks', async () => {
    expect(await fanout('query:signed', ...onWeb)).toMatchObject({
      code: 0,
      stdout: 'with1: signed answer\n',
    });
    const lines = await fanout('--node', 'with1', '--', 'query:lines', 'what $(id)');
    expect(lines.stdout, lines.stderr).toMatch(
      /^with1: what \$\(id\)\nwith1: FANOUT_DEADLINE=\d{10}\nwith1: FANOUT_JOB=\w+\nwith1: FANOUT_OPERATOR=alice\nwith1: FANOUT_REQUEST_ID=[0-9a-f]{32}\n$/,
    );
    // What was accepted is what is started, however long it was held: here for more than a second.
    const batches = ['--batch', '1', '--batch-sleep', '1100ms'];
    const held = await fanout('--node', 'with1', '--node', 'with2', ...batches, '--', 'query:tags');
    expect(held.stdout.split('\n').sort(), held.stderr).toEqual(['', 'with1: web', 'with2: db']);
    const nothing = await fanout('query:nothing', ...onWeb);
    expect([nothing.code, nothing.stderr]).toEqual([
      4,
      expect.stringContaining('no handler for the query "nothing"'),
    ]);
    expect((await fanout('query:other', ...onWeb)).code).toBe(5);
  });

  test.skipIf(!HAS_SERF)(
    'a Serf query reaches a handler where the policy says so, and silence is the answer to the rest',
    async () => {
      const ask = async (name: string, payload = ''): Promise<Record<string, string>> => {
        const { stdout } = await runProgram('serf', [
          'query',
          '-rpc-addr',
          rpc,
          '-timeout',
          '5s',
          '-format',
          'json',
          name,
          payload,
        ]);
        return (JSON.parse(stdout) as { Responses: Record<string, string> }).Responses;
      };
      const [answers, shown, ...silent] = await Promise.all([
        ask('uptime', 'format=json'),
        ask('shown', 'text=$(id)\nfile=/usr'),
        ask('uptime', 'format=xml'),
        ask('shown', 'text=\u0007'),
        ask('signed'),
        ask('lines'),
      ]);
      expect(Object.keys(answers).sort()).toEqual(['with1', 'with2']);
      expect(JSON.parse(answers.with1 ?? '')).toMatchObject({ cpus: expect.any(Number) });
      expect(shown.with1).toMatch(/^2\|\$\(id\)\|\/usr\|65534\n/);
      expect(silent).toEqual([{}, {}, {}, {}]);
    },
  );

  test('a query that nobody signed is in the audit log, with the parameters that came and how it ended', async () => {
    const ask = (name: string, payload: string): Promise<Result> =>
      fanout('query', '--node', 'with1', '--timeout', '5s', name, payload);
    const asked = await Promise.all([
      ask('shown', 'text=audited'),
      ask('shown', 'text=\u0007'),
      ask('signed', 'x'),
    ]);
    expect(asked.map(({ stdout }) => stdout.includes('audited'))).toEqual([true, false, false]);
    const lines = readFileSync(join(with1.dataDir, 'audit.jsonl'), 'utf8').trim().split('\n');
    const records = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
    const begun = records.find(({ payload }) => payload === 'text=audited');
    const about = { query: 'shown', handler: 'show', node: 'with1' };
    expect(begun).toMatchObject({ event: 'unsigned-query', ...about, rule: 'query:shown', from: 'with1' });
    expect(begun?.policy).toMatch(/^[0-9a-f]{64}$/);
    const ended = records.filter(({ request }) => request === begun?.request).at(-1);
    expect(ended).toMatchObject({ event: 'unsigned-query-end', ...about, code: 0, cause: 'exit' });
    const refused = (query: string) =>
      records.filter((record) => record.event === 'unsigned-query-refused' && record.query === query).at(-1);
    expect(refused('shown')).toMatchObject({ handler: 'show', payload: 'text=\u0007' });
    expect(refused('signed')).toMatchObject({
      handler: 'signed',
      reason: expect.stringContaining('signed questions'),
    });
  });

  test('SIGHUP reads the folder again, and a bad one leaves the old handlers in force', async () => {
    add('late', 'command: [echo, late]\n');
    writeFileSync(join(dir, 'late', 'handler.yaml'), 'name: late\n');
    with1.child.kill('SIGHUP');
    await eventually('the complaint', () => with1.log().includes('the handlers were not reloaded'));
    expect((await fanout('run', 'uptime', ...onWeb)).code).toBe(0);
    rmSync(join(dir, 'late'), { recursive: true });
  });

  test('an agent does not start with a folder that is not sound', async () => {
    const bad = mkdtempSync('/opt/fanout-e2e-');
    mkdirSync(join(bad, 'x'));
    const { code, stderr } = await cluster.fanout(['agent', '--handlers', bad, '--bind', '127.0.0.1:0']);
    rmSync(bad, { recursive: true });
    expect([code, stderr]).toEqual([2, expect.stringContaining('there is no')]);
  });

  test('list, show and test, with the exit status of a test that fails', async () => {
    expect((await fanout('handlers', 'list', '--dir', dir)).stdout).toMatch(/^disk +--param path=\//m);
    expect((await fanout('handlers', 'show', 'disk')).stdout).toContain('commands: [{ handler: disk }]');
    expect((await fanout('handlers', 'show', '../disk')).code).toBe(2);
    const good = await fanout('handlers', 'test', '--dir', dir);
    expect(good.stdout).toMatch(/^\d\d passed, 0 failed\n$/m);
    expect(good.code).toBe(0);
    writeFileSync(
      join(dir, 'signed', 'test.yaml'),
      '- { name: lies, stdout: "^unsigned" }\n- { name: not json, json: text }\n',
    );
    const bad = await fanout('handlers', 'test', 'signed', '--dir', dir);
    expect(bad.stdout).toContain('FAIL  signed: lies: stdout does not match ^unsigned: "signed answer\\n"');
    expect(bad.stdout).toContain('FAIL  signed: not json: stdout is not JSON');
    expect(bad.code).toBe(1);
  });

  test('every shipped handler has a test, and answers JSON', () => {
    for (const name of ['uptime', 'disk', 'memory', 'processes', 'service-status', 'tail-log']) {
      expect(existsSync(join(shipped, name, 'test.yaml')), name).toBe(true);
      expect(readFileSync(join(shipped, name, 'handler.yaml'), 'utf8')).toContain('enum: [text, json]');
    }
  });
});
