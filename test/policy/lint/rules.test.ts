import { describe, expect, test } from 'vitest';
import { lintPolicy } from '../../../src/policy/lint/lint.ts';
import { compilePolicy } from '../../../src/policy/load.ts';
import { ALICE, BOB, policyText } from '../fixtures.ts';
import { lint, lintCommand, QUIET_DAY } from './fixtures.ts';

const UPTIME = 'commands: [{ program: uptime, argv: [] }]';

/** Codes of the findings that are more than information, but for missing examples. */
function codes(rules: string, more = '', unixMs = QUIET_DAY): string[] {
  const found = lint(rules, more, unixMs).filter(
    ({ level, code }) => level !== 'info' && code !== 'no-example',
  );
  return found.map(({ level, code, message }) => `${level} ${code}: ${message}`);
}

describe('what a rule gives its commands', () => {
  test.each([
    ['sandbox: none', 'runs without a sandbox'],
    ['sandbox: [strict, none]', 'runs without a sandbox where there is no other'],
    ['user: root', 'runs as root'],
    ['user: root, sandbox: { network: host }', 'is root in the network'],
    ['groups: [docker]', 'the group "docker"'],
    ['groups: [adm, shadow]', 'the group "shadow"'],
    ['groups: [wheel]', 'the group "wheel"'],
    ['groups: [disk]', 'the group "disk"'],
    ['sandbox: { sockets: [/run/docker.sock] }', 'a container engine'],
    ['sandbox: { sockets: [/var/run/docker.sock] }', 'a container engine'],
    ['sandbox: { sockets: [/run/containerd/containerd.sock] }', 'a container engine'],
    ['sandbox: { sockets: [/run/user/1000/podman/podman.sock] }', 'a container engine'],
    ['sandbox: { sockets: [/run/systemd/private] }', 'the manager of the machine'],
    ['sandbox: { sockets: [/run/dbus/system_bus_socket] }', 'D-Bus'],
    ['sandbox: { sockets: [/run/fanout/agent.sock] }', 'the agent itself'],
    ['sandbox: { write: [/etc] }', 'may write "/etc"'],
    ['sandbox: { write: [/etc/cron.d] }', 'may write "/etc/cron.d"'],
    ['sandbox: { write: [/usr/local/bin] }', 'may write'],
    ['sandbox: { write: [/srv, /srv/app/tmp] }', 'may write "/srv"'],
    ['sandbox: { write: [/var/lib/dpkg] }', 'may write'],
    ['sandbox: { write: [/] }', 'may write "/"'],
    ['sandbox: { read: [/root] }', 'may read "/root"'],
    ['sandbox: { read: [/etc/ssl/private] }', 'may read'],
    ...['PAGER', 'LESSOPEN', 'GIT_SSH_COMMAND', 'BASH_ENV', 'NODE_OPTIONS', 'PYTHONPATH', 'PERL5OPT'].map(
      (name) => [`env: { ${name}: x }`, `the variable ${name}`],
    ),
    ...['RUBYOPT', 'JAVA_TOOL_OPTIONS', '_JAVA_OPTIONS', 'ENV', 'EDITOR', 'HOME', 'SYSTEMD_PAGER'].map(
      (name) => [`env: { ${name}: x }`, `the variable ${name}`],
    ),
  ])('%s', (words = '', message = '') => {
    const found = codes(`  - { id: a, effect: allow, ${words}, ${UPTIME} }`);
    expect(found.join('\n')).toContain(message);
    for (const one of found) expect(one).toMatch(/^danger surroundings/);
  });

  test.each([
    'sandbox: strict',
    'sandbox: { profile: standard, network: host }',
    'user: app',
    'groups: [systemd-journal, adm]',
    'sandbox: { write: [/srv/app/tmp, /var/cache/app] }',
    'sandbox: { read: [/run/log/journal, /etc/machine-id] }',
    'sandbox: { sockets: [/run/app/app.sock, /run/postgresql/.s.PGSQL.5432] }',
    'env: { APP_ENV: production, TZ: UTC, LC_ALL: C }',
    'cwd: /srv/app',
    'limits: { timeout: 5s }',
  ])('nothing about %s', (words) => {
    expect(codes(`  - { id: a, effect: allow, ${words}, ${UPTIME} }`)).toEqual([]);
  });
});

