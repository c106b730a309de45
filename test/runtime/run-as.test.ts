import { expect, test } from 'vitest';
import { resolveRunAs, resolveUser } from '../../src/runtime/run-as.ts';

const passwd = [
  'root:x:0:0:root:/root:/bin/bash',
  'broken:x:12',
  'letters:x:a:b::/:/bin/sh',
  'huge:x:4294967295:1::/:/bin/sh',
  'nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin',
  'app:x:1001:1002:App,,,:/srv/app:/bin/sh',
  'app:x:7:7:second line:/:/bin/sh',
  '',
].join('\n');
const group = [
  'root:x:0:',
  'adm:x:4:app,other',
  'journal:x:101:other,app',
  'app:x:1002:app',
  'near:x:9:apple',
  'logs:x:7001:',
  'broken-group:x:abc:',
  '',
].join('\n');
const root = { passwd, group, ownUid: 0 };

test('an agent of root runs a command as the named account, with its groups', () => {
  expect(resolveUser('app', root)).toEqual({ name: 'app', uid: 1001, gid: 1002, groups: [4, 101] });
});

test('without a name it is fanout-run, and nobody where that does not exist', () => {
  expect(resolveUser(undefined, root)).toEqual({ name: 'nobody', uid: 65534, gid: 65534, groups: [] });
  const withOwn = { ...root, passwd: `${passwd}fanout-run:x:990:990::/:/usr/sbin/nologin\n` };
  expect(resolveUser(undefined, withOwn)).toMatchObject({ name: 'fanout-run', uid: 990 });
});

test('an account that does not exist, or whose line is broken, is refused by name', () => {
  for (const name of ['missing', 'broken', 'letters', 'huge', '', 'x']) {
    const refusal = resolveUser(name, root);
    expect(refusal, name).toMatchObject({
      reason: expect.stringContaining(`"${name}"`),
      hint: expect.stringMatching(/\w/),
    });
  }
});

test('without any account there is a way out', () => {
  expect(resolveUser(undefined, { passwd: '', group: '', ownUid: 0 })).toMatchObject({
    hint: expect.stringContaining('useradd'),
  });
});

test('root is an account like others when a policy names it', () => {
  expect(resolveUser('root', root)).toMatchObject({ uid: 0 });
});

test('an agent without privileges keeps its own account, and refuses others', () => {
  const agent = { ...root, ownUid: 1001 };
  expect(resolveUser(undefined, agent)).toBeUndefined();
  expect(resolveUser('app', agent)).toBeUndefined();
  expect(resolveUser('root', agent)).toMatchObject({
    reason: expect.stringContaining('cannot change users'),
  });
  expect(resolveUser('missing', agent)).toHaveProperty('reason');
});

test('groups of a rule come beside those of the account, by name', () => {
  expect(resolveRunAs({ user: 'app', groups: ['logs', 'adm'] }, root)).toMatchObject({
    name: 'app',
    groups: [4, 101, 7001],
  });
  const own = resolveUser('app', root);
  expect(resolveRunAs({ user: 'app', groups: [] }, root)).toEqual(own);
});

test('a group that is missing, or is that of root, is refused by name', () => {
  for (const name of ['missing', 'broken-group', 'root']) {
    expect(resolveRunAs({ user: 'app', groups: ['adm', name] }, root), name).toMatchObject({
      reason: expect.stringContaining(`"${name}"`),
      hint: expect.stringMatching(/\w/),
    });
  }
});

test('an agent without privileges can give no groups, not even those that it has', () => {
  expect(resolveRunAs({ user: undefined, groups: ['adm'] }, { ...root, ownUid: 1001 })).toMatchObject({
    reason: expect.stringContaining('adm'),
    hint: expect.stringContaining('root'),
  });
});
