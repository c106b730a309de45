import { describe, expect, test } from 'vitest';
import { currentScreen } from '../../src/tui/model/state.ts';
import { toggleTerm } from '../../src/tui/model/targets.ts';
import { processorMs } from '../support/cost.ts';
import { accepted, member, TestSession } from './session-support.ts';

const WEBS = Array.from({ length: 30 }, (_, i) =>
  member(`web${i + 1}`, { role: 'web', dc: i < 10 ? 'fra' : 'ams' }),
);

function ready(count = 3): TestSession {
  return new TestSession().members(
    ...WEBS.slice(0, count),
    member('db1', { role: 'db' }),
    member('old1', { role: 'web' }, { status: 'failed' }),
  );
}

/** At the command line, with everybody selected. */
function atCommand(count = 3): TestSession {
  return ready(count).type('role=web').press('enter');
}

describe('choosing targets', () => {
  test('the matched count changes with each key, and a text that is none yet keeps the last', () => {
    const session = ready();
    expect(session.state.targets.matched.length).toBe(4);
    session.type('role=we');
    expect(session.state.targets.matched).toEqual([]);
    session.type('b');
    expect(session.state.targets).toMatchObject({
      matched: ['web1', 'web2', 'web3'],
      gone: ['old1'],
      problem: '',
    });
    session.type(' and');
    expect(session.state.targets.problem).toContain('a condition is missing');
    expect(session.state.targets.matched.length).toBe(3);
  });

  test('tags are taken and excluded from the list, and the text says so', () => {
    const session = ready().press('tab', 'space');
    expect(session.state.targets.field.text).toBe('dc=fra');
    session.press('down', 'space');
    expect(session.state.targets.field.text).toBe('dc=fra and role=web');
    session.press('down', 'space', '!');
    expect(session.state.targets.field.text).toBe('dc=fra and role=web,db and role!=db');
    session.press('space', '!');
    expect(session.state.targets.field.text).toBe('dc=fra and role=web');
  });

  test.each([
    ['', '=', 'a=b'],
    ['a=c', '=', 'a=c,b'],
    ['a=b', '=', ''],
    ['x=y and a=b,c', '=', 'x=y and a=c'],
    ['x=y or z=w', '=', '(x=y or z=w) and a=b'],
    ['x=y OR z=w', '=', '(x=y OR z=w) and a=b'],
    ['x=y | z=w', '!=', '(x=y | z=w) and a!=b'],
    ['a=b', '!=', 'a=b and a!=b'],
  ] as const)('toggling a term in %j', (text, sign, expected) => {
    expect(toggleTerm(text, 'a', sign, 'b')).toBe(expected);
  });

  test.each(['*', 'web[1-99]', "x' or node!='y", 'a?', 'b\\\\'])(
    'a member that is called %s stands for itself or for nobody, never for others',
    (name) => {
      const odd = member(name, { role: name });
      const session = ready().send({ kind: 'members', members: [...WEBS.slice(0, 3), odd] });
      const down = session.state.members.findIndex((one) => one.name === name);
      for (const there of [['tab', 'tab'], ['M']]) {
        session.press(...there, 'home', ...Array<string>(down).fill('down'));
        session.press(there.length > 1 ? 'space' : 'enter');
        const { field, matched, problem } = session.state.targets;
        if (field.text !== '' && problem === '') expect(matched).toEqual([name]);
        session.press('escape');
      }
    },
  );

  test('a run again on a node whose name is a pattern is refused, and goes to nobody else', () => {
    const session = new TestSession()
      .members(...WEBS.slice(0, 3), member('*'))
      .type('node=*')
      .press('enter');
    session.open(['*']).happen({ kind: 'failed', node: '*', reason: 'x', hint: '' });
    session.press('R');
    expect(session.state.command.only?.names).toEqual(['*']);
    session.tick(1000).press('enter');
    expect(session.took('start-run')).toEqual([]);
    expect(session.took('ask-verdict')).toEqual([]);
    expect(session.screen).toContain('its name is a pattern');
  });

  test('a selection that cannot be read runs nothing, although an older one matched', () => {
    const session = atCommand().type('ps ax');
    session.press('ctrl-t').type(' and (');
    session.state = { ...session.state, screens: ['targets', 'command'] } as typeof session.state;
    session.press('enter');
    expect(session.took('start-run')).toEqual([]);
  });

  test('going back to the command asks the nodes of the new selection', () => {
    const session = atCommand().type('ps ax').tick(500);
    session.took('ask-verdict');
    session.press('ctrl-t', 'ctrl-u').type('role=db').press('enter').tick(500);
    expect(session.took('ask-verdict')).toMatchObject([{ targets: ['db1'], selector: 'role=db' }]);
  });

  test('nothing matches: Enter says so instead of going on', () => {
    const session = ready().type('role=x').press('enter');
    expect(currentScreen(session.state)).toBe('targets');
    expect(session.screen).toContain('no member matches');
  });

  test('members that come, go and are suspected change what is matched, while the text stays', () => {
    const session = ready().type('role=web');
    session.members(member('web1', { role: 'web' }, { isSuspect: true }), member('web9', { role: 'web' }));
    expect(session.state.targets).toMatchObject({ matched: ['web1', 'web9'], suspect: ['web1'] });
    expect(session.screen).toContain('1 of these are suspect');
  });

  test('a selection is saved under a name, and a digit takes it', () => {
    const session = ready().type('role=web').press('tab', 's').type('webs').press('enter');
    expect(session.took('save-selection')).toEqual([
      { kind: 'save-selection', name: 'webs', text: 'role=web' },
    ]);
    session.send({ kind: 'saved-selections', saved: [{ name: 'dbs', text: 'role=db' }] });
    session.press('1');
    expect(session.state.targets).toMatchObject({ matched: ['db1'], selector: 'role=db' });
  });
});

