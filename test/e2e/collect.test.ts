import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { connectAgent, openAnswer } from '../../src/asker/connect.ts';
import { boxKeyPair } from '../../src/identity/box.ts';
import { signCommand } from '../../src/identity/envelope.ts';
import { AskerChannel, type AskerEvent } from '../../src/identity/sealed.ts';
import { keyId } from '../../src/identity/ssh-key.ts';
import type { RunRecord } from '../../src/rpc/replies.ts';
import { TestCluster } from '../support/cluster.ts';
import { keyIn } from '../support/key-file.ts';
import { eventually, freePort } from '../support/processes.ts';

const RULES = `
  - { id: echo, effect: allow, operators: [alice], commands: [{ program: echo, positionals: { max: 2, match: ["any:100"] } }] }
`;

describe('a node that cannot dial its asker', () => {
  const cluster = new TestCluster();

  beforeAll(async () => {
    await cluster.operator();
    const policy = cluster.addPolicy('policy', RULES);
    const first = await cluster.start({ name: 'asker', policy });
    await cluster.start({ name: 'web1', policy, join: first.gossip });
    await cluster.complete(2);
  });

  afterAll(() => cluster.stop());

  test('keeps its answer until the asker comes for it', async () => {
    const address = { path: cluster.agents[0]!.control };
    const key = keyIn(join(cluster.dir, 'config', 'fanout', 'operator.key'));
    const reply = boxKeyPair(new Uint8Array(randomBytes(32)));
    const id = new Uint8Array(randomBytes(16));
    const client = await connectAgent(address);
    const info = await client.info();
    const envelope = signCommand(
      {
        version: 3,
        cluster: info.cluster,
        environment: info.environment,
        keyId: keyId(key.publicKey),
        issuedAt: Math.floor(Date.now() / 1000),
        ttlSeconds: 60,
        id,
        selector: 'node=web1',
        argv: ['echo', 'collected'],
        replyKey: reply.publicKey,
        replyHost: info.addr,
        // Nobody listens there: what a firewall in front of the asker looks like to the node.
        replyPort: await freePort(),
        timeoutMs: 10_000,
        explainOnly: false,
        explainAs: new Uint8Array(0),
      },
      key.sign,
    );
    const records: RunRecord[] = [];
    await client.run({ run: id, envelope, targets: ['web1'], timeoutMs: 10_000 }, (record) =>
      records.push(record),
    );
    const answer = await eventually('the answer to be collected', () =>
      records.find(({ kind }) => kind === 'answer'),
    );
    expect(answer).toMatchObject({ kind: 'answer', from: 'web1' });
    const { connection, rest } = await openAnswer(address, (answer as { stream: number }).stream);
    const channel = new AskerChannel({ requestId: id, replySecret: reply.secret });
    const events: AskerEvent[] = [];
    const take = (chunk: Uint8Array): void => {
      for (const event of channel.receive(chunk)) {
        events.push(event.kind === 'stdout' ? { ...event, data: event.data.slice() } : event);
        if (event.kind === 'accepted') connection.write(channel.seal({ kind: 'go' }));
      }
    };
    take(rest);
    connection.onData(take);
    await eventually('the end', () => channel.isComplete);
    expect(events.map(({ kind }) => kind)).toEqual(['hello', 'accepted', 'stdout', 'end']);
    const output = events.find((event) => event.kind === 'stdout');
    expect(Buffer.from((output as { data: Uint8Array }).data).toString()).toBe('collected\n');
    client.close();
  });
});
