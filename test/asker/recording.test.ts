import {
  chmodSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Keeper } from '../../src/asker/keep.ts';
import { Recorder } from '../../src/asker/recording.ts';
import { findRun, listRuns, pruneRuns, RunRecord, runsFolder } from '../../src/asker/run-record.ts';
import { FanoutError } from '../../src/lib/errors.ts';
import { createRenderer, type OutputOptions } from '../../src/report/renderers.ts';
import { type RunEvent, type RunState, reduceRun, startRun } from '../../src/run/model.ts';
import {
  accepted,
  acked,
  denied,
  ended,
  MemorySink,
  type Step,
  started,
} from '../report/renderers-support.ts';

let state: string;
const before = process.env.XDG_STATE_HOME;

beforeEach(() => {
  state = mkdtempSync(join(tmpdir(), 'fanout-records-'));
  process.env.XDG_STATE_HOME = state;
});

afterEach(() => {
  if (before === undefined) delete process.env.XDG_STATE_HOME;
  else process.env.XDG_STATE_HOME = before;
  rmSync(state, { recursive: true, force: true });
});

const ID = 'ab'.repeat(16);

function headOf(targets: readonly string[], id = ID, unixMs = 1_800_000_000_000) {
  return {
    id,
    argv: ['ps', 'ax'],
    selector: 'role=web',
    targets: [...targets],
    timeoutMs: 30_000,
    unixMs,
    environment: 'test',
  };
}

const STEPS: readonly Step[] = [
  acked('web1'),
  accepted('web1', true),
  started('web1'),
  { out: ['web1', 'stdout', 'one\ntw'] },
  { out: ['web1', 'stderr', 'oops\n'] },
  { out: ['web1', 'stdout', 'o\n'] },
  denied('web2', 'never', 'no shells'),
  ended('web1', { code: 3, stdoutBytes: 8, stderrBytes: 5 }),
];

/** Plays a run into a recorder, as the driver does. */
function record(steps: readonly Step[], targets: readonly string[], recorder: Recorder): RunState {
  let run = startRun(targets, 30_000, 0);
  for (const [i, step] of steps.entries()) {
    const data = 'out' in step ? Buffer.from(step.out[2]) : undefined;
    const event: RunEvent =
      'out' in step
        ? { kind: 'output', node: step.out[0], stream: step.out[1], bytes: data?.length ?? 0 }
        : step;
    run = reduceRun(run, event, (i + 1) * 10);
    recorder.event((i + 1) * 10, event, data);
    // The recorder may not keep what it was given.
    data?.fill(0x21);
  }
  recorder.close(run, steps.length * 10);
  recorder.release();
  return run;
}

function recorded(steps: readonly Step[] = STEPS, targets: readonly string[] = ['web1', 'web2']): RunState {
  return record(steps, targets, Recorder.create(runsFolder(), headOf(targets), { isIndexed: true }));
}

