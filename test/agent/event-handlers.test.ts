import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { EventHandlers, type EventHandlersParts } from '../../src/agent/event-handlers.ts';
import { DecodeError } from '../../src/lib/errors.ts';
import { parseHandlerLine } from '../../src/runtime/handler-line.ts';
import type { SerfEvent } from '../../src/serf/events.ts';
import type { MemberEventKind } from '../../src/serf/member.ts';
import { eventually, removeFolder, temporaryFolder } from '../support/processes.ts';

let dir: string;
let handlers: EventHandlers;
let log: string[];
let counted: string[];
let answers: string[];
let recorded: string[];

beforeEach(() => {
  dir = temporaryFolder();
  log = [];
  counted = [];
  answers = [];
  recorded = [];
});
afterEach(async () => {
  await handlers.stop();
  removeFolder(dir);
});

function start(lines: readonly string[], changes: Partial<EventHandlersParts> = {}): void {
  const say = (text: string): void => void log.push(text);
  handlers = new EventHandlers({
    lines: lines.map(parseHandlerLine),
    warnings: [],
    timeoutMs: 20_000,
    self: () => ({ name: 'web1', tags: new Map([['role', 'web']]) }),
    mayAnswer: () => true,
    records: {
      begin: (query) => {
        recorded.push(`begin ${query.name}`);
        return ({ code, cause }) => void recorded.push(`end ${query.name} ${cause} ${code}`);
      },
      refused: (query, handler, reason) => void recorded.push(`refused ${query.name} ${handler}: ${reason}`),
    },
    respond: (query, payload) => {
      if (payload.length > 1000)
        throw new DecodeError('response-size', 'response exceeds limit of 1024 bytes');
      answers.push(`${query.name}:${Buffer.from(payload).toString()}`);
    },
    count: (name) => void counted.push(name),
    now: () => performance.now(),
    unixMs: () => Date.now(),
    log: { debug: say, info: say, warn: say, error: say },
    ...changes,
  });
}

function member(event: MemberEventKind, name: string): SerfEvent {
  const rest = { port: 7946, vsn: new Uint8Array(6), status: 'alive', statusLTime: 1, goneAt: 0 } as const;
  return {
    kind: 'member',
    event,
    member: { ...rest, name, addr: Uint8Array.of(10, 0, 0, 1), tags: new Map() },
  };
}

const user = (name: string, ltime = 1, payload = ''): SerfEvent => ({
  kind: 'user',
  ltime,
  name,
  payload: Buffer.from(payload),
  coalesce: false,
});

function query(name: string, payload = '', forMs = 20_000): SerfEvent {
  return {
    kind: 'query',
    from: '',
    deadline: performance.now() + forMs,
    query: {
      kind: 'query',
      ltime: 7,
      id: 99,
      addr: Uint8Array.of(127, 0, 0, 1),
      port: 1,
      sourceNode: 'x',
      filters: [],
      flags: 0,
      relayFactor: 0,
      timeoutNs: 1,
      name,
      payload: Buffer.from(payload),
    },
  };
}

const written = (name: string): string => {
  try {
    return readFileSync(join(dir, name), 'utf8');
  } catch {
    return '';
  }
};

test('the answer to a query is what its script writes, and that it failed is silence', async () => {
  start([
    'query:load=echo "load $(cat) $FANOUT_REQUEST_ID"; test "$FANOUT_DEADLINE" -gt 1000000000',
    'query:bad=echo x; exit 1',
  ]);
  handlers.event(query('bad'));
  handlers.event(query('load', 'now'));
  await eventually('the answer', () => answers.length > 0);
  await eventually('the failure', () => log.some((line) => line.includes('exit status 1')));
  expect(answers).toEqual(['load:load now 7:99\n']);
  expect([...recorded].sort()).toEqual(['begin bad', 'begin load', 'end bad exit 1', 'end load exit 0']);
});

test('a query that cannot be recorded starts nothing', async () => {
  start([`query:load=touch ${dir}/ran; echo x`], {
    records: { begin: () => undefined, refused: () => recorded.push('refused') },
  });
  handlers.event(query('load'));
  await eventually('the refusal', () => counted.includes('handler-query-unrecorded'));
  await handlers.stop();
  expect([answers, readdirSync(dir), recorded]).toEqual([[], [], []]);
});

test('no output is no answer, and one that is too long is dropped with a line in the log', async () => {
  start(['query:nothing=true', 'query:much=head -c 2000 /dev/zero']);
  handlers.event(query('nothing'));
  handlers.event(query('much'));
  await eventually('the line', () =>
    log.some((line) => line === "Failed to respond to query 'much': response exceeds limit of 1024 bytes"),
  );
  expect(answers).toEqual([]);
  expect(counted).toEqual(['handler-response-size']);
});

test('a query that is not to be answered starts nothing', async () => {
  start([`query:load=touch ${dir}/ran`, `touch ${dir}/ran`], { mayAnswer: () => false });
  handlers.announce();
  expect(log[0]).toContain("the query 'load' has a handler and is not answered");
  handlers.event(query('load'));
  expect(counted).toEqual(['handler-query-refused']);
  const reason = 'this node answers it for nobody without a signature';
  expect(recorded).toEqual([`refused load touch ${dir}/ran: ${reason}`]);
  await handlers.stop();
  expect(readdirSync(dir)).toEqual([]);
});

