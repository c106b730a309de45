import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as v from 'valibot';
import { afterAll, describe, expect, test } from 'vitest';
import { readConfigPath } from '../../../src/agent/settings/config-file.ts';
import { loadSettings } from '../../../src/agent/settings/load.ts';
import { settingsSchema } from '../../../src/agent/settings/schema.ts';
import { settingRows } from '../../../src/agent/settings/table.ts';
import { FanoutError } from '../../../src/lib/errors.ts';
import { removeFolder, runProgram, temporaryFolder } from '../../support/processes.ts';

const dir = temporaryFolder();
let count = 0;

afterAll(() => removeFolder(dir));

function file(text: string | Uint8Array, name = `${++count}.yaml`, mode = 0o600): string {
  const path = join(dir, name);
  writeFileSync(path, text);
  chmodSync(path, mode);
  return path;
}

function said(text: string, name?: string): unknown {
  return loadSettings([file(text, name)], {}).said;
}

function errorOf(path: string): FanoutError {
  try {
    readConfigPath(path);
  } catch (error) {
    if (error instanceof FanoutError) return error;
    throw error;
  }
  throw new Error('the configuration was accepted');
}

/** As the documentation of Serf has it, with every key that its agent knows. */
const SERF_JSON = `{
\t"node_name": "web1",
\t"role": "",
\t"disable_coordinates": false,
\t"tags": { "role": "load-balancer", "datacenter": "east" },
\t"tags_file": "",
\t"bind": "10.0.0.5",
\t"interface": "eth0",
\t"advertise": "10.0.0.6:7947",
\t"encrypt_key": "ptTXE0zOUTBCKvT7bAyk3kHVzw7XFRC3oSL/nY1uLm0=",
\t"keyring_file": "",
\t"log_level": "DEBUG",
\t"rpc_addr": "127.0.0.1:7373",
\t"rpc_auth": "secret",
\t"protocol": 4,
\t"replay_on_join": true,
\t"query_response_size_limit": 1024,
\t"query_size_limit": 1024,
\t"user_event_size_limit": 512,
\t"event_handlers": ["handle.sh", "user:deploy=deploy.sh"],
\t"start_join": ["10.0.0.1"],
\t"retry_join": ["10.0.0.2:7946", "db/10.0.0.3"],
\t"retry_interval": "1m30s",
\t"retry_max_attempts": 3,
\t"profile": "WAN",
\t"snapshot_path": "/var/lib/serf/snapshot",
\t"leave_on_terminate": true,
\t"skip_leave_on_interrupt": true,
\t"discover": "mycluster",
\t"mdns": { "interface": "eth1", "disable_ipv6": true },
\t"reconnect_interval": "15s",
\t"reconnect_timeout": "12h",
\t"tombstone_timeout": "36h",
\t"disable_name_resolution": true,
\t"enable_syslog": true,
\t"syslog_facility": "LOCAL4",
\t"rejoin_after_leave": true,
\t"enable_compression": false,
\t"statsite_addr": "127.0.0.1:8125",
\t"statsd_addr": "127.0.0.1:8126",
\t"broadcast_timeout": "10s",
\t"validate_node_names": true
}`;

describe('a file of Serf', () => {
  test('is understood with every key that Serf has', () => {
    const known = settingRows().filter(({ isSerf }) => isSerf === true);
    for (const { key } of known) expect(SERF_JSON).toContain(`"${key.split('.')[0]}"`);
    expect(said(SERF_JSON, 'serf.json')).toMatchObject({
      node_name: 'web1',
      tags: { role: 'load-balancer', datacenter: 'east' },
      log_level: 'debug',
      protocol: 4,
      profile: 'wan',
      retry_interval: 90_000,
      retry_join: ['10.0.0.2:7946', 'db/10.0.0.3'],
      mdns: { interface: 'eth1', disable_ipv6: true },
      tombstone_timeout: 36 * 3_600_000,
      syslog_facility: 'local4',
      enable_compression: false,
      event_handlers: ['handle.sh', 'user:deploy=deploy.sh'],
    });
  });

  test('may say nothing with an empty text, and write its keys in any case', () => {
    const both = said('{ "Node_Name": "a", "BIND": "10.0.0.1", "advertise": "" }', 'case.json');
    expect(both).toMatchObject({ node_name: 'a', bind: '10.0.0.1' });
    expect(both).not.toHaveProperty('advertise');
  });

  test('with figures for statsd: they are not sent, and it says so', () => {
    const { warnings } = loadSettings([file('statsd_addr: "127.0.0.1:8125"')], {});
    expect(warnings).toEqual([expect.stringMatching(/statsd_addr is not supported.*fanout info/)]);
  });

  test('all its settings, and no others, are in the schema', () => {
    const keys = new Set(settingRows().map(({ key }) => key.split('.')[0]));
    for (const key of keys) expect(errorlessKey(key ?? ''), key).toBe(true);
  });
});

/** Whether the schema knows a key: the complaint, if any, is about the value then. */
function errorlessKey(key: string): boolean {
  const { issues = [] } = v.safeParse(settingsSchema, { [key]: Symbol('none') });
  return !issues.some(({ message }) => message.startsWith('unknown key'));
}