describe('the command line', () => {
  test('asks the nodes when the person pauses, and shows who would run it', () => {
    const session = atCommand().type('ps ax');
    expect(session.took('ask-verdict')).toEqual([]);
    session.tick(500);
    const [asked] = session.took('ask-verdict');
    expect(asked).toMatchObject({
      argv: ['ps', 'ax'],
      targets: ['web1', 'web2', 'web3'],
      selector: 'role=web',
    });
    session.send({
      kind: 'verdict',
      token: asked!.token,
      groups: [
        { verdict: 'denied', rule: 'never', reason: 'no', readOnly: undefined, names: ['web3'] },
        { verdict: 'allowed', rule: 'health', reason: '', readOnly: true, names: ['web1', 'web2'] },
      ],
    });
    expect(session.screen).toContain('denied on 1 by rule "never": no');
    expect(session.screen).toContain('allowed on 2 by rule "health", read-only  web[1-2]');
  });

  test('a late answer about another text is not shown', () => {
    const session = atCommand().type('ps ax').tick(500);
    const [asked] = session.took('ask-verdict');
    session.type('u');
    session.send({ kind: 'verdict', token: asked!.token, groups: [] });
    expect(session.state.command.verdict.kind).toBe('waiting');
  });

  test('says at once when the text is no command, and runs nothing', () => {
    const session = atCommand().type('ps | sh').press('enter');
    expect(session.took('start-run')).toEqual([]);
    expect(session.screen).toMatch(/not a command|pipe/);
  });

  test('a pasted line end never runs anything', () => {
    const session = atCommand().paste('reboot\r\n').paste('\r').tick(1000);
    expect(session.took('start-run')).toEqual([]);
    expect(session.state.command.field.text.trim()).toBe('reboot');
    session.press('enter');
    expect(session.took('start-run')).toMatchObject([{ argv: ['reboot'] }]);
  });

  const many = Array.from({ length: 300 }, (_, i) => member(`n${i}`, { role: 'web' }));

  test.each([
    ['hundreds of nodes', many, true],
    ['with a security key, which has to be touched for each question, one node', many.slice(0, 1), false],
  ])('%s: not asked unasked', (_who, members, asksByItself) => {
    const session = new TestSession(80, 24, '', asksByItself)
      .members(...members)
      .press('enter')
      .type('uptime')
      .tick(1000);
    expect(session.took('ask-verdict')).toEqual([]);
    expect(session.screen).toContain('not asked: ^P');
    session.press('ctrl-p');
    expect(session.took('ask-verdict')).toMatchObject([{ argv: ['uptime'] }]);
  });

  test('with a security key a run starts as ever', () => {
    const session = new TestSession(80, 24, '', false)
      .members(...many.slice(0, 1))
      .press('enter')
      .type('uptime');
    session.press('ctrl-p', 'enter');
    expect(session.took('start-run')).toMatchObject([{ argv: ['uptime'] }]);
  });

  test('programs that the policy allows are completed', () => {
    const session = atCommand().send({
      kind: 'programs',
      programs: ['ps', 'df', 'systemctl', 'systemd-analyze'].map((program) => ({ program, readOnly: true })),
    });
    session.type('sy').press('tab');
    expect(session.state.command.field.text).toBe('system');
    expect(session.screen).toContain('systemctl  systemd-analyze');
    session.type('c').press('tab');
    expect(session.state.command.field.text).toBe('systemctl ');
  });

  test('the history comes up with the arrows, and ctrl-r finds in it and edits', () => {
    const entry = (command: string) => ({
      id: 'x',
      unixMs: 0,
      command,
      selector: '',
      targets: 3,
      counts: { ok: 2, failed: 1 },
      exit: 1,
      durationMs: 5,
    });
    const session = atCommand().send({
      kind: 'history',
      entries: [entry('uptime'), entry('df -h'), entry('uptime')],
    });
    session.type('x').press('up', 'up');
    expect(session.state.command.field.text).toBe('df -h');
    session.press('down', 'down');
    expect(session.state.command.field.text).toBe('x');
    session.press('ctrl-r').type('upt');
    expect(session.screen).toContain('uptime');
    expect(session.screen).not.toContain('df -h');
    session.press('enter');
    expect(session.state.command.field.text).toBe('uptime');
    expect(session.took('start-run')).toEqual([]);
  });

  test('options of a rolling run are read, and a wrong one is pointed at', () => {
    const session = atCommand()
      .type('uptime')
      .press('ctrl-o', 'tab')
      .type('10%')
      .press('tab')
      .type('5s')
      .press('tab')
      .type('1');
    session.press('enter', 'enter');
    expect(session.took('start-run')).toMatchObject([
      {
        timeoutMs: 30_000,
        rollout: { batch: { value: 10, unit: 'percent' }, batchSleepMs: 5000, canary: 1, window: 0 },
      },
    ]);
    session.press('ctrl-o', 'backspace', 'backspace', 'backspace').type('soon').press('enter', 'enter');
    expect(session.took('start-run')).toEqual([]);
    expect(session.screen).toContain('timeout: write it like');
  });
});

