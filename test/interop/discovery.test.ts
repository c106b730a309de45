import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Link } from '../support/netns.ts';
import {
  eventually,
  FANOUT,
  removeFolder,
  runProgram,
  stopProcess,
  temporaryFolder,
} from '../support/processes.ts';
import { HAS_SERF } from '../support/real-serf.ts';

const probe = Link.make('probe');
probe?.remove();

interface Process {
  readonly child: ChildProcess;
  readonly log: () => string;
}

describe.skipIf(probe === undefined)('discovery by multicast DNS, on a link of its own', () => {
  const dir = temporaryFolder();
  let link: Link;
  const running: Process[] = [];
  let count = 0;

  beforeEach(() => {
    const made = Link.make(`d${++count}`);
    if (made === undefined) throw new Error('network namespaces are gone');
    link = made;
  });
  afterEach(async () => {
    await Promise.all(running.splice(0).map(({ child }) => stopProcess(child)));
    link.remove();
  });
  afterAll(() => removeFolder(dir));

  function start(where: 0 | 1, file: string, args: readonly string[]): Process {
    const child = spawn(...link.inside(where, file, args), { stdio: ['ignore', 'pipe', 'pipe'] });
    let log = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on('data', (chunk) => {
        log += String(chunk);
      });
    }
    const started = { child, log: () => log };
    running.push(started);
    return started;
  }

  const control = (name: string): string => join(dir, `${name}${count}.sock`);

  async function ours(where: 0 | 1, name: string, ...args: string[]): Promise<Process> {
    const places = ['--rpc-addr', control(name), '--data-dir', join(dir, `${name}${count}`)];
    const all = [
      FANOUT,
      'agent',
      '--node',
      name,
      '--discover',
      'demo',
      ...places,
      '--log-level=debug',
      ...args,
    ];
    const agent = start(where, process.execPath, all);
    await eventually(`${name} to announce itself`, () => {
      if (agent.child.exitCode !== null) throw new Error(`${name} stopped:\n${agent.log()}`);
      return agent.log().includes('announcing');
    });
    return agent;
  }

  async function real(where: 0 | 1, name: string, ...args: string[]): Promise<Process> {
    const bind = `10.99.0.${where + 1}:7946`;
    const agent = start(where, 'serf', ['agent', '-node', name, '-bind', bind, '-discover', 'demo', ...args]);
    await eventually(`${name} to run`, () => agent.log().includes('Log data will now stream'));
    return agent;
  }

  async function members(name: string): Promise<string[]> {
    const { stdout } = await runProgram(process.execPath, [
      FANOUT,
      'members',
      '-rpc-addr',
      control(name),
      '-format=json',
    ]);
    const { members: all } = JSON.parse(stdout || '{"members":[]}') as { members: { name: string }[] };
    return all.map((member) => member.name).sort();
  }

  const sees = (name: string, ...expected: string[]): Promise<true> =>
    eventually(`${name} to see ${expected.join(', ')}`, async () =>
      String(await members(name)) === String(expected) ? true : undefined,
    );

  test('two of ours find each other, and the one that is alone finds nobody', async () => {
    await ours(0, 'first', '--bind=10.99.0.1');
    expect(await members('first')).toEqual(['first']);
    const second = await ours(1, 'second', '--iface=eth0');
    await sees('second', 'first', 'second');
    await sees('first', 'first', 'second');
    expect(second.log()).toContain('found 10.99.0.1:7946');
  });

  test('over IPv6 alone, with an address of IPv6', async () => {
    const v6 = ['--mdns-iface=eth0', '--mdns-disable-ipv4'];
    await ours(0, 'first', '--bind=[fd99::1]:7946', ...v6);
    const second = await ours(1, 'second', '--bind=[fd99::2]:7946', ...v6);
    await sees('second', 'first', 'second');
    expect(second.log()).toContain('found [fd99::1]:7946');
  });

  test('another name is another cluster', async () => {
    await ours(0, 'first', '--bind=10.99.0.1');
    const other = await ours(1, 'other', '--bind=10.99.0.2', '--discover=demo2');
    await ours(1, 'third', '--bind=10.99.0.2:7947');
    // Who came last has found the first one, so the question of the one before was answered too, if by anybody.
    await sees('third', 'first', 'third');
    expect(other.log()).not.toContain('found');
    expect(await members('other')).toEqual(['other']);
  });

  test.skipIf(!HAS_SERF)('a real Serf agent is found', async () => {
    await real(0, 'serf1');
    await ours(1, 'ours1', '--bind=10.99.0.2');
    await sees('ours1', 'ours1', 'serf1');
  });

  test.skipIf(!HAS_SERF)('a real Serf agent finds ours', async () => {
    await ours(0, 'web1.example', '--bind=10.99.0.1');
    const serf = await real(1, 'serf1');
    await eventually('the real one to join ours', () => serf.log().includes('agent.mdns: Joined'));
    await sees('web1.example', 'serf1', 'web1.example');
  });

  test('of a name all addresses are tried, the dead ones too', async () => {
    link.hosts(1, [
      '127.0.0.1 localhost',
      '10.99.0.9 seeds.test',
      '10.99.0.1 seeds.test',
      '10.99.0.2 seeds.test',
    ]);
    await ours(0, 'first', '--bind=10.99.0.1:7950');
    const second = await ours(
      1,
      'second',
      '--bind=10.99.0.2:7951',
      '--discover=other',
      '--join=seeds.test:7950',
    );
    await sees('second', 'first', 'second');
    // Nobody has the first of them, and at the last nobody listens.
    for (const address of ['10.99.0.9:7950', '10.99.0.2:7950'])
      expect(second.log()).toContain(`join: ${address}`);
  });

  test('what a hostile neighbour sends is counted, and answers to no question are not followed', async () => {
    await ours(0, 'first', '--bind=10.99.0.1');
    const attack = `
      const socket = require('dgram').createSocket('udp4');
      const junk = [[], [1], Array(12).fill(255), [0,1,0,0,0,1,0,0,0,0,0,0,0xc0,12,0,12,0,1], Array(1400).fill(0xc0), Array(1400).fill(0)];
      const name = (text) => [...text.split('.').flatMap((l) => [l.length, ...Buffer.from(l)]), 0];
      const question = (id) => Buffer.from([0,id,0,0,0,1,0,0,0,0,0,0, ...name('_serf_demo._tcp.local'), 0,12,0,1]);
      let answers = 0;
      // What was sent comes in its order: an answer to the last question says that all before it has been read.
      let asking;
      socket.on('message', (bytes) => {
        answers++;
        if (bytes[1] !== 8) return;
        clearInterval(asking);
        socket.close(() => console.log(answers));
      });
      socket.bind(0, '10.99.0.2', () => {
        socket.setMulticastInterface('10.99.0.2');
        for (let round = 0; round < 50; round++) for (const bytes of junk) socket.send(Buffer.from(bytes), 5353, '224.0.0.251');
        const flood = (count) => { for (let i = 0; i < count; i++) socket.send(question(7), 5353, '224.0.0.251'); };
        flood(1000);
        // Of so many at once the kernel may keep few: a hundred it keeps.
        asking = setInterval(() => { socket.send(question(8), 5353, '224.0.0.251'); flood(100); }, 50);
      });`;
    const { stdout } = await runProgram(...link.inside(1, process.execPath, ['-e', attack]));
    const answers = Number(stdout);
    expect(answers).toBeGreaterThan(0);
    expect(answers).toBeLessThanOrEqual(60);
    expect(await members('first')).toEqual(['first']);
    const reasons = ['mdns-truncated', 'mdns-loop', 'mdns-count', 'mdns-flood'];
    await eventually(`counts of ${reasons.join(', ')}`, async () => {
      const info = await runProgram(process.execPath, [FANOUT, 'info', '--rpc-addr', control('first')]);
      return reasons.every((reason) => info.stdout.includes(reason));
    });
    await ours(1, 'second', '--bind=10.99.0.2');
    await sees('second', 'first', 'second');
  });

  test('who finds nobody asks again soon', async () => {
    const listener = `
      const socket = require('dgram').createSocket({ type: 'udp4', reuseAddr: true });
      socket.on('message', () => console.log('asked'));
      socket.bind(5353, '224.0.0.251', () => { socket.addMembership('224.0.0.251', '10.99.0.2'); console.log('ready'); });`;
    const neighbour = start(1, process.execPath, ['-e', listener]);
    await eventually('the listener', () => neighbour.log().includes('ready'));
    await ours(0, 'first', '--bind=10.99.0.1', '--mdns-disable-ipv6');
    await eventually('a second question', () => neighbour.log().split('asked').length > 2);
  });

  test('who promises hundreds of neighbours is believed sixty-four', async () => {
    const liar = `
      const dgram = require('dgram');
      const socket = dgram.createSocket({ type: 'udp4', reuseAddr: true });
      const name = (text) => [...text.split('.').flatMap((l) => [l.length, ...Buffer.from(l)]), 0];
      const service = name('_serf_demo._tcp.local');
      const record = (owner, type, data) => [...owner, 0, type, 0, 1, 0, 0, 0, 120, data.length >> 8, data.length & 255, ...data];
      socket.on('message', (bytes, from) => {
        for (let i = 0; i < 300; i++) {
          const instance = name('x' + i + '._serf_demo._tcp.local');
          const host = name('h' + i);
          socket.send(Buffer.from([bytes[0], bytes[1], 0x84, 0, 0, 0, 0, 4, 0, 0, 0, 0,
            ...record(service, 12, instance), ...record(instance, 33, [0, 10, 0, 1, 0x30, 0x39, ...host]),
            ...record(host, 1, [127, 0, i >> 8, 1 + (i & 127)]), ...record(instance, 16, [1, 65])]), from.port, from.address);
        }
      });
      socket.bind(5353, '224.0.0.251', () => { socket.addMembership('224.0.0.251', '10.99.0.2'); console.log('ready'); });`;
    const neighbour = start(1, process.execPath, ['-e', liar]);
    await eventually('the liar', () => neighbour.log().includes('ready'));
    const agent = await ours(0, 'first', '--bind=10.99.0.1');
    const found = await eventually('what was found', () => /discovery: found (.*)/.exec(agent.log())?.[1]);
    expect(found.split(', ').length).toBeLessThanOrEqual(64);
    const info = await runProgram(process.execPath, [FANOUT, 'info', '--rpc-addr', control('first')]);
    expect(info.stdout).toContain('mdns-too-many');
  });

  test('where there is no multicast, it says so and does not start', async () => {
    const args = [FANOUT, 'agent', '--node=x', '--bind=127.0.0.1:0', '--discover=demo', '--mdns-iface=wlan9'];
    const made = await runProgram(
      ...link.inside(0, process.execPath, [
        ...args,
        '--rpc-addr',
        control('x'),
        '--data-dir',
        join(dir, 'x'),
      ]),
    );
    expect(made.code).toBe(2);
    expect(made.stderr).toMatch(/multicast DNS cannot be used: interface "wlan9"[\s\S]*--mdns-iface/);
  });
});
