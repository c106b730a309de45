import { describe, expect, test } from 'vitest';
import { LiveSink, liveText, phaseText } from '../../src/report/live-line.ts';
import { FilesRenderer } from '../../src/report/render-files.ts';
import { TextRenderer } from '../../src/report/render-text.ts';
import { createRenderer, type OutputOptions } from '../../src/report/renderers.ts';
import { FileNames, safeFileName } from '../../src/report/safe-file-name.ts';
import { reduceRun, startRun } from '../../src/run/model.ts';
import { accepted, denied, ended, MemorySink, play, type Step, started } from './renderers-support.ts';

const PLAIN = { stdout: false, stderr: false, colours: false };
const TERMINAL = { stdout: true, stderr: true, colours: false };
const NAMES = ['web1', 'web2', 'web3', 'web4', 'db1'];

function answer(node: string, text: string, code = 0): Step[] {
  return [accepted(node), started(node), { out: [node, 'stdout', text] }, ended(node, { code })];
}

const STEPS: Step[] = [
  ...answer('web1', 'nginx/1.24\nok\n'),
  ...answer('web2', 'nginx/1.24\nok\n'),
  ...answer('web3', 'nginx/1.22\nok\n'),
  ...answer('web4', 'nginx: not found\n', 127),
  denied('db1', 'never', 'not here'),
];

function rendered(options: OutputOptions, steps = STEPS, looks = PLAIN): MemorySink {
  const sink = new MemorySink();
  play(createRenderer(options, sink, { argv: ['x'], targets: NAMES, timeoutMs: 1 }, looks), NAMES, steps);
  return sink;
}

describe('gathered output', () => {
  test('shows identical answers once, as clubak does, failures last', () => {
    const { stdout, stderr } = rendered({ format: 'text', gather: { withStderr: false, style: 'block' } });
    expect(stdout).toBe(`---------------
web[1-2] (2)
---------------
nginx/1.24
ok
---------------
web3
---------------
nginx/1.22
ok
---------------
web4 exit 127
---------------
nginx: not found
`);
    expect(stderr).toContain('fanout: db1 denied by rule "never": not here');
  });

  test('by line has the nodes in front of each', () => {
    const { stdout } = rendered({ format: 'text', gather: { withStderr: false, style: 'line' } });
    expect(stdout.split('\n').slice(0, 3)).toEqual([
      'web[1-2]: nginx/1.24',
      'web[1-2]: ok',
      'web3: nginx/1.22',
    ]);
  });

  test('as differences compares with the commonest good answer', () => {
    const { stdout } = rendered({ format: 'text', gather: { withStderr: false, style: 'diff' } });
    expect(stdout).toContain(`--- web[1-2] (2)
+++ web3
@@ -1,2 +1,2 @@
-nginx/1.24
+nginx/1.22
 ok
`);
  });

  test('takes stderr in with -B, and passes it on as it comes with -b', () => {
    const steps: Step[] = [
      accepted('web1'),
      started('web1'),
      { out: ['web1', 'stderr', 'warn\n'] },
      ended('web1'),
    ];
    expect(
      rendered({ format: 'text', gather: { withStderr: true, style: 'block' } }, steps).stdout,
    ).toContain('warn');
    const apart = rendered({ format: 'text', gather: { withStderr: false, style: 'block' } }, steps);
    expect(apart.stdout).toBe('');
    expect(apart.stderr).toContain('web1: warn\n');
  });

  test('on a terminal obeys nothing', () => {
    const steps = answer('web1', '\u001b]0;owned\u0007\u001b[2Jhi');
    const { stdout } = rendered(
      { format: 'text', gather: { withStderr: false, style: 'block' } },
      steps,
      TERMINAL,
    );
    expect(stdout).not.toMatch(/[\u001b\u0007]/);
    expect(stdout).toContain('hi\n');
  });

  test('says where the rest is when an answer is longer than what is compared', () => {
    const { stderr } = rendered(
      { format: 'text', gather: { withStderr: false, style: 'block' } },
      answer('web1', 'x'.repeat(1_100_000)),
    );
    expect(stderr).toContain('the output is longer');
  });
});

