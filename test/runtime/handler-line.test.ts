import { expect, test } from 'vitest';
import { handlerStats, parseHandlerLine, timesFor } from '../../src/runtime/handler-line.ts';

const user = (name: string) => ({ event: 'user', name }) as const;
const join = { event: 'member-join', name: '' } as const;

test('the first = divides the filter from the script', () => {
  const line = parseHandlerLine('member-join,member-leave=A=b ./x.sh');
  expect(line.script).toBe('A=b ./x.sh');
  expect(timesFor(line, join)).toBe(1);
  expect(timesFor(line, { event: 'member-failed', name: '' })).toBe(0);
});

test.each(['./x.sh', '=./x.sh', '*=./x.sh'])('"%s" is a script for every event', (text) => {
  const line = parseHandlerLine(text);
  expect(line.script).toBe('./x.sh');
  for (const event of [join, user('a'), { event: 'query', name: 'q' } as const]) {
    expect(timesFor(line, event)).toBe(1);
  }
});

test('user and query take a name, which may be empty for all of them or hold colons and blanks', () => {
  expect(timesFor(parseHandlerLine('user:a:b c=x'), user('a:b c'))).toBe(1);
  expect(timesFor(parseHandlerLine('user:a:b c=x'), user('a'))).toBe(0);
  expect(timesFor(parseHandlerLine('user:=x'), user('anything'))).toBe(1);
  expect(timesFor(parseHandlerLine('user=x'), user('anything'))).toBe(1);
  expect(timesFor(parseHandlerLine('query:load=x'), user('load'))).toBe(0);
});

test('a line that names an event twice runs twice', () => {
  expect(timesFor(parseHandlerLine('user,user:deploy,*=x'), user('deploy'))).toBe(3);
});

test('an empty script is one that does nothing', () => {
  expect(parseHandlerLine('user:deploy=')).toMatchObject({ script: '' });
  expect(parseHandlerLine('')).toMatchObject({ script: '' });
});

// The texts are those that the real program prints.
test.each([
  ['foo=bar', "Invalid event script: Event 'foo' invoking 'bar'"],
  ['member-join,,user=x', "Invalid event script: Event '' invoking 'x'"],
  ['member-join, user=x', "Invalid event script: Event ' user' invoking 'x'"],
  ['User=x', "Invalid event script: Event 'User' invoking 'x'"],
  ['A=b ./x.sh', "Invalid event script: Event 'A' invoking 'b ./x.sh'"],
])('"%s" is refused in the words of Serf', (text, message) => {
  expect(() => parseHandlerLine(text)).toThrow(
    expect.objectContaining({ code: 'CONFIG', message, hint: expect.stringContaining('member-join') }),
  );
});

test('what info shows is what the stats of Serf have', () => {
  const lines = ['member-join,user:deploy=a.sh', 'b.sh'].map(parseHandlerLine);
  expect(handlerStats(lines)).toEqual({ 'member-join:': 'a.sh', 'user:deploy': 'a.sh', '*:': 'b.sh' });
});