describe('a run', () => {
  const names = ['web1', 'web2', 'web3', 'web4'];

  function running(): TestSession {
    return atCommand().open(names).tick(1000);
  }

  test('shows the worst first, and rows stand still once the cursor was moved', () => {
    const session = running().answer('web1', 'fine\n').answer('web2', 'bad\n', 1);
    expect(session.state.run?.order.slice(0, 1)).toEqual(['web2']);
    session.press('down');
    session.answer('web4', 'worse\n', 2);
    expect(session.state.run?.order.slice(0, 2)).toEqual(['web2', 'web3']);
    expect(session.screen).toContain('* new order: u');
    session.press('u');
    expect(session.state.run?.order.slice(0, 2)).toEqual(['web2', 'web4']);
  });

  test('is stopped as a whole, or on one node after a question', () => {
    const session = running().happen(...accepted('web1'));
    session.press('c');
    expect(session.took('interrupt-run').length).toBe(1);
    session.press('x', 'n');
    expect(session.took('cancel-node')).toEqual([]);
    session.press('x', 'y');
    expect(session.took('cancel-node')).toMatchObject([{ node: session.state.run?.order[0] }]);
  });

  test('its timeout moves by ten seconds, but never into the past', () => {
    const session = running();
    session.press('+');
    expect(session.took('move-deadline')).toEqual([{ kind: 'move-deadline', timeoutMs: 22_800 }]);
    session.press('-');
    expect(session.took('move-deadline')).toEqual([{ kind: 'move-deadline', timeoutMs: 2800 }]);
    session.tick(9000).press('-');
    expect(session.took('move-deadline')).toEqual([{ kind: 'move-deadline', timeoutMs: 11_000 }]);
  });

  test('ctrl-c stops it, and twice leaves', () => {
    const session = running().press('ctrl-c');
    expect(session.took('interrupt-run').length).toBe(1);
    session.press('ctrl-c');
    expect(session.took('quit').length).toBe(1);
    const later = running().press('ctrl-c').tick(3000).press('ctrl-c');
    expect(later.took('quit')).toEqual([]);
  });

  test('on many nodes that would change something is confirmed by the count, and only by it', () => {
    const session = running().send({ kind: 'confirm', count: 48, notReadOnly: 40 });
    expect(session.screen).toContain('48 nodes: ps ax');
    session.press('enter').type('47').press('enter');
    expect(session.took('answer-confirm')).toEqual([]);
    session.paste('48\r');
    expect(session.took('answer-confirm')).toEqual([]);
    session.press('enter');
    expect(session.took('answer-confirm')).toEqual([{ kind: 'answer-confirm', yes: true }]);
    const other = running().send({ kind: 'confirm', count: 48, notReadOnly: 48 }).press('escape');
    expect(other.took('answer-confirm')).toEqual([{ kind: 'answer-confirm', yes: false }]);
  });

  test('is filtered, sorted, and those that returned 0 are hidden', () => {
    const session = running().answer('web1', 'aaa\n').answer('web2', 'b\n', 3).happen({
      kind: 'denied',
      node: 'web3',
      code: 'x',
      rule: 'never',
      reason: 'no',
    });
    const order = (): readonly string[] | undefined => session.state.run?.order;
    session.press('f');
    expect(order()).toEqual(['web2']);
    session.press('f');
    expect(order()).toEqual(['web3']);
    session.press('f', 'f', 'f', 'f', 'h');
    expect(order()).toEqual(['web2', 'web3', 'web4']);
    session.press('h', 'o', 'o', 'o', 'o');
    expect(order()?.[0]).toBe('web1');
  });

  test('its answers are folded into groups, compared, and run again where they differ', () => {
    const session = running();
    for (const name of ['web1', 'web2', 'web3']) session.answer(name, 'nginx/1.24\n');
    session.answer('web4', 'nginx/1.22\n').press('g');
    expect(session.screen).toContain('1  ok (exit 0)  web4');
    expect(session.screen).toContain('=     3  ok (exit 0)  web[1-3]');
    session.press('d');
    expect(session.took('diff')).toMatchObject([{ reference: 'web1', node: 'web4' }]);
    session.send({
      kind: 'diff',
      group: session.state.diff!.group,
      lines: [
        { kind: 'removed', text: 'nginx/1.24' },
        { kind: 'added', text: 'nginx/1.22' },
      ],
      problem: '',
    });
    expect(session.screen).toMatch(/--- web\[1-3\] \(3\)\s+\+\+\+ web4 \(1\)/);
    expect(session.screen).toContain('-nginx/1.24');
    session.press('q', 'R').tick(1000);
    expect(session.state.command.only?.names).toEqual(['web4']);
  });

  test('is run again on those that failed, and Enter sends it to them alone', () => {
    const session = atCommand(4).open(names).tick(1000).answer('web1', 'fine\n').answer('web2', 'bad\n', 1);
    session.answer('web3', 'bad\n', 1).answer('web4', '').press('R');
    expect(currentScreen(session.state)).toBe('command');
    expect(session.state.command.field.text).toBe('ps ax');
    session.press('enter');
    expect(session.took('start-run')).toMatchObject([
      { targets: ['web2', 'web3'], selector: 'node=web2 or node=web3' },
    ]);
  });

  test('its output is read whole: pages, ends, hits, the next node', () => {
    const text = Array.from({ length: 500 }, (_, i) => `line ${i}${i % 100 === 7 ? ' needle' : ''}\n`).join(
      '',
    );
    const session = running().answer('web1', text).press('enter');
    // The worst comes first: the one node that has ended well is the last row.
    expect(session.state.pager?.node).not.toBe('web1');
    session.press('backtab');
    expect(session.state.pager?.node).toBe('web1');
    session.press('end');
    expect(session.screen).toContain('line 499');
    session.press('home', '/').type('needle').press('enter');
    expect(session.screen).toContain(' * line 7 needle');
    session.press('n');
    expect(session.state.pager?.top).toBe(107);
    session.press('N');
    expect(session.state.pager?.top).toBe(7);
    session.press('n', 'n', 'n', 'n', 'n');
    expect(session.screen).toContain('"needle" does not occur below here');
  });

  test('is saved in the chosen format', () => {
    const session = running().answer('web1', 'x').press('s', 'tab', 'tab').type('/tmp/out').press('enter');
    expect(session.took('save-run')).toMatchObject([{ format: 'json', path: '/tmp/out' }]);
  });

  test('leaving asks while it goes on', () => {
    const session = running().press('q', 'escape', 'escape', 'escape');
    expect(session.state.overlay?.kind).toBe('quit');
    session.press('n');
    expect(session.took('quit')).toEqual([]);
  });

  test('keeps going when the agent is lost, and the screen says so', () => {
    const session = running().send({ kind: 'link', link: 'lost', reason: 'it broke' });
    expect(session.screen).toContain('THE AGENT IS GONE');
    session.press(':').type('uptime').press('enter');
    expect(session.took('start-run')).toEqual([]);
  });
});