describe('several sources', () => {
  test('lists are one after the other, tags merge by name, of the rest the last one counts, flags above all', () => {
    const first = file(
      'node_name: a\nleave_on_terminate: true\ntags: { role: web, dc: oslo }\nstart_join: [one]\nmdns: { interface: eth0 }',
    );
    const second = file(
      'node_name: b\nleave_on_terminate: false\ntags: { dc: tokyo }\nstart_join: [two]\nmdns: { disable_ipv6: true }',
    );
    const flags = { node_name: 'c', tags: { rack: '1' }, start_join: ['three'] };
    expect(loadSettings([first, second], flags).said).toMatchObject({
      node_name: 'c',
      leave_on_terminate: false,
      tags: { role: 'web', dc: 'tokyo', rack: '1' },
      start_join: ['one', 'two', 'three'],
      mdns: { interface: 'eth0', disable_ipv6: true },
    });
    expect(loadSettings([second, first], {}).said).toMatchObject({
      node_name: 'a',
      start_join: ['two', 'one'],
    });
  });

  test('an empty text, or a key that is not there, takes nothing away', () => {
    const first = file('node_name: a\nencrypt_file: /k\nlog_level: warn');
    expect(loadSettings([first, file('node_name: ""\nlog_level: ""')], {}).said).toMatchObject({
      node_name: 'a',
      encrypt_file: '/k',
      log_level: 'warn',
    });
  });

  test('a folder gives its JSON and YAML files by name, and nothing deeper', () => {
    const folder = join(dir, 'conf.d');
    mkdirSync(join(folder, '50-deeper.json'), { recursive: true });
    file('role: deeper', 'conf.d/50-deeper.json/x.json');
    file('node_name: ten', 'conf.d/10-a.yaml');
    file('{"node_name": "nine", "bind": "10.0.0.9"}', 'conf.d/09-z.json');
    file('node_name: ninety', 'conf.d/90.yml');
    file('this is: [no', 'conf.d/95.yaml.bak');
    const { said: all, files } = loadSettings([folder], {});
    expect(all).toMatchObject({ node_name: 'ninety', bind: '10.0.0.9' });
    expect(files.map((path) => path.slice(folder.length + 1))).toEqual(['09-z.json', '10-a.yaml', '90.yml']);
  });

  test('a file of comments says nothing', () => {
    expect(said('# nothing yet\n')).toMatchObject({ tags: {}, start_join: [] });
  });
});

describe('what is wrong is said with file, line and the way out', () => {
  test.each([
    ['a slip', 'node_name: a\nbnd: 10.0.0.1', /:2: unknown key "bnd"/, /Did you mean "bind"/],
    ["a flag's name", 'event_handler: [x]', /unknown key "event_handler"/, /event_handlers/],
    [
      'a key of Serf that is none here',
      'msgpack_use_new_time_format: true',
      /unknown key/,
      /nothing that fanout sends/,
    ],
    ['a number for text', 'tags:\n  rack: 12', /:2: rack: must be text.*number 12/, /quotes/],
    ['text for a number', 'retry_max_attempts: "3"', /retry_max_attempts: must be a whole number/, undefined],
    ['text for a list', 'start_join: 10.0.0.1', /start_join: must be a list/, /\[ \]/],
    ['a list for text', 'bind: [a]', /bind: must be text, and is a list/, undefined],
    ['text for a switch', 'leave_on_terminate: "yes"', /leave_on_terminate: must be true or false/, /quotes/],
    ['a bare number of seconds', 'retry_interval: 30', /retry_interval: must be text/, undefined],
    ["a duration below Serf's least", 'retry_interval: 10ms', /must be a duration from 1s/, /15s/],
    ['a level that is none', 'log_level: loud', /must be trace, debug, info, warn or err.*"loud"/, undefined],
    ['a protocol of long ago', 'protocol: 3', /protocol: must be a whole number from 4 to 5/, undefined],
    ['another limit', 'query_size_limit: 4096', /must be 1024/, /Remove the key/],
    ['a key twice', 'bind: a\nbind: b', /:2: .*unique/i, /Remove one/],
    [
      'a key twice in another case',
      'bind: a\nBind: b',
      /:2: "Bind" and "bind" are the same key/,
      /Remove one/,
    ],
    ['mdns with more', 'mdns: { iface: eth0 }', /unknown key "iface"/, /interface/],
    ['a list at the top', '- bind: a', /must be a mapping, and is a list/, undefined],
    ['text at the top', 'bind', /must be a mapping/, undefined],
  ])('%s', (_what, text, message, hint) => {
    const error = errorOf(file(text));
    expect(error.code).toBe('CONFIG');
    expect(error.message).toMatch(/^\/.*\.yaml:\d+: /);
    expect(error.message).toMatch(message);
    if (hint !== undefined) expect(error.hint).toMatch(hint);
  });

  test('YAML in a .json file, which no other reader would take', () => {
    expect(errorOf(file('bind: a', 'yaml.json')).message).toMatch(/yaml\.json:1: not valid JSON/);
    expect(errorOf(file('{"bind": "a",}', 'comma.json')).message).toMatch(/not valid JSON/);
  });

  test('a file or folder that is not there', () => {
    expect(errorOf(join(dir, 'none.yaml')).message).toMatch(/there is no such file/);
    const folder = join(dir, 'broken.d');
    mkdirSync(folder);
    symlinkSync(join(dir, 'nowhere'), join(folder, 'x.yaml'));
    expect(errorOf(folder).message).toMatch(/x\.yaml: there is no such file/);
  });
});

