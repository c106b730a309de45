import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { TestCluster } from '../support/cluster.ts';

describe('a command that takes two', () => {
  let cluster: TestCluster;
  let bobKey: string;

  beforeAll(async () => {
    cluster = new TestCluster();
    await cluster.operator();
    bobKey = join(cluster.dir, 'bob.key');
    const bob = await cluster.fanout(['operator', 'keygen', '--name', 'bob', '-o', bobKey]);
    const policy = join(cluster.dir, 'two.yaml');
    writeFileSync(
      policy,
      `version: 1
environment: test
operators:
  alice: { key: "${cluster.publicLine}", groups: [sre] }
  bob: { key: "${bob.stdout.trim()}", groups: [approver] }
defaults: { sandbox: [standard, none], dangerous: tests }
rules:
  - id: two
    effect: allow
    operators: [alice]
    approvals: { need: 1, from: ["group:approver"] }
    commands: [{ program: printf, argv: ["*"] }]
`,
    );
    const first = await cluster.start({ name: 'web1', tags: { role: 'web' }, policy });
    await cluster.start({ name: 'web2', tags: { role: 'web' }, policy, join: first.gossip });
    await cluster.complete(2);
  });

  afterAll(() => cluster.stop());

  const file = (name: string): string => join(cluster.dir, name);
  const requestTo = (name: string, ...more: string[]) =>
    cluster.fanout(['request', 'printf hello', '--tag', 'role=web', '-o', file(name), ...more]);

  test('is asked for, approved by another and run, once', async () => {
    const alone = await cluster.fanout(['printf hello', '--tag', 'role=web']);
    expect(alone).toMatchObject({ code: 5, stdout: '' });
    expect(alone.stderr).toContain('fanout request');

    const asked = await requestTo('a.req');
    expect(asked).toMatchObject({ code: 0, stdout: '' });
    expect(asked.stderr).toContain('rule "two"');
    expect(await cluster.fanout(['submit', file('a.req')])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('nobody has approved it yet'),
    });

    const approved = await cluster.fanout([
      'approve',
      file('a.req'),
      '-i',
      bobKey,
      '--yes',
      '-o',
      file('a.ok'),
    ]);
    expect(approved.code).toBe(0);
    expect(approved.stderr).toMatch(/command +printf\n +hello\n/);
    expect(approved.stderr).toContain('2 of 2 would run it');
    expect(approved.stderr).toContain('(alice)');

    const ran = await cluster.fanout(['submit', file('a.ok')]);
    expect(ran.code).toBe(0);
    expect(ran.stdout).toContain('web1: hello');
    expect(ran.stdout).toContain('web2: hello');
    expect(await cluster.fanout(['submit', file('a.ok')])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('has been run'),
    });
  });

  test('through a chat, by standard input, with quoting around it', async () => {
    const asked = await cluster.fanout(['request', 'printf chat', '--tag', 'role=web']);
    const quoted = `bob, please:\n${asked.stdout.replace(/^/gm, '> ')}\nthanks`;
    const approved = await cluster.fanout(['approve', '--yes', '-i', bobKey], { input: quoted });
    expect(approved.code).toBe(0);
    const ran = await cluster.fanout(['submit', '--format', 'json'], { input: approved.stdout });
    expect(ran.code).toBe(0);
    expect(ran.stdout).toContain('chat');
  });

  test('holds no secret: who reads the request can neither run it nor open the answers', async () => {
    const asked = await cluster.fanout(['request', 'printf x', '--tag', 'role=web']);
    const kept = readdirSync(join(cluster.dir, 'state', 'fanout', 'requests'));
    const secrets = kept.map((name) =>
      readFileSync(join(cluster.dir, 'state', 'fanout', 'requests', name), 'utf8'),
    );
    const bytes = Buffer.from(asked.stdout.replace(/-----.*|Key: .*|\s/g, ''), 'base64').toString('hex');
    expect(secrets.length).toBeGreaterThan(0);
    for (const text of secrets) {
      const { replySecret } = JSON.parse(text) as { replySecret: string };
      expect(bytes).not.toContain(replySecret);
      expect(replySecret).toMatch(/^[0-9a-f]{64}$/);
    }
  });

  test.each([
    ['nothing', '', 'there is no request in it'],
    ['a cut one', '-----BEGIN FANOUT REQUEST-----\nAAAA', 'the request has no end'],
    ['two at once', '-----BEGIN FANOUT REQUEST-----\n-----BEGIN FANOUT REQUEST-----\n', 'several requests'],
    ['no base64', '-----BEGIN FANOUT REQUEST-----\n{}\n-----END FANOUT REQUEST-----', 'damaged'],
    ['no envelope', '-----BEGIN FANOUT REQUEST-----\nAAAA\n-----END FANOUT REQUEST-----', 'damaged'],
  ])('%s instead of a request is told apart', async (_, input, problem) => {
    const result = await cluster.fanout(['approve', '--yes', '-i', bobKey], { input });
    expect(result.code).toBe(2);
    expect(result.stderr).toContain(problem);
  });

  test('nobody approves their own, and what was changed on the way is refused', async () => {
    await requestTo('own.req');
    const own = await cluster.fanout(['approve', file('own.req'), '--yes']);
    expect(own).toMatchObject({ code: 2, stderr: expect.stringContaining('your own request') });
    const text = readFileSync(file('own.req'), 'utf8');
    const at = text.indexOf('\n\n') + 60;
    const changed = text.slice(0, at) + (text[at] === 'A' ? 'B' : 'A') + text.slice(at + 1);
    const result = await cluster.fanout(['approve', '--yes', '-i', bobKey], { input: changed });
    expect(result).toMatchObject({ code: 2, stderr: expect.stringContaining('damaged') });
  });

  test('without a terminal and without --yes nothing is signed', async () => {
    await requestTo('quiet.req');
    const result = await cluster.fanout(['approve', file('quiet.req'), '-i', bobKey]);
    expect(result).toMatchObject({ code: 2, stdout: '' });
    expect(result.stderr).toContain('nobody can be asked here');
  });
});
