import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, test } from 'vitest';
import { draw } from '../../src/tui/screens/draw.ts';
import { Canvas } from '../../src/tui/terminal/canvas.tsx';
import { Painter } from '../../src/tui/terminal/painter.ts';
import { Xterm } from '../support/xterm.ts';
import { accepted, member, NOON, TestSession } from './session-support.ts';

const canvas = new Canvas(true);
afterAll(() => canvas.close());

const PS = `  PID TTY      STAT   TIME COMMAND
    1 ?        Ss     0:03 /sbin/init
  612 ?        Ss     0:00 nginx: master process
`;
const web = (i: number): string => `web${String(i).padStart(2, '0')}`;
const NAMES = Array.from({ length: 16 }, (_, i) => web(i + 1));

function cluster(): TestSession {
  return new TestSession().members(
    ...NAMES.map((name, i) =>
      member(
        name,
        { role: 'web', dc: i < 9 ? 'fra' : 'ams' },
        { rttMs: 0.4 + i / 10, isSuspect: name === 'web09' },
      ),
    ),
    ...['db1', 'db2'].map((name) => member(name, { role: 'db', dc: 'fra' }, { rttMs: 1.2 })),
    member('web17', { role: 'web', dc: 'ams' }, { status: 'failed', rttMs: undefined }),
  );
}

function selected(): TestSession {
  return cluster().type('role=web').press('enter');
}

/** Twelve have answered, two differ, one refused, the rest run. */
function run(): TestSession {
  const session = selected().open(NAMES, 'nginx -v').tick(300);
  for (const name of NAMES.slice(0, 10)) session.answer(name, 'nginx version: nginx/1.24.0\n', 0, 84);
  session.answer('web11', 'nginx version: nginx/1.22.1\n', 0, 91);
  session.answer('web12', 'nginx: [emerg] invalid option\n', 1, 12);
  session.happen({
    kind: 'denied',
    node: 'web13',
    code: 'deny-rule',
    rule: 'frozen',
    reason: 'no changes during the audit',
  });
  session.happen(...accepted('web14'), ...accepted('web15'), { kind: 'acked', node: 'web16' });
  return session.tick(1200);
}

const SCENES: Readonly<Record<string, () => TestSession>> = {
  targets: () =>
    cluster()
      .send({
        kind: 'saved-selections',
        saved: [
          { name: 'web', text: 'role=web' },
          { name: 'canaries', text: 'web[01-03]' },
        ],
      })
      .type('role=web')
      .press('tab', 'down'),
  command: () => {
    const history = ['uptime', 'df -h /srv', 'systemctl restart nginx'].map((command, i) => ({
      id: '7f3a',
      unixMs: NOON - (i + 1) * 3_600_000,
      command,
      selector: 'role=web',
      targets: 16,
      counts: i === 2 ? { ok: 14, denied: 2 } : { ok: 16 },
      exit: i === 2 ? 5 : 0,
      durationMs: 400,
    }));
    const session = selected()
      .send({ kind: 'history', entries: history })
      .type('systemctl restart nginx')
      .tick(500);
    const [asked] = session.took('ask-verdict');
    return session.send({
      kind: 'verdict',
      token: asked!.token,
      groups: [
        {
          verdict: 'denied',
          rule: 'frozen',
          reason: 'no changes during the audit',
          readOnly: undefined,
          names: ['web13'],
        },
        {
          verdict: 'allowed',
          rule: 'restart',
          reason: '',
          readOnly: false,
          names: NAMES.filter((name) => name !== 'web13'),
        },
      ],
    });
  },
  run,
  groups: () => run().press('g', 'down', 'down', 'down', 'down'),
  confirm: () =>
    selected()
      .open(NAMES, 'systemctl restart nginx')
      .send({ kind: 'confirm', count: 48, notReadOnly: 48 })
      .type('4'),
  output: () => {
    const session = selected().open(NAMES, 'ps ax').tick(300);
    session.answer('web01', PS.repeat(9));
    return session.press('u', 'end', 'enter', '/').type('nginx').press('enter');
  },
};

test.each(Object.keys(SCENES))('docs/%s.svg shows what the session draws', async (name) => {
  const path = fileURLToPath(new URL(`../../docs/${name}.svg`, import.meta.url));
  const { state } = SCENES[name]!();
  const terminal = new Xterm(state.columns, state.rows);
  const frame = draw(state, { ascii: false });
  await terminal.write(new Painter().paint(canvas.lines(frame, state.columns), frame.cursor));
  const picture = terminal.svg('fanout');
  if (process.env.UPDATE_DOCS !== undefined) {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, picture);
  }
  expect(readFileSync(path, 'utf8')).toBe(picture);
});
