import { PassThrough } from 'node:stream';
import { expect, test } from 'vitest';
import { confirmByCount } from '../../src/cli/confirm.ts';

const FACTS = { count: 25, notReadOnly: 3 };

function asked(): {
  input: PassThrough;
  over: AbortController;
  text: () => string;
  answer: Promise<boolean>;
} {
  const input = new PassThrough();
  const output = new PassThrough();
  const over = new AbortController();
  let text = '';
  output.on('data', (chunk) => {
    text += String(chunk);
  });
  const answer = confirmByCount('systemctl restart \u001b[2Jx', FACTS, over.signal, input, output);
  return { input, over, text: () => text, answer };
}

test.each([
  ['25\n', true],
  [' 25 \n', true],
  ['24\n', false],
  ['y\n', false],
  ['\n', false],
  ['0x19\n', false],
  ['25 nodes\n', false],
])('%j is %s', async (typed, yes) => {
  const { input, answer } = asked();
  input.write(typed);
  expect(await answer).toBe(yes);
});

test('the end of the input is a no', async () => {
  const { input, answer } = asked();
  input.end();
  expect(await answer).toBe(false);
});

test('a run that ends while the question is open takes it back, so that nothing waits for an answer', async () => {
  const { input, over, answer } = asked();
  over.abort();
  expect(await answer).toBe(false);
  expect(input.isPaused()).toBe(true);
});

test('says what is about to happen, and shows the command without obeying it', async () => {
  const { text, over, answer } = asked();
  over.abort();
  await answer;
  expect(text()).toContain('on 25 nodes, and on 3 no rule marks it as read-only: systemctl restart');
  expect(text()).not.toContain('\u001b');
});
