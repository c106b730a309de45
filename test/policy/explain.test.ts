import { expect, test } from 'vitest';
import { explain, explainText } from '../../src/policy/explain.ts';
import { policyOf, request } from './fixtures.ts';

const policy = policyOf(`  - { id: never, effect: deny, why: no shells, programs: [sh] }
  - { id: far, effect: allow, commands: [{ program: id }] }
  - { id: near, effect: allow, commands: [{ program: ps, argv: [ax, "-o", pid] }] }
  - { id: nearer, effect: allow, tags: { role: db }, commands: [{ program: ps, argv: [[ax, aux]] }] }
  - id: reader
    effect: allow
    sandbox: [strict, none]
    commands: [{ program: cat, path: /usr/bin/cat, positionals: { match: ["path:/srv/**"] } }]`);

test('near misses come first, each with the first reason why it does not match', () => {
  const { decision, rules } = explain(policy, request(['ps', 'ax']));
  expect(decision).toMatchObject({ effect: 'deny', code: 'no-rule' });
  expect(rules).toEqual([
    {
      id: 'nearer',
      effect: 'allow',
      matches: false,
      reason: 'the command matches, but the tag role has to be db, and this node has "web"',
    },
    { id: 'near', effect: 'allow', matches: false, reason: 'argument 2 is missing, expected -o' },
    { id: 'never', effect: 'deny', matches: false, reason: 'neither the program nor an argument is denied' },
    { id: 'far', effect: 'allow', matches: false, reason: 'the program is not id' },
    { id: 'reader', effect: 'allow', matches: false, reason: 'the program is not cat' },
  ]);
});

test('a command that is allowed shows rule, file, sandbox, limits, and the real paths that are still to be checked', () => {
  expect(explainText(explain(policy, request(['cat', '/srv/a b'])))).toBe(`ALLOWED by rule "reader"

program    cat
argument 1 "/srv/a b"
operator   alice (sre)
node tags  role=web
policy     test.yaml (test, ${policy.hash.slice(0, 12)})
file       /usr/bin/cat
sandbox    strict, else none; network none; user chosen by the node
limits     30s, 1.0 MiB of output, 4 at once
real path  of "/srv/a b" must match path:/srv/** too

rules, nearest first:
  allow  reader  matches
  deny   never   neither the program nor an argument is denied
  allow  far     the program is not id
  allow  near    the program is not ps
  allow  nearer  the program is not ps`);
});

test('a denial gives the sentence of its author', () => {
  const text = explainText(explain(policy, request(['sh'])));
  expect(text.split('\n')[0]).toBe('DENIED: rule "never" denies it (no shells)');
  expect(text).toContain('deny   never   matches');
});

test('no rule is asked about a request that none could allow', () => {
  for (const bad of [request(['ps', 'a\nb']), request(['ps'], { operator: 'eve' })]) {
    const explanation = explain(policy, bad);
    expect(explanation.rules).toEqual([]);
    expect(explainText(explanation)).not.toContain('nearest first');
  }
});

test('nothing in a request can steer the terminal of whoever reads the explanation', () => {
  const tags = new Map([['role', '\u001b[2J']]);
  const text = explainText(
    explain(policy, request(['ps', '\u001b[2J\u202e'], { operator: '\u001b[1m', tags })),
  );
  expect(text).toMatch(/^[\P{C}\n]*$/u);
  expect(explainText(explain(policy, request(['ps', 'ax'], { tags })))).toContain('role=<U+001B>[2J');
});

test('an explanation is plain data', () => {
  const copy = JSON.parse(JSON.stringify(explain(policy, request(['ps', 'ax']))));
  expect(copy).toMatchObject({
    operator: { name: 'alice', groups: ['sre'] },
    tags: { role: 'web' },
    argv: ['ps', 'ax'],
    decision: { effect: 'deny' },
  });
});

test('approvals, surroundings and the sentence about a danger are shown', () => {
  const policy = policyOf(`  - id: restart
    effect: allow
    operators: ["group:sre"]
    approvals: { need: 1, from: [bob] }
    user: svc
    groups: [journal]
    cwd: /srv/app
    env: { APP_ENV: test }
    sandbox: { profile: strict, network: host, read: [/srv/a], write: [/srv/tmp], sockets: [/run/dbus/system_bus_socket] }
    limits: { cpu: 5s, memory: 64MiB, tasks: 16, rate: 2/min }
    dangerous: "D-Bus, with one polkit rule"
    commands: [{ program: systemctl, argv: [restart, app.service] }]`);
  const argv = ['systemctl', 'restart', 'app.service'];
  const without = explainText(explain(policy, request(argv)));
  expect(without).toContain('DENIED: rule "restart" allows it only with approvals: fanout request');
  expect(without).toContain('the command matches, but it needs 1 approval by bob and has none');
  const text = explainText(explain(policy, request(argv, { approvers: ['bob'] })));
  for (const line of [
    'ALLOWED by rule "restart"',
    'sandbox    strict; network host; read /srv/a; write /srv/tmp; sockets /run/dbus/system_bus_socket; user svc + journal',
    'limits     30s, 1.0 MiB of output, 5.0s of processor, 64 MiB of memory, 16 tasks, 4 at once, 2 starts in 1m00s',
    'folder     /srv/app',
    'variables  APP_ENV=test',
    'approved   by bob',
    'dangerous  D-Bus, with one polkit rule',
  ]) {
    expect(text.split('\n')).toContain(line);
  }
});
