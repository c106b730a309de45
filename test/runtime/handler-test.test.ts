import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { loadHandler, loadHandlers, loadTests } from '../../src/runtime/handler-folder.ts';
import { runCases } from '../../src/runtime/handler-test.ts';
import { probeSandboxes } from '../../src/runtime/sandbox-probe.ts';
import { testWhere } from '../support/applies.ts';
import { has, IS_ROOT } from './command-helper.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const base = IS_ROOT ? '/opt' : realpathSync(homedir());
const sandboxes = await probeSandboxes();
let dir: string;

beforeEach(() => {
  dir = mkdtempSync(join(base, 'fanout-handler-test-'));
  chmodSync(dir, 0o755);
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

async function problems(name: string, from = dir): Promise<(string | undefined)[]> {
  const handler = loadHandler(from, name);
  const results = await runCases(handler, loadTests(handler) ?? [], sandboxes);
  return results.map(({ problem }) => problem);
}

function handler(name: string, manifest: string, tests: string, script = ''): void {
  mkdirSync(join(dir, name));
  writeFileSync(join(dir, name, 'handler.yaml'), `name: ${name}\ndescription: x\n${manifest}`);
  writeFileSync(join(dir, name, 'test.yaml'), tests);
  writeFileSync(join(dir, name, 'run'), `#!/bin/sh\n${script}\n`);
  chmodSync(join(dir, name, 'run'), 0o755);
}

describe.skipIf(!has('standard'))('in the sandbox', () => {
  test('every shipped handler passes its own test', async () => {
    cpSync(join(ROOT, 'handlers'), join(dir, 'handlers'), { recursive: true });
    // A checkout may have come with a generous umask.
    spawnSync('chmod', ['-R', 'go-w', dir]);
    const handlers = loadHandlers(join(dir, 'handlers'));
    expect([...handlers.keys()]).toEqual([
      'disk',
      'memory',
      'processes',
      'service-status',
      'tail-log',
      'uptime',
    ]);
    for (const name of handlers.keys()) {
      const found = await problems(name, join(dir, 'handlers'));
      expect(found.length, name).toBeGreaterThan(1);
      expect(
        found.filter((problem) => problem !== undefined),
        name,
      ).toEqual([]);
    }
  });

  test('the five lines of the README are a handler, and its test passes', async () => {
    const readme = readFileSync(join(ROOT, 'README.md'), 'utf8');
    const file = (name: string): string => {
      const text = new RegExp(`\`\`\`yaml\n# handlers/hello/${name}\n([^\`]+)\`\`\``).exec(readme)?.[1];
      if (text === undefined) throw new Error(`the README has no handlers/hello/${name}`);
      return text;
    };
    const manifest = file('handler.yaml');
    expect(manifest.trim().split('\n').length).toBeLessThanOrEqual(5);
    mkdirSync(join(dir, 'hello'));
    writeFileSync(join(dir, 'hello', 'handler.yaml'), manifest);
    writeFileSync(join(dir, 'hello', 'test.yaml'), file('test.yaml'));
    expect(await problems('hello')).toEqual([undefined, undefined]);
  });

  test('what is not as the test says is told, with what came instead', async () => {
    handler(
      'bad',
      'params: { how: { type: string, enum: [exit, json, kill, flood, none] } }\ncommand: [./run, "{how}"]\n',
      `
- { name: exit, params: { how: exit } }
- { name: stderr, params: { how: exit }, exit: 3, stderr: "^other" }
- { name: other type, params: { how: json }, json: { a: text, b: [number] } }
- { name: other item, params: { how: json }, json: { a: number, b: [number] } }
- { name: no key, params: { how: json }, json: { a: number, b: any, c: any } }
- { name: more keys, params: { how: json }, json: { a: number } }
- { name: no list, params: { how: json }, json: [any] }
- { name: right, params: { how: json }, json: { a: number, b: [any] } }
- { name: no json, params: { how: none }, json: any }
- { name: killed, params: { how: kill } }
- { name: flood, params: { how: flood } }
- { name: not refused, params: { how: none }, refused: x }
- { name: refused otherwise, params: { how: x }, refused: y }
- { name: refused, params: { how: x }, stdout: x }
`,
      `case $1 in
exit) echo said >&2; exit 3 ;;
json) echo '{"a":1,"b":[1,"x"]}' ;;
kill) kill -9 $$ ;;
flood) exec yes ;;
esac`,
    );
    expect(await problems('bad')).toEqual([
      'exit status 3 instead of 0; it said: "said\\n"',
      'stderr does not match ^other: "said\\n"',
      'stdout.a is number and should be text',
      'stdout.b[1] is text and should be number',
      'stdout has no "c"',
      'stdout has "b", which nobody expects',
      'stdout should be a list',
      undefined,
      'stdout is not JSON: ""',
      expect.stringMatching(/^exit status (137|SIGKILL) instead of 0/),
      'was ended: output-limit',
      'should have been refused, and was not',
      expect.stringContaining('was refused in other words'),
      expect.stringContaining('was refused: handler "bad"'),
    ]);
  });

  test('a handler that says json is held to it', async () => {
    handler('liar', 'command: [echo, text]\noutput: json\n', '- { name: any }\n');
    expect(await problems('liar')).toEqual(['stdout is not JSON: "text\\n"']);
  });

  test('a handler is run as nobody in a sandbox, with no more than its own folder', async () => {
    handler(
      'look',
      'command: [./run]\n',
      '- { name: look, stdout: "^ok\\n$" }\n',
      'test "$(id -u)" != 0 && ! touch "$0.new" 2>/dev/null && ! touch /etc/x 2>/dev/null && test "$HOME" = /nonexistent && echo ok',
    );
    expect(await problems('look')).toEqual([undefined]);
  });
});

testWhere(IS_ROOT && has('standard'))(
  'a handler in a folder that sandboxes hide sees its own folder there, and nothing else',
  async () => {
    const home = mkdtempSync('/home/fanout-handler-test-');
    try {
      chmodSync(home, 0o755);
      for (const profile of ['standard', 'strict']) {
        handler(
          profile,
          `command: [./run]\nsandbox: { profile: ${profile} }\n`,
          '- { name: look, stdout: "^run own\\n$" }\n',
          `folder=\${0%/*}; echo "$(ls "$folder" | grep run) $(ls "\${folder%/*}" | tr '\\n' ' ' | grep -q 'secret' || echo own)"`,
        );
        cpSync(join(dir, profile), join(home, profile), { recursive: true });
      }
      writeFileSync(join(home, 'secret'), '');
      for (const profile of ['standard', 'strict'])
        expect(await problems(profile, home), profile).toEqual([undefined]);
    } finally {
      rmSync(home, { recursive: true });
    }
  },
);
