import { spawn } from 'node:child_process';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { encodeDead } from '../../src/memberlist/messages.ts';
import { type AgentProcess, TestCluster } from '../support/cluster.ts';
import {
  eventually,
  FANOUT,
  hasProgram,
  removeFolder,
  runProgram,
  temporaryFolder,
} from '../support/processes.ts';
import { memoryMiB, Rogue } from './rogue.ts';

/** util-linux's `script` gives a command a terminal of its own and passes on what it writes there. */
const HAS_SCRIPT = hasProgram('script');
if (!HAS_SCRIPT && process.env.CI === 'true') throw new Error('script is missing: apt-get install bsdutils');

/** Everything that a terminal obeys: clipboard, title, cursor, screen, charset, 8-bit forms, and what only people misread. */
const ATTACKS = [
  '\u001b]52;c;ZXZpbA==\u0007',
  '\u001b]0;title\u001b\\',
  '\u001b]8;;http://evil\u001b\\click\u001b]8;;\u001b\\',
  '\u001b[2J\u001b[1;1H',
  '\u001b[5n\u001b[6n\u001b[c',
  '\u001bPq#0\u001b\\',
  '\u001bc\u001b(0\u000e',
  '\u001b[?1049h\u001b[?2004l',
  '\u009b2J\u009d0;x\u009c',
  'a\b\b\bweb2: ok\r',
  '\u202egnitirw\u202c\u200b',
];
const COLOUR = /\u001b\[[\d;]*m/g;
/** What must not reach a terminal: all controls but line ends and colours, and what turns or hides text. */
const OBEYED =
  /(?!\u001b\[[\d;]*m)[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u200b\u202a-\u202e\u2066-\u2069]|\r(?!\n)/u;

describe('what a hostile node says', () => {
  const cluster = new TestCluster();
  /** Commands run as a user without rights, who must be able to read it. */
  const folder = temporaryFolder();
  const file = join(folder, 'hostile.txt');
  let web1: AgentProcess;

  beforeAll(async () => {
    await cluster.operator();
    chmodSync(folder, 0o755);
    writeFileSync(file, ATTACKS.map((attack) => `before ${attack} after\n`).join(''));
    const rules = `
  - id: basics
    effect: allow
    operators: ["group:sre"]
    commands:
      - { program: cat, positionals: { min: 1, max: 1, match: ["path:${folder}/**"] } }
      - { program: head, argv: ["-c", "int:1..1000000000", /dev/zero] }
`;
    web1 = await cluster.start({ name: 'web1', policy: cluster.addPolicy('open', rules, 'sandbox: [none]') });
  });

  afterAll(async () => {
    await cluster.stop();
    removeFolder(folder);
  });

  /** Runs fanout on a terminal. */
  function onTerminal(...args: readonly string[]): ReturnType<typeof runProgram> {
    const words = [process.execPath, FANOUT, ...args].map((word) => `'${word}'`).join(' ');
    const env = {
      ...cluster.env,
      FANOUT_RPC_ADDR: web1.control,
      TERM: 'xterm-256color',
      NO_COLOR: undefined,
    };
    return runProgram('script', ['-qefc', words, '/dev/null'], { env });
  }

  test.skipIf(!HAS_SCRIPT)('is shown on a terminal and not obeyed by it', async () => {
    const { code, stdout } = await onTerminal(`cat ${file}`);
    expect(code).toBe(0);
    expect(stdout.replaceAll(COLOUR, '').match(/web1: .*before .* after/g)).toHaveLength(ATTACKS.length);
    expect(OBEYED.exec(stdout)).toBeNull();
    expect(ATTACKS.filter((attack) => stdout.includes(attack))).toEqual([]);
  });

  test.skipIf(!HAS_SCRIPT)('nor in any other format', async () => {
    const formats = [
      ['-b'],
      ['-b', '--diff'],
      ['-L', '-b'],
      ...['ndjson', 'json', 'csv', 'serf-json'].map((name) => ['--format', name]),
    ];
    for (const flags of formats) {
      const { code, stdout: shown } = await onTerminal(...flags, `cat ${file}`);
      // CSV ends its lines with CR LF, and the terminal's driver puts one more CR in front of each LF.
      const stdout = shown.replaceAll('\r\r\n', '\r\n');
      expect(code, flags.join(' ')).toBe(0);
      expect(stdout, flags.join(' ')).toContain('before ');
      expect(OBEYED.exec(stdout), flags.join(' ')).toBeNull();
      expect(
        ATTACKS.filter((attack) => stdout.includes(attack)),
        flags.join(' '),
      ).toEqual([]);
    }
    for (const flags of [
      ['last'],
      ['show', 'last'],
      ['last', '-b'],
      ['last', '--format', 'csv'],
      ['history'],
    ]) {
      const { stdout } = await onTerminal(...flags);
      expect(OBEYED.exec(stdout.replaceAll('\r\r\n', '\r\n')), flags.join(' ')).toBeNull();
    }
  });

  test('comes out of a pipe as it is, and out of JSON without anything that a terminal obeys', async () => {
    const text = await cluster.fanout([`cat ${file}`]);
    for (const attack of ATTACKS) expect(text.stdout).toContain(`web1: before ${attack} after\n`);
    for (const format of ['ndjson', 'json']) {
      const { stdout } = await cluster.fanout([`cat ${file}`, '--format', format]);
      expect(OBEYED.exec(stdout)).toBeNull();
      expect(stdout).toContain('\\u001b]52;c;');
    }
  });

  test('may be two hundred megabytes without a line end', async () => {
    const bytes = 200_000_000;
    const child = spawn(process.execPath, [FANOUT, '--', 'head', '-c', String(bytes), '/dev/zero'], {
      env: { ...cluster.env, FANOUT_RPC_ADDR: web1.control },
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    let length = 0;
    let peak = 0;
    child.stdout.on('data', (chunk: Buffer) => {
      length += chunk.length;
      if (length % 64 === 0) peak = Math.max(peak, memoryMiB(child.pid, 'VmHWM'));
    });
    const code = await new Promise((resolve) => child.once('close', resolve));
    expect(code).toBe(0);
    expect(length).toBe(bytes + 'web1: \n'.length);
    expect(peak, 'MiB of the command line').toBeLessThan(250);
    expect(memoryMiB(web1.child.pid, 'VmHWM'), 'MiB of both ends in one agent').toBeLessThan(300);
  });

  test.skipIf(!HAS_SCRIPT)('does not flood the terminal with one line', async () => {
    const { code, stdout } = await onTerminal('head -c 50000000 /dev/zero');
    expect(code).toBe(0);
    expect(stdout.length).toBeLessThan(100_000);
    expect(OBEYED.exec(stdout)).toBeNull();
  });

  test('names and tags of members cannot steer a terminal, and are no paths', async () => {
    const names = [
      '../../../../tmp/x',
      ...ATTACKS.map((attack) => `m${attack}`),
      'line\nweb9  10.0.0.1:1  alive',
    ];
    const rogues = await Promise.all(
      names.map((name) => Rogue.join(cluster, web1, { name, tags: { role: name } })),
    );
    await cluster.complete(names.length + 1);
    const plain = await cluster.fanout(['members']);
    expect(plain.stdout.trim().split('\n')).toHaveLength(names.length + 1);
    const json = await cluster.fanout(['members', '--format', 'json']);
    const listed = (JSON.parse(json.stdout) as { members: { name: string }[] }).members;
    expect(listed.map(({ name }) => name).sort()).toEqual(['web1', ...names].sort());
    const run = await cluster.fanout([`cat ${file}`, '--node', 'm*', '--timeout', '500ms']);
    expect(run.code).toBe(4);
    // They go without a word, and another one says for all that they have left.
    const herald = await Rogue.join(cluster, web1, { name: 'herald' });
    for (const rogue of rogues) await rogue.leave();
    for (const node of names) herald.packet(web1, encodeDead({ incarnation: 99, node, from: node }));
    await eventually('them to be gone', async () => {
      const alive = await cluster.fanout(['members', '--status', 'alive']);
      return alive.stdout.trim().split('\n').length === 2;
    });
    const gone = await cluster.fanout([`cat ${file}`, '--node', 'm*']);
    expect(gone.code).toBe(3);
    expect(gone.stderr).toContain('no living member matches');
    await herald.leave();
    for (const text of [plain.stdout, json.stdout, run.stderr, gone.stderr, web1.log()]) {
      expect(OBEYED.exec(text)).toBeNull();
    }
  });
});