describe('what can never have an effect', () => {
  test.each([
    [
      'a rule that an earlier one covers',
      `  - { id: a, effect: allow, commands: [{ program: df, flags: ["-h", "-i"] }, { program: ps, argv: [[ax, aux]] }] }
  - { id: b, effect: allow, tags: { role: web }, commands: [{ program: ps, argv: [ax] }, { program: df, flags: ["-h"] }] }`,
      'never decides: rule "a" above',
    ],
    [
      'numbers within numbers',
      `  - { id: a, effect: allow, operators: [alice, bob], commands: [{ program: sleep, argv: ["int:1..9", "any:20"] }] }
  - { id: b, effect: allow, operators: [alice], commands: [{ program: sleep, argv: ["5", x] }] }`,
      'never decides',
    ],
    [
      'a program that is denied by name',
      `  - { id: never, effect: deny, programs: ["p*"] }
  - { id: a, effect: allow, commands: [{ program: uptime, argv: [] }, { program: ps, argv: [ax] }] }`,
      '"ps" is denied by rule "never"',
    ],
    [
      'tags and a selection that exclude each other',
      `  - { id: a, effect: allow, tags: { role: web }, select: "role=db", ${UPTIME} }`,
      'no node can be role=db and have these tags',
    ],
    [
      'patterns that exclude each other',
      `  - { id: a, effect: allow, tags: { role: ["api-*"] }, select: "role=db or role=web", ${UPTIME} }`,
      'no node can be',
    ],
    [
      'a selection that contradicts itself',
      `  - { id: a, effect: deny, select: "role=db and not role=db,web", programs: [id] }`,
      'no node can be',
    ],
    [
      'approvals that only the one who asks could give',
      `  - { id: a, effect: allow, operators: [bob], approvals: { need: 1, from: [bob] }, ${UPTIME} }
  - { id: b, effect: allow, commands: [{ program: id, argv: [] }] }`,
      'nobody who may ask',
    ],
  ])('%s', (_, rules, message) => {
    expect(codes(rules).join('\n')).toContain(message);
  });

  test.each([
    [
      'what the earlier one allows to others',
      `  - { id: a, effect: allow, operators: [bob], ${UPTIME} }
  - { id: b, effect: allow, ${UPTIME} }`,
    ],
    [
      'what the earlier one allows elsewhere',
      `  - { id: a, effect: allow, tags: { role: web }, ${UPTIME} }
  - { id: b, effect: allow, tags: { role: [web, db] }, ${UPTIME} }`,
    ],
    [
      'what the earlier one allows with approvals',
      `  - { id: a, effect: allow, approvals: { need: 1, from: [bob, alice] }, ${UPTIME} }
  - { id: b, effect: allow, ${UPTIME} }`,
    ],
    [
      'one argument more',
      `  - { id: a, effect: allow, commands: [{ program: df, flags: ["-h"] }] }
  - { id: b, effect: allow, commands: [{ program: df, flags: ["-h"], positionals: { max: 1, match: [/srv] } }] }`,
    ],
    [
      'a path that is checked where it leads',
      `  - { id: a, effect: allow, commands: [{ program: ls, argv: ["path:/srv/**"] }] }
  - { id: b, effect: allow, commands: [{ program: ls, argv: [/srv/x] }] }`,
    ],
    [
      'a deny rule for other nodes',
      `  - { id: never, effect: deny, tags: { role: db }, programs: [uptime] }
  - { id: a, effect: allow, ${UPTIME} }`,
    ],
    [
      'tags that a selection narrows',
      `  - { id: a, effect: allow, tags: { role: [web, db] }, select: "not role=db and dc=tyo*", ${UPTIME} }`,
    ],
    ['a selection by name', `  - { id: a, effect: allow, select: "node=web1 and not node=web2", ${UPTIME} }`],
  ])('not %s', (_, rules) => {
    expect(codes(rules)).toEqual([]);
  });
});