describe('a recorded run', () => {
  test('comes back as it was: state, output in its order, outcome', () => {
    const live = recorded();
    const found = findRun('last');
    expect(found).toMatchObject({ id: ID, trailer: { exit: 5, counts: { failed: 1, denied: 1 } } });
    const run = RunRecord.open(found.path);
    expect([...run.state.targets.values()]).toEqual([...live.targets.values()]);
    expect(run.isComplete).toBe(true);
    expect(run.outputs.lines('web1', 0, 10)).toEqual([
      { stream: 'stdout', text: 'one' },
      { stream: 'stdout', text: 'tw' },
      { stream: 'stderr', text: 'oops' },
      { stream: 'stdout', text: 'o' },
    ]);
    run.close();
  });

  test.each<OutputOptions>([
    { format: 'text' },
    { format: 'ndjson' },
    { format: 'json' },
    { format: 'csv' },
    { format: 'serf-json' },
    { format: 'text', gather: { withStderr: true, style: 'block' } },
  ])('is shown in %j as it was live', (options) => {
    const looks = { stdout: false, stderr: false, colours: false };
    const live = new MemorySink();
    const renderer = createRenderer(options, live, headOf(['web1', 'web2']), looks);
    let run = startRun(['web1', 'web2'], 30_000, 0);
    for (const [i, step] of STEPS.entries()) {
      const data = 'out' in step ? Buffer.from(step.out[2]) : undefined;
      const event: RunEvent =
        'out' in step
          ? { kind: 'output', node: step.out[0], stream: step.out[1], bytes: data?.length ?? 0 }
          : step;
      run = reduceRun(run, event, (i + 1) * 10);
      renderer.event(run, event, data);
    }
    renderer.end(run);
    recorded();
    const again = new MemorySink();
    const record = RunRecord.open(findRun('last').path);
    record.replay(createRenderer(options, again, record.head, looks));
    record.close();
    // Pieces of one node are put together, so that those of different nodes may change places as they could on the wire.
    const lines = (text: string): string[] =>
      options.format === 'ndjson' ? text.split('\n').sort() : [text];
    expect(lines(again.stdout)).toEqual(lines(live.stdout));
    expect(again.stderr).toBe(live.stderr);
  });

  test('is for its owner alone', () => {
    recorded();
    expect(statSync(runsFolder()).mode & 0o777).toBe(0o700);
    expect(statSync(findRun('last').path).mode & 0o777).toBe(0o600);
  });

  test('that was cut off keeps everything before the cut, and says what is missing', () => {
    recorded();
    const { path } = findRun('last');
    const whole = readFileSync(path);
    for (let length = whole.length - 1; length > 0; length -= 7) {
      truncateSync(path, length);
      let run: RunRecord;
      try {
        run = RunRecord.open(path);
      } catch (error) {
        expect(error).toBeInstanceOf(FanoutError);
        continue;
      }
      expect(run.state.phase).toBe('ended');
      for (const target of run.state.targets.values()) expect(target.reason + target.state).not.toBe('');
      run.close();
    }
  });

  test('with any bytes changed gives a FanoutError or a run, and nothing else', () => {
    recorded();
    const { path } = findRun('last');
    const whole = readFileSync(path);
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(whole.length - 1), fc.nat(255)), { minLength: 1, maxLength: 5 }),
        (changes) => {
          const bytes = Buffer.from(whole);
          for (const [at, byte] of changes) bytes[at] = byte;
          writeFileSync(path, bytes);
          try {
            const run = RunRecord.open(path);
            run.outputs.lines('web1', 0, 100);
            run.replay(
              createRenderer({ format: 'ndjson' }, new MemorySink(), run.head, {
                stdout: false,
                stderr: false,
                colours: false,
              }),
            );
            run.close();
          } catch (error) {
            expect(error).toBeInstanceOf(FanoutError);
          }
          listRuns();
        },
      ),
      { numRuns: 500 },
    );
  });

  test('is found by the start of its id; none and several are errors with a way out', () => {
    recorded();
    const other = `abab${'0'.repeat(28)}`;
    const head = headOf(['n'], other, 1_800_000_000_001);
    record([], ['n'], Recorder.create(runsFolder(), head, { isIndexed: true }));
    expect(findRun('last').id).toBe(other);
    expect(findRun('ababab').id).toBe(ID);
    for (const wanted of ['abab', 'ffff', 'xyz', 'ab', '']) {
      expect(() => findRun(wanted)).toThrow(FanoutError);
    }
    expect(listRuns().map(({ id }) => id)).toEqual([other, ID]);
  });

  test('that cannot be written never stands in the way of the run', () => {
    writeFileSync(join(state, 'fanout'), 'a file where the folder should be');
    const keeper = new Keeper(headOf(['n']), 'ps ax', { isIndexed: true });
    expect(keeper.problem).toContain('not recorded');
    keeper.event(1, acked('n'));
    keeper.end(startRun([], 1, 0), 2);
    expect(keeper.problem).toContain('cannot be written');
  });

  test('above its limit says that it is cut, and keeps the rest of the facts', () => {
    const recorder = Recorder.create(runsFolder(), headOf(['n']), { maxBytes: 10_000, isIndexed: true });
    let run = startRun(['n'], 1000, 0);
    const events: [RunEvent, Uint8Array?][] = [
      [accepted('n')],
      [started('n')],
      [{ kind: 'output', node: 'n', stream: 'stdout', bytes: 6000 }, new Uint8Array(6000)],
      [{ kind: 'output', node: 'n', stream: 'stdout', bytes: 6000 }, new Uint8Array(6000)],
      [ended('n', { stdoutBytes: 12_000 })],
    ];
    for (const [event, data] of events) {
      run = reduceRun(run, event, 1);
      recorder.event(1, event, data);
    }
    recorder.close(run, 5);
    expect(recorder.problem).toContain('cut');
    expect(recorder.outputs.bytes('n')).toBe(6000);
    recorder.release();
    const record = RunRecord.open(findRun('last').path);
    expect(record.state.targets.get('n')).toMatchObject({ state: 'exited', stdoutBytes: 12_000 });
    record.close();
  });

  test('goes when there are too many of them, but not while it may still be written', () => {
    for (let i = 0; i < 205; i++) {
      const id = i.toString(16).padStart(32, '0');
      const recorder = Recorder.create(runsFolder(), headOf(['n'], id, 1000 + i), { isIndexed: false });
      if (i > 0) recorder.close(startRun([], 1, 0), 1);
      recorder.release();
    }
    pruneRuns(Date.now());
    const kept = readdirSync(runsFolder());
    expect(kept.length).toBe(201);
    expect(kept.some((name) => name.includes(`${'0'.repeat(32)}.run`))).toBe(true);
    chmodSync(runsFolder(), 0o700);
  });
});

describe('many small pieces', () => {
  test('are put together, and any line is at hand', () => {
    const recorder = Recorder.create(runsFolder(), headOf(['a', 'b']), { isIndexed: true });
    const data = Buffer.alloc(1);
    for (let i = 0; i < 60_000; i++) {
      data[0] = i % 60 === 59 ? 0x0a : 0x41 + (Math.floor(i / 60) % 26);
      recorder.event(i, { kind: 'output', node: i % 2 === 0 ? 'a' : 'a', stream: 'stdout', bytes: 1 }, data);
    }
    expect(recorder.outputs.lineCount('a')).toBe(1000);
    expect(recorder.outputs.lines('a', 999, 5)).toEqual([{ stream: 'stdout', text: 'L'.repeat(59) }]);
    expect(recorder.outputs.lines('a', 26, 1)).toEqual([{ stream: 'stdout', text: 'A'.repeat(59) }]);
    expect(statSync(recorder.path).size).toBeLessThan(70_000);
    recorder.close(startRun([], 1, 0), 1);
    recorder.release();
  });
});
