import { Command } from 'commander';
import { describe, expect, test } from 'vitest';
import { saidByFlags } from '../../src/cli/agent-flags.ts';
import { defineAgent } from '../../src/cli/define-agent.ts';
import { normaliseGoFlags } from '../../src/cli/go-flags.ts';
import { FanoutError } from '../../src/lib/errors.ts';

/** What `fanout agent` understands of a line, in the words of a configuration file. */
async function understood(line: string, env: NodeJS.ProcessEnv = {}): Promise<object> {
  const program = new Command('fanout').exitOverride().configureOutput({ writeErr: () => {} });
  defineAgent(program, async () => {});
  let options: Record<string, unknown> = {};
  const command = program.commands[0]!;
  command.exitOverride().configureOutput({ writeErr: () => {} });
  command.action((given: Record<string, unknown>) => {
    options = given;
  });
  await program.parseAsync(normaliseGoFlags(wordsOf(line)), { from: 'user' });
  const { configFile, configDir } = options;
  const files = configFile ?? configDir;
  const said = Object.entries(saidByFlags(options, env)).filter(([, value]) => value !== undefined);
  return { ...Object.fromEntries(said), ...(files === undefined ? {} : { files }) };
}

/** Words of a line, quotes grouped: what a shell, or an exec form, makes of it. The first is the program. */
function wordsOf(line: string): string[] {
  const words = line.match(/(?:"[^"]*"|'[^']*'|[^\s"'])+/g) ?? [];
  return words.slice(1).map((word) => word.replace(/"([^"]*)"|'([^']*)'/g, '$1$2'));
}

const KEY = 'cg8StVXbQJ0gPvMd9o7yrg==';

/** In the manner of the posts, images and units that are around. */
const LINES: readonly (readonly [string, object])[] = [
  ['fanout agent', {}],
  ['fanout agent -node=foo -bind=127.0.0.1:7946', { node_name: 'foo', bind: '127.0.0.1:7946' }],
  ['fanout agent -join=172.17.42.1', { start_join: ['172.17.42.1'] }],
  [
    'fanout agent -join=172.17.42.1 -event-handler=query:ssh=/bin/sh',
    { start_join: ['172.17.42.1'], event_handlers: ['query:ssh=/bin/sh'] },
  ],
  [
    'fanout agent -event-handler=query:ssh=/bin/sh -allow-shell-handler',
    { event_handlers: ['query:ssh=/bin/sh'], allow_shell_handler: true },
  ],
  [
    'fanout agent -node foo -tag role=web -tag dc=east -join db1 -join db2:7947',
    { node_name: 'foo', tags: { role: 'web', dc: 'east' }, start_join: ['db1', 'db2:7947'] },
  ],
  [
    'fanout agent -node=agent-one -bind=172.20.20.10 -rpc-addr=172.20.20.10:7373 -log-level=debug',
    { node_name: 'agent-one', bind: '172.20.20.10', rpc_addr: '172.20.20.10:7373', log_level: 'debug' },
  ],
  [`fanout agent -encrypt=${KEY}`, { encrypt_key: KEY }],
  [
    `fanout agent -encrypt ${KEY} -snapshot /data/serf.snap -rejoin`,
    { encrypt_key: KEY, snapshot_path: '/data/serf.snap', rejoin_after_leave: true },
  ],
  [
    `fanout agent -event-handler="member-join,member-leave=/usr/bin/handle.sh -v"`,
    { event_handlers: ['member-join,member-leave=/usr/bin/handle.sh -v'] },
  ],
  [
    'fanout agent -event-handler user:deploy=deploy.sh -event-handler handler.sh',
    { event_handlers: ['user:deploy=deploy.sh', 'handler.sh'] },
  ],
  [
    'fanout agent -event-handler "query:load=uptime | awk \'{print $3}\'"',
    { event_handlers: ["query:load=uptime | awk '{print $3}'"] },
  ],
  ['fanout agent --node=a --join=b --tag role=c', { node_name: 'a', start_join: ['b'], tags: { role: 'c' } }],
  ['fanout agent -tag=role=web', { tags: { role: 'web' } }],
  ['fanout agent -tag "motd=two words=and more"', { tags: { motd: 'two words=and more' } }],
  [
    'fanout agent -role=db -discover=cluster -iface=eth0',
    { role: 'db', discover: 'cluster', interface: 'eth0' },
  ],
  [
    'fanout agent -config-file=/etc/serf.json -config-dir /etc/serf.d',
    { files: ['/etc/serf.json', '/etc/serf.d'] },
  ],
  [
    'fanout agent -config-dir /etc/serf.d -config-file=/etc/serf.json',
    { files: ['/etc/serf.d', '/etc/serf.json'] },
  ],
  [
    'fanout agent -retry-join=serf1 -retry-join=serf2 -retry-interval=5s -retry-max=10',
    { retry_join: ['serf1', 'serf2'], retry_interval: 5000, retry_max_attempts: 10 },
  ],
  ['fanout agent -profile=wan -protocol=4 -replay', { profile: 'wan', protocol: 4, replay_on_join: true }],
  ['fanout agent -replay=true -rejoin=false', { replay_on_join: true }],
  ['fanout agent -keyring-file=/etc/serf/keyring', { keyring_file: '/etc/serf/keyring' }],
  [
    'fanout agent -tags-file=/var/lib/serf/tags -syslog',
    { tags_file: '/var/lib/serf/tags', enable_syslog: true },
  ],
  ['fanout agent -advertise=$ADVERTISE_IP:7946', { advertise: '$ADVERTISE_IP:7946' }],
  [
    'fanout agent -disable-compression -broadcast-timeout 10s',
    { enable_compression: false, broadcast_timeout: 10_000 },
  ],
  ['fanout agent -disable-compression=false', {}],
  [
    'fanout agent -mdns-iface=br0 -mdns-disable-ipv6 -discover x',
    { discover: 'x', mdns: { interface: 'br0', disable_ipv6: true } },
  ],
  ['fanout agent -bind=[::1]:7946 -log-level=ERR', { bind: '[::1]:7946', log_level: 'error' }],
  ['fanout agent -log-level trace -bind :7946', { log_level: 'debug', bind: ':7946' }],
  // A line of before, with what is new at its end.
  [
    'fanout agent --policy /etc/p.yaml -join=10.0.0.1 --data-dir /d -tag role=web --env production',
    {
      policy: '/etc/p.yaml',
      start_join: ['10.0.0.1'],
      data_dir: '/d',
      tags: { role: 'web' },
      environment: 'production',
    },
  ],
  // The value of a flag may look like one.
  ['fanout agent -node -foo', { node_name: '-foo' }],
  ['fanout agent -event-handler --weird=x', { event_handlers: ['--weird=x'] }],
];

describe("Serf's command lines", () => {
  test.each(LINES)('%s', async (line, expected) => {
    const got = await understood(line);
    expect(got).toEqual(expected);
  });

  test.each([
    ['fanout agent -jion=x', /--jion.*\n.*--join/s],
    ['fanout agent -even-handler x', /--even-handler/],
    ['fanout agent -retry-max=many', /--retry-max: must be a whole number/],
    ['fanout agent -retry-interval=5', /--retry-interval: must be a duration/],
    ['fanout agent -tag role', /--tag role: not of the form/],
    ['fanout agent -protocol=2', /--protocol: must be/],
    ['fanout agent -profile=moon', /--profile: must be lan, wan or local/],
    ['fanout agent -rejoin=maybe', /rejoin/],
    ['fanout agent -node', /--node/],
  ])('%s is refused by name', async (line, message) => {
    await expect(understood(line)).rejects.toThrow(message);
  });

  test('a NUL, or a text without end, in a flag is refused as in a file', async () => {
    for (const value of ['a\0b', 'x'.repeat(5000)]) {
      expect(() => saidByFlags({ node: value }, {})).toThrow(FanoutError);
    }
    const many = Array.from({ length: 300 }, (_, i) => `h${i}`);
    expect(() => saidByFlags({ join: many }, {})).toThrow(/--join: has more than 256/);
  });

  test('FANOUT_JOIN adds to --join, and says nothing when it is empty', async () => {
    expect(await understood('fanout agent', { FANOUT_JOIN: 'a, b:1 ,,' })).toEqual({
      start_join: ['a', 'b:1'],
    });
    expect(await understood('fanout agent -join z', { FANOUT_JOIN: 'a' })).toEqual({
      start_join: ['z', 'a'],
    });
    expect(await understood('fanout agent', { FANOUT_JOIN: ' , ' })).toEqual({});
  });
});

describe('the other commands', () => {
  test.each([
    [
      'members -status=alive -format json -detailed',
      'members --status-expression=alive --format=json --detailed',
    ],
    [
      'members -name web.* -role=db -tag dc=(oslo|tokyo)',
      'members --name-expression=web.* --role-expression=db --tag-expression=dc=(oslo|tokyo)',
    ],
    [
      'members --status alive --tag role=web* --node web1',
      'members --status alive --tag role=web* --node web1',
    ],
    ['members -w web1 -s role=web -x db1 -a', 'members -w web1 -s role=web -x db1 -a'],
    ['members -s status -format=json', 'members -s status --format=json'],
    [
      'query -node=a -node b -tag role=web -timeout=5s -no-ack load',
      'query --node=a --node=b --tag=role=web --timeout=5s --no-ack load',
    ],
    ['query -format json load -timeout', 'query --format=json load -timeout'],
    ['event -coalesce=false deploy 1.2', 'event --no-coalesce deploy 1.2'],
    ['event -coalesce deploy -x', 'event --coalesce deploy -x'],
    ['event --coalesce=true deploy', 'event --coalesce deploy'],
    [
      'event -rpc-addr=127.0.0.1:7373 deploy -coalesce=false',
      'event --rpc-addr=127.0.0.1:7373 deploy -coalesce=false',
    ],
    ['join -replay 10.0.0.1 10.0.0.2', 'join --replay 10.0.0.1 10.0.0.2'],
    ['force-leave -prune web1', 'force-leave --prune web1'],
    ['tags -set role=web -delete dc', 'tags --set=role=web --delete=dc'],
    ['keys -list', 'keys --list'],
    ['monitor -log-level=debug', 'monitor --log-level=debug'],
    ['info -format=json -rpc-addr /run/x.sock', 'info --format=json --rpc-addr=/run/x.sock'],
    ['reachability -verbose', 'reachability --verbose'],
    ['agent -help', 'agent --help'],
    ['agent -h', 'agent --help'],
    // Serf has none of these: their short flags are their own.
    ['-tag role=web uptime', '-tag role=web uptime'],
    ['-t 5s -n uptime', '-t 5s -n uptime'],
    ['plan -tag x', 'plan -tag x'],
    ['policy explain -as x', 'policy explain -as x'],
    ['__proto__ -tag x', '__proto__ -tag x'],
    ['members', 'members'],
    ['', ''],
  ])('%s', (before, after) => {
    expect(normaliseGoFlags(before.split(' ')).join(' ')).toBe(after);
  });
});
