import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { keysOfLine } from '../../src/tui/model/typed-line.ts';
import { spokenLines, spokenNews } from '../../src/tui/screens/spoken.ts';
import { keyName } from '../../src/tui/terminal/keys.ts';
import { SpokenDisplay } from '../../src/tui/terminal/spoken-display.ts';
import { accepted, member, TestSession } from './session-support.ts';

const WEBS = ['web1', 'web2', 'web3'].map((name) => member(name, { role: 'web' }));

/** Types a line as the session takes it. */
function say(session: TestSession, line: string): TestSession {
  for (const key of keysOfLine(session.state, line)) session.send({ kind: 'key', key });
  return session;
}

describe('a typed line', () => {
  test('replaces the text that is edited, and runs nothing by itself', () => {
    const session = say(new TestSession().members(...WEBS), 'role=db');
    say(session, 'role=web');
    expect(session.state.targets.field.text).toBe('role=web');
    say(say(session, ':enter'), 'reboot');
    expect(session.state.command.field.text).toBe('reboot');
    say(session, '');
    expect(session.took('start-run')).toEqual([]);
    say(session, ':enter');
    expect(session.took('start-run')).toMatchObject([{ argv: ['reboot'] }]);
  });

  test.each([
    ['g', ['g']],
    ['j j enter', ['j', 'j', 'enter']],
    [':ctrl-c', ['ctrl-c']],
    ['::', [':']],
    [':', [':']],
    ['?', ['?']],
    ['space', ['space']],
    ['enterx', ['e', 'n', 't', 'e', 'r', 'x']],
    ['  ', []],
  ])('where nothing is edited, %j is %j', (line, keys) => {
    const session = new TestSession().members(...WEBS).open(['web1']);
    const events = keysOfLine(session.state, line);
    expect(events.map((event) => (event.kind === 'paste' ? 'paste' : keyName(event)))).toEqual(keys);
  });
});

test('what is said is text, whatever members call themselves and nodes write', () => {
  const evil = '\u001b]0;x\u0007\u202eweb';
  const session = new TestSession().members(member(evil, { role: evil })).open([evil], `ps ${evil}`);
  session.happen({ kind: 'failed', node: evil, reason: evil, hint: '' });
  session.send({ kind: 'link', link: 'lost', reason: evil });
  const all = [...spokenLines(session.state), spokenNews(session.state)].join('\n');
  expect(all).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u202e]/);
});

describe('news', () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
    vi.restoreAllMocks();
  });

  test('are one sentence, at most once a second, and the last of them is always said', () => {
    const written: { text: string; at: number }[] = [];
    vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
      written.push({ text: String(text), at: performance.now() });
      return true;
    });
    const unheard = (): void => {};
    const display = new SpokenDisplay({
      keys: unheard,
      line: unheard,
      resized: unheard,
      returned: unheard,
      ended: unheard,
    });
    const names = Array.from({ length: 50 }, (_, i) => `n${i}`);
    const session = new TestSession().members(...WEBS).open(names);
    display.show(session.state);
    for (const name of names) {
      session.happen(...accepted(name));
      session.answer(name, 'x');
      display.show(session.state);
      vi.advanceTimersByTime(100);
    }
    vi.advanceTimersByTime(2000);
    display.close();
    const [, ...news] = written;
    expect(news.length).toBeGreaterThan(3);
    expect(news.length).toBeLessThan(8);
    news.slice(1).forEach(({ at }, i) => {
      expect(at - (news[i]?.at ?? 0)).toBeGreaterThanOrEqual(1000);
    });
    expect(news.at(-1)?.text).toBe('the run has ended: 50 ok\n');
  });
});