describe('the screen', () => {
  test.each([
    [80, 24],
    [40, 10],
    [200, 60],
    [63, 17],
    [54, 12],
  ])('has exactly its size, %i by %i, everywhere', (columns, rows) => {
    const session = new TestSession(columns, rows).members(...WEBS);
    const check = (): void => {
      const lines = session.screen.split('\n');
      expect(lines.length).toBe(rows);
      for (const line of lines) expect(line.length).toBeLessThanOrEqual(columns);
    };
    check();
    session.press('enter').type('uptime');
    check();
    session
      .open(['web1', 'web2'])
      .answer('web1', 'x'.repeat(300))
      .happen(...accepted('web2'));
    for (const key of [
      'enter',
      'q',
      'g',
      'q',
      'M',
      'q',
      'L',
      'q',
      'E',
      'q',
      '?',
      'q',
      's',
      'escape',
      '/',
      'escape',
    ]) {
      session.press(key);
      check();
    }
  });

  test('that is too small says one honest line, and everything goes on behind it', () => {
    const session = new TestSession(39, 9)
      .members(...WEBS)
      .open(['web1', 'web2'])
      .answer('web1', 'x');
    expect(session.screen.trim()).toBe('too small: 1/2 done, 1 ok, 0 not');
    session.send({ kind: 'resize', columns: 80, rows: 24 });
    expect(session.screen).toContain('ps ax');
  });

  test('shows what nodes and members call themselves, and obeys nothing of it', () => {
    const evil = '\u001b]0;x\u0007\u202eweb';
    const session = new TestSession().members(member(evil, { [`r${evil}`]: evil }));
    expect(session.screen).not.toMatch(/[\u001b\u0007\u202e]/);
    session.open([evil], `ps ${evil}`).happen({ kind: 'failed', node: evil, reason: evil, hint: evil });
    for (const key of ['enter', 'q', 'g', 'q', 'M']) {
      session.press(key);
      expect(session.screen).not.toMatch(/[\u001b\u0007\u202e]/);
    }
  });

  test('of ten thousand nodes lays out only what is visible, within a moment', () => {
    const names = Array.from({ length: 10_000 }, (_, i) => `n${i}`);
    const session = new TestSession().members(member('n1')).open(names);
    const changing = (): void => {
      for (let i = 0; i < 20; i++) session.answer(`n${i}`, 'x\n', i % 3).screen;
    };
    // Twenty changes with their screens; a budget that only an accident breaks.
    expect(processorMs(changing)).toBeLessThan(4000);
  });
});