describe('people', () => {
  const text = (alice: string) => `version: 1
environment: test
operators:
  alice: { key: "${ALICE}", ${alice} }
  bob: { key: "${BOB}" }
rules:
  - { id: a, effect: allow, operators: ["group:sre", bob], ${UPTIME} }`;
  const found = (alice: string, day: string): string[] =>
    lintPolicy(compilePolicy(text(alice), 'x'), Date.parse(day))
      .filter(({ path }) => path[0] === 'operators')
      .map(({ level, message, path }) => `${level} ${path.join('.')}: ${message}`);

  test('a key that has expired, and one that will within thirty days', () => {
    const alice = 'groups: [sre], notAfter: 2030-12-31';
    expect(found(alice, '2030-11-30T00:00:00Z')).toEqual([]);
    expect(found(alice, '2030-12-11T12:00:00Z')).toEqual([
      'warn operators.alice.notAfter: the key expires in 20 days',
    ]);
    expect(found(alice, '2030-12-31T12:00:00Z')).toEqual([
      'warn operators.alice.notAfter: the key expires today',
    ]);
    expect(found(alice, '2031-01-01T00:00:00Z')).toEqual([
      'warn operators.alice.notAfter: the key has expired',
    ]);
  });

  test('so for places in groups', () => {
    const alice = 'groups: [{ name: sre, notAfter: 2030-12-31 }]';
    expect(found(alice, '2031-02-01T00:00:00Z')).toEqual([
      'warn operators.alice.groups.0: the place in "sre" has expired',
    ]);
  });

  test('who is named by no rule although all name somebody', () => {
    expect(found('groups: [sre]', '2030-01-01T00:00:00Z')).toEqual([]);
    expect(codes(`  - { id: a, effect: allow, operators: [bob], ${UPTIME} }`)).toEqual([
      'warn unused-operator: no rule names this operator, so every command of theirs is refused',
    ]);
    expect(codes(`  - { id: a, effect: allow, ${UPTIME} }`)).toEqual([]);
    const approver = `  - { id: a, effect: allow, operators: [bob], approvals: { need: 1, from: [alice] }, ${UPTIME} }`;
    expect(codes(approver)).toEqual([]);
  });
});

test('rules without an example are named, those with one are not', () => {
  const rules = `  - { id: a, effect: allow, ${UPTIME} }
  - { id: b, effect: allow, commands: [{ program: id, argv: [] }] }`;
  const named = (more: string) =>
    lint(rules, more).flatMap(({ code, path }) => (code === 'no-example' ? [path[1]] : []));
  expect(named('')).toEqual([0, 1]);
  expect(named('examples: { allow: [{ as: alice, cmd: uptime }], deny: [{ as: eve, cmd: id }] }')).toEqual([
    1,
  ]);
});

test('what is only to be known', () => {
  const info = (found: ReturnType<typeof lint>) =>
    found.filter(({ level }) => level === 'info').map(({ code }) => code);
  expect(info(lint(`  - { id: a, effect: allow, ${UPTIME} }`))).toEqual(['no-seat-belt']);
  expect(info(lintCommand('{ program: own-tool, argv: [] }'))).toEqual(['unknown-program']);
  expect(info(lintCommand('{ program: uptime, argv: [] }', '    dangerous: not at all\n'))).toEqual([
    'idle-sentence',
  ]);
  const production = policyText(`  - { id: never, effect: deny, programs: [sh] }
  - { id: a, effect: allow, commands: [{ program: id, path: /usr/bin/id, argv: [] }, { program: ps, argv: [ax] }] }`);
  const file = compilePolicy(production.replace('environment: test', 'environment: production'), 'x');
  expect(info(lintPolicy(file, QUIET_DAY))).toEqual(['no-path']);
});

test('findings stand in the order of the file', () => {
  const found =
    lint(`  - { id: a, effect: allow, user: root, commands: [{ program: sh, argv: [] }, { program: tee, argv: [] }] }
  - { id: b, effect: allow, env: { PAGER: x }, commands: [{ program: vim, argv: [] }] }`);
  const dangers = found.filter(({ level }) => level === 'danger').map(({ path }) => path.slice(1).join('.'));
  expect(dangers).toEqual([
    '0.user',
    '0.commands.0.program',
    '0.commands.1.program',
    '1.env.PAGER',
    '1.commands.0.program',
  ]);
});
