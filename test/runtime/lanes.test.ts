import { expect, test } from 'vitest';
import { Lanes, type Task } from '../../src/runtime/lanes.ts';

class Work implements Task {
  static log: string[] = [];
  readonly name: string;
  finish: () => void = () => {};
  constructor(name: string) {
    this.name = name;
  }
  run(): Promise<void> {
    Work.log.push(this.name);
    return new Promise((resolve) => {
      this.finish = resolve;
    });
  }
}

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function works(...names: string[]): Work[] {
  Work.log = [];
  return names.map((name) => new Work(name));
}

test('one lane keeps its order, another does not wait for it', async () => {
  const lanes = new Lanes({ atOnce: 8, perLane: 1, waiting: 8 });
  const [a1, a2, b1] = works('a1', 'a2', 'b1') as [Work, Work, Work];
  lanes.offer(0, a1);
  lanes.offer(0, a2);
  lanes.offer(1, b1);
  expect(Work.log).toEqual(['a1', 'b1']);
  a1.finish();
  await settled();
  expect(Work.log).toEqual(['a1', 'b1', 'a2']);
});

test('of a thousand that come at once a bounded number runs, a bounded number waits, and the rest is refused', async () => {
  const lanes = new Lanes({ atOnce: 3, perLane: 2, waiting: 10 });
  const all = works(...Array.from({ length: 1000 }, (_, number) => String(number)));
  const taken = all.filter((work) => lanes.offer(0, work));
  expect(Work.log).toEqual(['0', '1']);
  expect(taken).toHaveLength(12);
  for (const work of taken) {
    work.finish();
    await settled();
  }
  expect(Work.log).toEqual(taken.map(({ name }) => name));
});

test('all lanes together have a bound, and a busy lane does not keep the others out', async () => {
  const lanes = new Lanes({ atOnce: 1, perLane: 1, waiting: 8 });
  const [a1, a2, b1] = works('a1', 'a2', 'b1') as [Work, Work, Work];
  for (const [lane, work] of [
    [0, a1],
    [0, a2],
    [1, b1],
  ] as const)
    lanes.offer(lane, work);
  expect(Work.log).toEqual(['a1']);
  a1.finish();
  await settled();
  expect(Work.log).toEqual(['a1', 'b1']);
});

test('what waits may take in what comes behind it, also when the lane is full', () => {
  const lanes = new Lanes({ atOnce: 1, perLane: 1, waiting: 1 });
  const [running] = works('running') as [Work];
  const absorbed: Task[] = [];
  const greedy = Object.assign(new Work('greedy'), { absorb: (next: Task) => absorbed.push(next) > 0 });
  expect(lanes.offer(0, running)).toBe(true);
  expect(lanes.offer(0, greedy)).toBe(true);
  expect(lanes.offer(0, new Work('x'))).toBe(true);
  expect(absorbed).toHaveLength(1);
  expect(Work.log).toEqual(['running']);
});

test('after the stop nothing more begins', async () => {
  const lanes = new Lanes({ atOnce: 1, perLane: 1, waiting: 8 });
  const [a, b, c] = works('a', 'b', 'c') as [Work, Work, Work];
  lanes.offer(0, a);
  lanes.offer(0, b);
  lanes.stop();
  a.finish();
  await settled();
  expect(lanes.offer(0, c)).toBe(false);
  expect(Work.log).toEqual(['a']);
});