test('an answer that comes after the deadline is not sent, and a query that waited past it is not begun', async () => {
  start([`query:slow=sleep 0.3; echo x`, `query:never=touch ${dir}/ran`]);
  handlers.event(query('slow', '', 50));
  handlers.event(query('never', '', -1));
  await eventually('the line', () => log.some((line) => line.includes('response is past the deadline')));
  expect([answers, readdirSync(dir)]).toEqual([[], []]);
  expect(counted).toContain('handler-query-late');
  expect(recorded).toEqual(['begin slow', 'end slow exit 0']);
});

test('events come to one script in their order, and another script does not wait', async () => {
  start([
    `member-join,member-leave,user=while ! test -e ${dir}/go; do sleep 0.01; done; cut -f1 >> ${dir}/order`,
    `user=echo "$SERF_USER_EVENT" >> ${dir}/other`,
  ]);
  handlers.event(user('first', 1, 'first'));
  handlers.event(member('member-join', 'a'));
  handlers.event(member('member-join', 'b'));
  handlers.event(member('member-leave', 'a'));
  handlers.event(user('last', 2, 'last'));
  await eventually('the other script', () => written('other') === 'first\nlast\n');
  expect(written('order')).toBe('');
  writeFileSync(join(dir, 'go'), '');
  await eventually('the last event', () => written('order') === 'first\na\nb\na\nlast\n');
});

test('members to whom the same happened meanwhile are one call with a line for each', async () => {
  start([
    `member-join,user=echo call >> ${dir}/calls; while ! test -e ${dir}/go; do sleep 0.01; done; cat >> ${dir}/lines`,
  ]);
  handlers.event(user('busy'));
  for (let i = 0; i < 500; i++) handlers.event(member('member-join', `n${i}`));
  writeFileSync(join(dir, 'go'), '');
  await eventually('all members', () => written('lines').split('\n').length === 501);
  expect(written('calls')).toBe('call\ncall\n');
});

test('a thousand events in a moment start one script at a time, and what is too much is dropped and told once', async () => {
  start([
    `user=test ! -e ${dir}/busy && : > ${dir}/busy; echo "$SERF_USER_LTIME" >> ${dir}/ran; exec rm ${dir}/busy`,
  ]);
  for (let i = 0; i < 1000; i++) handlers.event(user('flood', i));
  const taken = 257;
  await eventually('those that were taken', () => written('ran').trim().split('\n').length === taken, 55_000);
  expect(written('ran')).toBe(Array.from({ length: taken }, (_, i) => `${i}\n`).join(''));
  expect(counted.filter((name) => name === 'handler-event-dropped')).toHaveLength(1000 - taken);
  expect(log.filter((line) => line.includes('are dropped'))).toHaveLength(1);
  // Two at once would have stood in each other's way.
  expect(log.join()).not.toContain('exit status');
});

test('a thousand queries in a moment run a few at a time', async () => {
  start([
    `query=f=$(mktemp ${dir}/now.XXXXXX); ls ${dir} | grep -c now >> ${dir}/counts; sleep 0.02; rm "$f"; echo x`,
  ]);
  for (let i = 0; i < 1000; i++) handlers.event(query('flood'));
  await eventually('the answers', () => answers.length === 68);
  const most = Math.max(...written('counts').trim().split('\n').map(Number));
  expect(most).toBeLessThanOrEqual(4);
  expect(counted.filter((name) => name === 'handler-event-dropped')).toHaveLength(932);
});

test('names and payloads of others are data, whatever they hold', async () => {
  start([`user,member-join=printf '%s|' "$SERF_USER_EVENT" >> ${dir}/names; cat >> ${dir}/input`]);
  const names = ['$(touch pwned)', '`id`; reboot', '\'"\\', '-n', 'ä\n\t ', '{}', '%s'];
  for (const name of names) handlers.event(user(name, 1, name));
  handlers.event(user('a\0b'));
  handlers.event(member('member-join', 'x\n; rm -rf /\t'));
  await eventually('the last one', () => written('input').endsWith('x\\n; rm -rf /\\t\t10.0.0.1\t\t\n'));
  expect(written('names')).toBe(`${names.join('|')}||`);
  expect(log.some((line) => line.includes('could not be started'))).toBe(true);
  expect(readdirSync(dir).sort()).toEqual(['input', 'names']);
});

test('stopping ends what runs', async () => {
  start([`user=echo $$ > ${dir}/pid; sleep 1000`]);
  handlers.event(user('x'));
  await eventually('its start', () => written('pid') !== '');
  await handlers.stop();
  expect(() => process.kill(Number(written('pid')), 0)).toThrow('ESRCH');
});

test('lines can be replaced while the agent runs', async () => {
  start([`user=echo old >> ${dir}/ran`]);
  handlers.replace([parseHandlerLine(`user=echo new >> ${dir}/ran`)]);
  expect(handlers.stats()).toEqual({ 'user:': `echo new >> ${dir}/ran` });
  handlers.event(user('x'));
  await eventually('the new one', () => written('ran') === 'new\n');
});