describe('other outputs', () => {
  test('-N leaves the labels out, -q the summary of what went well', () => {
    const all = ['web1', 'web2'].flatMap((node) => answer(node, 'hi\n'));
    const sink = new MemorySink();
    const options: OutputOptions = { format: 'text', labels: false, quiet: true };
    play(
      createRenderer(options, sink, { argv: ['x'], targets: [], timeoutMs: 1 }, PLAIN),
      ['web1', 'web2'],
      all,
    );
    expect(sink.stdout).toBe('hi\nhi\n');
    expect(sink.stderr).toBe('');
    expect(rendered({ format: 'text', quiet: true }).stderr).toContain('1 denied: db1');
  });

  test('csv quotes what needs it, disarms formulas, and says when output is no text', () => {
    const steps: Step[] = [
      ...answer('web1', '=cmd|"x"\n'),
      ...[accepted('web2'), started('web2')],
      { out: ['web2', 'stdout', Uint8Array.of(0xff, 0)] },
      ended('web2'),
    ];
    const rows = rendered({ format: 'csv' }, steps).stdout.split('\r\n');
    expect(rows[0]).toBe(
      'node,outcome,exit,signal,rule,reason,duration_ms,stdout_bytes,stderr_bytes,encoding,stdout,stderr',
    );
    expect(rows[1]).toBe(`web1,ok,0,,basics,,5,3,0,text,"'=cmd|""x""\n",`);
    expect(rows[2]).toContain(',base64,/wA=,');
    expect(rows[5]).toMatch(/^db1,waiting,/);
  });

  test('csv on a terminal shows what nodes wrote, and obeys nothing of it; in a file it is as they wrote it', () => {
    const evil = '\u001b]52;c;ZXZpbA==\u0007\u001b[2J\u202e';
    const csv = (stdout: boolean): string => {
      const sink = new MemorySink();
      const looks = { ...PLAIN, stdout };
      const renderer = createRenderer(
        { format: 'csv' },
        sink,
        { argv: ['x'], targets: [], timeoutMs: 1 },
        looks,
      );
      play(renderer, [evil], answer(evil, `${evil}\n`));
      return sink.stdout;
    };
    expect(csv(true)).not.toMatch(/[\u001b\u0007\u202e]/);
    expect(csv(false)).toContain(evil);
  });

  test('serf-json has the keys that scripts read', () => {
    expect(JSON.parse(rendered({ format: 'serf-json' }).stdout)).toEqual({
      Acks: ['db1', 'web1', 'web2', 'web3', 'web4'],
      Responses: {
        web1: 'nginx/1.24\nok\n',
        web2: 'nginx/1.24\nok\n',
        web3: 'nginx/1.22\nok\n',
        web4: 'nginx: not found\n',
      },
    });
  });

  test('one file per node, and its exit code beside it', () => {
    const files: Record<string, string> = {};
    const write = (name: string, bytes: Uint8Array): void => {
      files[name] = (files[name] ?? '') + Buffer.from(bytes).toString();
    };
    const sink = new MemorySink();
    const text = new TextRenderer(sink, PLAIN);
    play(new FilesRenderer(text, { stdout: write, stderr: undefined }), NAMES, STEPS);
    expect(files).toMatchObject({ web3: 'nginx/1.22\nok\n', 'web4.rc': '127\n', 'db1.rc': 'denied\n' });
    expect(sink.stdout).toBe('');
    expect(sink.stderr).toContain('3 of 5 ran it and returned 0');
  });
});

describe('file names of nodes', () => {
  test.each([
    ['web1.example-2', 'web1.example-2'],
    ['../../etc/passwd', '%2E.%2F..%2Fetc%2Fpasswd'],
    ['.', '%2E'],
    ['', '%'],
    ['/', '%2F'],
    ['a b\u001b[2J', 'a%20b%1B%5B2J'],
    ['ü', '%C3%BC'],
  ])('%j is %j', (node, name) => {
    expect(safeFileName(node)).toBe(name);
  });

  test('are none that another node has for its exit code or its errors', () => {
    for (const order of [
      ['web1', 'web1.rc', 'WEB1.ERR'],
      ['WEB1.ERR', 'web1.rc', 'web1'],
    ]) {
      const names = new FileNames();
      const files = order.flatMap((node) =>
        ['', '.rc', '.err'].map((suffix) => (names.of(node) + suffix).toLowerCase()),
      );
      expect(new Set(files).size).toBe(files.length);
    }
  });

  test('are each their own, also where capitals do not count', () => {
    const names = new FileNames();
    const all = ['Web', 'web', 'WEB', 'web~2', 'x'.repeat(500), `${'x'.repeat(499)}y`].map((node) =>
      names.of(node),
    );
    expect(new Set(all.map((name) => name.toLowerCase())).size).toBe(all.length);
    expect(names.of('web')).toBe(all[1]);
    for (const name of all) expect(name.length).toBeLessThan(200);
  });
});

describe('the live line', () => {
  let state = startRun(['a', 'b', 'c'], 30_000, 0);
  state = reduceRun(state, accepted('a'), 1);
  state = reduceRun(state, started('a'), 2);
  state = reduceRun(state, denied('b', 'never', 'no'), 3);

  test('waits a moment, and then says how the run stands', () => {
    expect(liveText(state, undefined, 200, 80)).toBe('');
    expect(liveText(state, undefined, 4100, 80)).toBe('1/3 done  1 running  1 denied  4.1s of 30s');
  });

  test('fits the terminal, whatever its width', () => {
    for (let columns = 1; columns < 60; columns++) {
      expect(liveText(state, undefined, 4100, columns).length).toBeLessThan(columns);
    }
  });

  test('is taken away before anything else is written', () => {
    const sink = new MemorySink();
    const live = new LiveSink(sink);
    live.show('1/3 done');
    live.show('1/3 done');
    live.write('stdout', Buffer.from('a: hi\n'));
    live.show('');
    expect(sink.stderr).toBe('\r\u001b[K1/3 done\r\u001b[K');
    expect(sink.stdout).toBe('a: hi\n');
  });

  test('says where a rolling run stands', () => {
    const phase = { batch: 2, batches: 5, isCanary: false, until: 9000 };
    expect(phaseText({ ...phase, kind: 'running' }, 1000)).toBe('batch 2 of 5');
    expect(phaseText({ ...phase, kind: 'sleeping' }, 4000)).toBe('batch 2 of 5 in 5.0s');
    expect(phaseText({ ...phase, kind: 'gathering' }, 0)).toContain('hearing all');
    expect(phaseText(undefined, 0)).toBe('');
  });
});
