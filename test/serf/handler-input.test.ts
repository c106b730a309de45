import { expect, test } from 'vitest';
import { handlerInput, handlerVariables } from '../../src/serf/handler-input.ts';
import type { Member } from '../../src/serf/member.ts';

const self = { name: 'web1', tags: new Map([['role', 'web']]) };
const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1');

function member(name: string, tags: Record<string, string>, addr = [10, 0, 0, 5]): Member {
  return {
    name,
    addr: Uint8Array.from(addr),
    port: 7946,
    tags: new Map(Object.entries(tags)),
    vsn: new Uint8Array(6),
    status: 'alive',
    statusLTime: 1,
    goneAt: 0,
  };
}

test('members come one a line, and a value can make neither a column nor a line', () => {
  const members = [member('web1', { role: 'web' }), member('a\tb\nc', { role: 'x\ty', note: 'one\ntwo' })];
  expect(text(handlerInput({ kind: 'member', event: 'member-join', members }))).toBe(
    'web1\t10.0.0.5\tweb\trole=web\na\\tb\\nc\t10.0.0.5\tx\\ty\trole=x\\ty,note=one\\ntwo\n',
  );
});

test('an address without a name is written as an address, and a member without tags has empty columns', () => {
  const v4InV6 = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1];
  const members = [member('a', {}, v4InV6)];
  expect(text(handlerInput({ kind: 'member', event: 'member-leave', members }))).toBe('a\t127.0.0.1\t\t\n');
});

test.each([
  ['', ''],
  ['v1', 'v1\n'],
  ['v1\n', 'v1\n'],
  ['\n', '\n'],
  ['\xff\x00', '\xff\x00\n'],
])('the payload %j reads as %j', (payload, input) => {
  const event = { kind: 'user', ltime: 3, name: 'deploy', payload: Buffer.from(payload, 'latin1') } as const;
  expect(text(handlerInput(event))).toBe(input);
});

test('no payload is an empty one', () => {
  expect(handlerInput({ kind: 'query', ltime: 3, name: 'load', payload: null })).toHaveLength(0);
});

test('the variables of a user event, and no others', () => {
  const event = { kind: 'user', ltime: 3, name: 'deploy', payload: null } as const;
  expect(handlerVariables(self, event)).toEqual({
    SERF_EVENT: 'user',
    SERF_SELF_NAME: 'web1',
    SERF_SELF_ROLE: 'web',
    SERF_TAG_ROLE: 'web',
    SERF_USER_EVENT: 'deploy',
    SERF_USER_LTIME: '3',
  });
});

test('the names of tags become names of variables, letter by letter', () => {
  const names = ['dc-1', 'ä', 'ß', 'a.b c', 'ı', '=', '😀'];
  const tags = new Map(names.map((name) => [name, 'x']));
  const found = handlerVariables({ name: 'a', tags }, { kind: 'query', ltime: 1, name: 'q', payload: null });
  expect(Object.keys(found).filter((name) => name.startsWith('SERF_TAG_'))).toEqual([
    'SERF_TAG_DC_1',
    'SERF_TAG__',
    'SERF_TAG_A_B_C',
    'SERF_TAG_I',
  ]);
  expect(found.SERF_SELF_ROLE).toBe('');
});

test('a tag cannot set a variable of another kind', () => {
  const tags = new Map([['x=1\nPATH', '/evil']]);
  const found = handlerVariables({ name: 'a', tags }, { kind: 'query', ltime: 1, name: 'q', payload: null });
  expect(found).toMatchObject({ SERF_TAG_X_1_PATH: '/evil' });
});