describe('attacks', () => {
  const deep = `${'['.repeat(50_000)}${']'.repeat(50_000)}`;
  test.each<[string, string | Uint8Array, RegExp]>([
    ['a huge file', `# ${'x'.repeat(300_000)}`, /too large/],
    ['a deep file', `start_join: ${deep}`, /YAML|levels/],
    ['a deep one that is still parsed', `start_join: ${'['.repeat(30)}${']'.repeat(30)}`, /levels|text/],
    ['aliases that multiply', 'a: &a [x, x]\nb: &b [*a, *a]\nstart_join: [*b, *b]', /anchor|alias/],
    ['a merge key', 'x: { bind: a }\n<<: { bind: b }', /merge key/],
    ['a tag of YAML', 'bind: !!js/function "x"', /tag/i],
    ['NUL', 'bind: "a\0b"', /invisible or control/],
    ['an escaped NUL', 'bind: "a\\0b"', /control or invisible/],
    ['an escaped NUL in JSON', '{"bind": "a\\u0000b"}', /control or invisible/],
    ['writing that turns', 'bind: "\u202e1.0.0.01"', /invisible or control/],
    ['__proto__', '__proto__: { policy: /etc/evil }', /reserved/],
    ['__proto__ inside', 'tags: { __proto__: { role: x } }', /reserved/],
    ['constructor', 'constructor: { prototype: { bind: x } }', /reserved/],
    ['no UTF-8', Uint8Array.of(0x62, 0xff, 0xfe), /UTF-8/],
    ['an ELF file', Uint8Array.of(0x7f, 0x45, 0x4c, 0x46, 2, 1, 1, 0, 0), /invisible or control/],
    ['ten thousand joins', `start_join: [${'a,'.repeat(10_000)}]`, /more than 256/],
    ['two documents', 'bind: a\n---\nbind: b', /YAML|document/],
  ])('%s is refused', (_what, bytes, message) => {
    const error = errorOf(file(bytes));
    expect(error.code).toBe('CONFIG');
    expect(error.message).toMatch(message);
    expect(Object.prototype).not.toHaveProperty('policy');
    expect(Object.prototype).not.toHaveProperty('bind');
  });

  test('a text of a thousand lines in an error does not steer the terminal', () => {
    expect(errorOf(file('bnd: "\u001b]0;x\u0007"')).message).not.toContain('\u001b');
  });

  test('a file that others can write decides nothing, nor one in a folder of theirs', () => {
    const error = errorOf(file('bind: a', 'open.yaml', 0o666));
    expect(error.message).toMatch(/others can write/);
    expect(error.hint).toMatch(/chmod go-w/);
    const folder = join(dir, 'open.d');
    mkdirSync(folder);
    chmodSync(folder, 0o777);
    expect(errorOf(file('bind: a', 'open.d/x.yaml')).message).toMatch(/others can write the folder/);
  });

  test('a link leads to a file that is checked as if it had been named', () => {
    const target = file('node_name: linked', 'target.yaml');
    symlinkSync(target, join(dir, 'link.yaml'));
    expect(readConfigPath(join(dir, 'link.yaml'))[0]?.said).toMatchObject({ node_name: 'linked' });
    chmodSync(target, 0o622);
    expect(errorOf(join(dir, 'link.yaml')).message).toMatch(/others can write/);
    symlinkSync('loop.yaml', join(dir, 'loop.yaml'));
    expect(errorOf(join(dir, 'loop.yaml')).message).toMatch(/ELOOP/);
  });

  test('what is no regular file is not waited for', async () => {
    const pipe = join(dir, 'pipe.yaml');
    expect((await runProgram('mkfifo', [pipe])).code).toBe(0);
    expect(errorOf(pipe).message).toMatch(/not a regular file/);
    expect(errorOf('/dev/zero').message).toMatch(/not a regular file/);
  });

  test('a secret that others can read is warned of, with the chmod; not one that only the owner can', () => {
    const open = file('encrypt_key: x\nrpc_auth: y', 'secret.yaml', 0o644);
    const { warnings } = loadSettings([open], {});
    expect(warnings).toHaveLength(2);
    for (const warning of warnings) expect(warning).toContain(`chmod 600 ${open}`);
    expect(loadSettings([file('encrypt_key: x')], {}).warnings).toEqual([]);
    expect(loadSettings([file('bind: x', 'plain.yaml', 0o644)], {}).warnings).toEqual([]);
  });
});
