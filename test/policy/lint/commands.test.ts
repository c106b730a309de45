import { expect, test } from 'vitest';
import { loadPolicy } from '../../../src/policy/load.ts';
import { ALICE, policyText } from '../fixtures.ts';
import { lintCommand } from './fixtures.ts';

/** Commands that can start something, write, or read by the side, and which of the three. */
const DANGEROUS: readonly (readonly [harm: string, command: string])[] = [
  // Whatever the arguments.
  ['starts', '{ program: sh, argv: ["-c", "id"] }'],
  ['starts', '{ program: bash, argv: [] }'],
  ['starts', '{ program: busybox, argv: [ls] }'],
  ['starts', '{ program: python3.11, argv: ["-V"] }'],
  ['starts', '{ program: perl, argv: ["-v"] }'],
  ['starts', '{ program: node, argv: [server.js] }'],
  ['starts', '{ program: awk, argv: ["{print $1}", "path:/srv/*"] }'],
  ['starts', '{ program: env, argv: [uptime] }'],
  ['starts', '{ program: xargs, argv: [] }'],
  ['starts', '{ program: timeout, argv: ["5", "*"] }'],
  ['starts', '{ program: watch, argv: [uptime] }'],
  ['starts', '{ program: nsenter, argv: ["-t", "1"] }'],
  ['starts', '{ program: sudo, argv: ["-l"] }'],
  ['starts', '{ program: ssh, argv: [db1, uptime] }'],
  ['starts', '{ program: vim, argv: ["-R", "path:/srv/**"] }'],
  ['starts', '{ program: less, argv: ["path:/var/log/**"] }'],
  ['starts', '{ program: man, argv: ["*"] }'],
  ['starts', '{ program: make, argv: ["-n"] }'],
  ['starts', '{ program: npm, argv: [run, smoke] }'],
  ['starts', '{ program: pip3, argv: [list] }'],
  ['starts', '{ program: crontab, argv: ["-e"] }'],
  ['starts', '{ program: systemd-run, argv: ["*"] }'],
  ['starts', '{ program: fanout, argv: ["uptime"] }'],
  ['writes', '{ program: tee, argv: [/srv/x] }'],
  ['writes', '{ program: dd, argv: ["if=/dev/zero", "of=/srv/x"] }'],
  ['writes', '{ program: cp, positionals: { max: 2, match: ["path:/srv/**"] } }'],
  ['writes', '{ program: rm, argv: ["path:/srv/tmp/*"] }'],
  ['writes', '{ program: chmod, argv: ["644", "path:/srv/**"] }'],
  ['writes', '{ program: ln, flags: ["-s"], positionals: { max: 2, match: ["path:/srv/**"] } }'],
  // Through an option: declared, in a list, in a cluster, abbreviated, with its value, in a wildcard.
  ['starts', '{ program: find, flags: ["-exec"] }'],
  ['starts', '{ program: find, argv: [/srv, "-name", "*", "-execdir", "any:100"] }'],
  ['starts', '{ program: find, argv: [/srv, ["-print", "-ok"]] }'],
  ['writes', '{ program: find, argv: [/srv, "-delete"] }'],
  ['writes', '{ program: find, options: { "-fprint": "path:/srv/**" } }'],
  ['starts', '{ program: find, argv: [/srv, "-e*"] }'],
  ['starts', '{ program: find, argv: [/srv, "-[a-z]*"] }'],
  ['starts', '{ program: find, argv: [/srv, "-????"] }'],
  ['starts', '{ program: tar, options: { "--checkpoint-action": "*" } }'],
  ['starts', '{ program: tar, argv: ["-tf", "path:/srv/**", "--checkpoint-act=exec=id"] }'],
  ['starts', '{ program: tar, argv: ["--to-c=id", "-xf", "path:/srv/**"] }'],
  ['starts', '{ program: tar, argv: ["-tf", "*"] }'],
  ['starts', '{ program: tar, argv: ["-tf", "path:/srv/**", "-I*"] }'],
  ['writes', '{ program: tar, argv: [xf, "path:/srv/**"] }'],
  ['writes', '{ program: tar, argv: ["?f", "path:/srv/**"] }'],
  ['reads', '{ program: tar, argv: ["-tf", /srv/x.tar, "-T", "path:/srv/**"] }'],
  ['starts', '{ program: rsync, argv: ["-e", "*", /srv/a, /srv/b] }'],
  ['starts', '{ program: sed, argv: ["*", "path:/srv/**"] }'],
  ['starts', '{ program: sed, argv: ["1e id", "path:/srv/**"] }'],
  [
    'starts',
    '{ program: sed, options: { "-e": "any:100" }, positionals: { max: 1, match: ["path:/srv/**"] } }',
  ],
  ['writes', '{ program: sed, argv: ["-i", "s/a/b/", "path:/srv/**"] }'],
  ['writes', '{ program: sed, argv: ["-ni", "5p", "path:/srv/**"] }'],
  [
    'writes',
    '{ program: sort, options: { "-o": "path:/srv/**" }, positionals: { max: 1, match: ["path:/srv/**"] } }',
  ],
  ['writes', '{ program: sort, argv: ["-uo", /srv/x, /srv/y] }'],
  ['writes', '{ program: sort, argv: ["--outp=/srv/x", /srv/y] }'],
  ['writes', '{ program: sort, argv: ["--ou*", /srv/y] }'],
  ['writes', '{ program: sort, argv: ["-o*"] }'],
  ['writes', '{ program: sort, argv: ["-?/srv/x"] }'],
  ['starts', '{ program: sort, flags: ["--compress-program=sh"] }'],
  ['reads', '{ program: sort, options: { "--files0-from": "path:/srv/**" } }'],
  ['writes', '{ program: uniq, argv: ["path:/srv/**", "path:/srv/**"] }'],
  ['writes', '{ program: uniq, positionals: { max: 3, match: ["path:/srv/**"] } }'],
  ['reads', '{ program: grep, options: { "-f": "path:/srv/**" }, first: ["any:9"] }'],
  ['reads', '{ program: grep, argv: ["-inf", "path:/srv/**", "path:/srv/**"] }'],
  ['reads', '{ program: grep, argv: ["--fil=x", y, "path:/srv/**"] }'],
  ['reads', '{ program: wc, options: { "--files0-from": "*" } }'],
  ['reads', '{ program: du, argv: ["--files0-f=/etc/shadow"] }'],
  ['reads', '{ program: date, options: { "-f": "path:/srv/**" } }'],
  ['writes', '{ program: date, argv: ["-s", "*"] }'],
  ['writes', '{ program: date, argv: ["--se=2030-01-01"] }'],
  ['writes', '{ program: date, argv: ["int:1..999999"] }'],
  ['writes', '{ program: hostname, argv: ["*"] }'],
  ['writes', '{ program: hostname, argv: [web9] }'],
  ['reads', '{ program: ps, argv: [auxe] }'],
  ['reads', '{ program: ps, positionals: { max: 1, match: ["*"] } }'],
  ['reads', '{ program: ps, argv: ["a?x"] }'],
  ['writes', '{ program: ss, flags: ["-K"] }'],
  ['writes', '{ program: ss, flags: ["-tanK"] }'],
  ['writes', '{ program: ss, options: { "-D": "*" } }'],
  ['reads', '{ program: ss, options: { "-F": "path:/srv/**" } }'],
  ['starts', '{ program: ip, argv: [netns, exec, blue, "*"] }'],
  ['starts', '{ program: ip, argv: [netns, "*", blue, id] }'],
  ['writes', '{ program: ip, argv: [link, set, eth0, down] }'],
  ['writes', '{ program: ip, argv: [addr, a, "*"] }'],
  ['writes', '{ program: ip, argv: [[addr, link], "any:20"] }'],
  ['reads', '{ program: ip, argv: ["-batch", "path:/srv/**"] }'],
  ['starts', '{ program: tcpdump, argv: ["-c", "1", "-z", "*"] }'],
  ['writes', '{ program: tcpdump, argv: ["-c", "1", "-w", /srv/x] }'],
  ['starts', '{ program: git, argv: ["-c", "*", status] }'],
  ['starts', '{ program: git, argv: [clone, "*"] }'],
  ['starts', '{ program: git, argv: ["*"] }'],
  ['starts', '{ program: git, argv: [grep, "-O*", x] }'],
  ['writes', '{ program: git, argv: [log, "--outpu=/srv/x"] }'],
  ['writes', '{ program: curl, argv: ["-o", "path:/srv/**", "http://localhost/"] }'],
  ['writes', '{ program: curl, argv: ["-so/srv/x", "http://localhost/"] }'],
  ['reads', '{ program: curl, argv: ["*"] }'],
  ['reads', '{ program: curl, argv: ["file:///etc/hostname"] }'],
  ['reads', '{ program: curl, argv: ["-d", "@/etc/hostname", "http://localhost/"] }'],
  ['reads', '{ program: curl, argv: ["-d", "any:100", "http://localhost/"] }'.replace('any:100', '*')],
  ['reads', '{ program: curl, options: { "-T": "path:/srv/**" }, first: ["http://localhost/*"] }'],
  ['writes', '{ program: wget, argv: ["http://localhost/"] }'],
  ['starts', '{ program: zip, argv: ["-TT", "*", /srv/x.zip] }'],
  ['starts', '{ program: nmap, argv: ["--script", "*", localhost] }'],
  ['starts', '{ program: systemctl, argv: [edit, "*.service"] }'],
  ['starts', '{ program: systemctl, argv: ["-H", other, status] }'],
  ['starts', '{ program: systemctl, argv: [link, "path:/srv/**"] }'],
  ['starts', '{ program: systemctl, argv: [set-environment, "*"] }'],
  ['starts', '{ program: systemctl, argv: ["*", nginx.service] }'],
  ['starts', '{ program: systemctl, argv: [start, "*"] }'],
  ['starts', '{ program: systemctl, argv: [restart, "*.service"] }'],
  ['writes', '{ program: journalctl, flags: ["--rotate"] }'],
  ['writes', '{ program: journalctl, argv: ["--vacuum-t=1s"] }'],
  ['writes', '{ program: journalctl, argv: ["--*"] }'],
  ['writes', '{ program: journalctl, options: { "--cursor-file": "path:/srv/**" } }'],
  ['reads', '{ program: journalctl, options: { "-D": "path:/srv/**" } }'],
  ['starts', '{ program: docker, argv: [exec, web, id] }'],
  ['starts', '{ program: docker, argv: [container, exec, web, id] }'],
  ['starts', '{ program: docker, argv: ["*"] }'],
  ['reads', '{ program: docker, argv: [inspect, "*"] }'],
  ['starts', '{ program: kubectl, argv: [exec, web, "--", id] }'],
  ['starts', '{ program: nginx, argv: ["-t", "-c", "path:/srv/**"] }'],
  ['reads', '{ program: nginx, argv: ["-T"] }'],
  ['starts', '{ program: psql, argv: ["-c", "*"] }'],
  ['starts', '{ program: psql, argv: ["-c", "\\\\! id"] }'],
  ['starts', '{ program: apt, argv: [install, "*"] }'],
  ['starts', '{ program: dpkg, argv: ["-i", "path:/srv/**"] }'],
  ['starts', '{ program: modprobe, argv: ["*"] }'],
  ['starts', '{ program: openssl, argv: [x509, "-engine", "*"] }'],
  ['reads', '{ program: getent, argv: ["*"] }'],
  ['reads', '{ program: last, argv: ["-f", "path:/srv/**"] }'],
  // Values behind what is a flag to the program.
  ['starts', '{ program: find, options: { "-print": "-exec" } }'],
  ['writes', '{ program: hostname, options: { "-s": "*" } }'],
  ['writes', '{ program: sort, options: { "-r": "-o*" } }'],
  ['writes', '{ program: journalctl, options: { "-q": ["--rotate"] } }'],
  ['starts', '{ program: systemctl, options: { "--no-pager": "edit" }, first: [nginx.service] }'],
  ['starts', '{ program: git, options: { "--no-pager": "*" } }'],
  ['reads', '{ program: ps, options: { "-f": [ax, auxe] } }'],
  ['path', '{ program: cat, options: { "-n": "*" } }'],
  ['path', '{ program: cat, argv: ["path:/home/**"] }'],
  // Files that lead elsewhere than they seem to.
  ['path', '{ program: cat, argv: ["*"] }'],
  ['path', '{ program: cat, positionals: { max: 1, match: ["/var/log/*"] } }'],
  ['path', '{ program: cat, argv: ["any:100"] }'],
  ['path', '{ program: cat, argv: ["path:/**"] }'],
  ['path', '{ program: cat, argv: ["path:/etc/**"] }'],
  ['path', '{ program: head, argv: ["-n", "5", "path:/proc/**"] }'],
  ['path', '{ program: grep, argv: [x, /etc/shadow] }'],
  ['path', '{ program: df, positionals: { max: 1, match: ["path:/**"] } }'],
  ['path', '{ program: own-tool, argv: ["path:/**"] }'],
  // Options that nobody listed, of a program that nobody knows.
  ['swallows-options', '{ program: own-tool, argv: ["-*"] }'],
  ['swallows-options', '{ program: own-tool, argv: ["--*"] }'],
  ['swallows-options', '{ program: own-tool, argv: ["-o*"] }'],
  ['swallows-options', '{ program: ls, argv: ["-?"] }'],
];

test.each(DANGEROUS)('%s: %s', (harm, command) => {
  const found = lintCommand(command).filter(({ level }) => level === 'danger');
  expect(found.map(({ code }) => code)).toContain(harm);
  for (const { path } of found) expect(path.slice(0, 4)).toEqual(['rules', 1, 'commands', 0]);
});

test.each([
  ['{ handler: tail-log, params: { lines: "int:1..9", path: "path:/**" } }', 'every file of the machine'],
  ['{ handler: tail-log, params: { path: ["path:/srv/**", "path:/etc/*"] } }', '/etc/shadow'],
])('a warning, for its manifest bounds it too: %s', (command, reached) => {
  const found = lintCommand(command).filter(({ code }) => code !== 'no-example');
  const path = ['rules', 1, 'commands', 0, 'params', 'path'];
  const message = expect.stringContaining(reached);
  expect(found).toMatchObject([{ level: 'warn', code: 'path', path, message }]);
});

/** Commands that people need all day, in the forms in which they are harmless. */
const HARMLESS = [
  '{ program: ps, argv: [[ax, aux, axf, "-e", "-ef"]] }',
  '{ program: ps, argv: [ax, "-o", "pid,etime,args"] }',
  '{ program: ps, argv: [axo, "pid,etime"] }',
  '{ program: ps, options: { "-C": "any:64" }, flags: ["-f"] }',
  '{ program: df, flags: ["-h", "-i"], positionals: { max: 2, match: ["/", "path:/srv/**"] } }',
  '{ program: du, flags: ["-sh", "-x"], options: { "--max-depth": "int:0..5" }, positionals: { max: 1, match: ["path:/srv/**"] } }',
  '{ program: du, options: { "--exclude": "*" }, positionals: { max: 1, match: ["path:/srv/**"] } }',
  '{ program: uptime, flags: ["-p"] }',
  '{ program: free, flags: ["-m", "-h"] }',
  '{ program: vmstat, argv: ["1", "int:1..5"] }',
  '{ program: ls, flags: ["-la", "-ltr"], positionals: { max: 2, match: ["path:/etc/**"] } }',
  '{ program: cat, positionals: { max: 2, match: ["path:/var/log/**", /etc/os-release] } }',
  '{ program: cat, argv: ["path:/srv/app/*.log"] }',
  '{ program: head, options: { "-n": "int:1..500", "-c": "int:1..500" }, positionals: { max: 1, match: ["path:/srv/**"] } }',
  '{ program: tail, argv: ["-n", "int:1..500", "path:/var/log/**"] }',
  '{ program: grep, flags: ["-rin", "-E", "-F"], options: { "-m": "int:1..5", "-A": "int:1..5" }, first: ["any:200"], positionals: { max: 2, match: ["path:/var/log/**"] } }',
  '{ program: grep, argv: ["-c", "*", "path:/var/log/**"] }',
  '{ program: find, options: { "-name": "*", "-type": [f, d], "-mtime": ["int:-9..9", "+[0-9]*"], "-size": "+[0-9]*[kMG]" }, positionals: { max: 1, match: ["path:/srv/**"] } }',
  '{ program: find, argv: ["path:/srv/**", "-name", "*.exec", "-maxdepth", "int:0..3"] }',
  '{ program: sort, flags: ["-u", "-n", "-rn"], options: { "-k": "int:1..9" }, positionals: { max: 1, match: ["path:/srv/**"] } }',
  '{ program: uniq, argv: ["-c", "path:/srv/**"] }',
  '{ program: wc, flags: ["-l"], positionals: { max: 1, match: ["path:/srv/**"] } }',
  '{ program: sed, argv: ["-n", "1,20p", "path:/srv/**"] }',
  '{ program: sed, argv: ["s/a/b/g", "path:/srv/**"] }',
  '{ program: tar, argv: ["-tf", "path:/srv/**"] }',
  '{ program: tar, argv: [tvf, "path:/srv/**"] }',
  '{ program: gzip, argv: ["-l", "path:/srv/**"] }',
  '{ program: zcat, argv: ["path:/var/log/**"] }',
  '{ handler: disk }',
  '{ handler: tail-log, params: { path: "path:/var/log/**", lines: "int:1..100", format: "*" } }',
  '{ program: date, argv: [["-u", "-R", "-Is", "+%s"]] }',
  '{ program: date, argv: ["-d", "*"] }',
  '{ program: hostname, argv: [["-f", "-I"]] }',
  '{ program: ss, flags: ["-ltn", "-tulpn", "-s", "-4"] }',
  '{ program: ss, argv: ["-tan", state, established] }',
  '{ program: ip, argv: [[a, addr, link, route, neigh]] }',
  '{ program: ip, argv: ["-br", [addr, link]] }',
  '{ program: ip, argv: [addr, show, "*"] }',
  '{ program: ping, argv: ["-c", "int:1..5", "*.example.net"] }',
  '{ program: dig, argv: ["+short", "*.example.net"] }',
  '{ program: curl, argv: ["-sS", "-m", "5", "http://localhost:8080/health"] }',
  '{ program: curl, argv: ["-s", "-o", /dev/null, "-w", "%{http_code}", "https://localhost/*"] }',
  '{ program: journalctl, flags: ["--no-pager", "-q", "-r", "-k", "-b", "--utc"], options: { "-u": "*", "-n": "int:1..500", "--since": ["*", "-[0-9]*[smhd]"], "-g": "any:200", "-o": [cat, json] } }',
  '{ program: journalctl, options: { "--cursor": "*", "--after-cursor": "*" } }',
  '{ program: journalctl, argv: ["--since=*", "-n", "5"] }',
  '{ program: systemctl, flags: ["--no-pager"], options: { "-n": "int:0..9" }, first: [[status, is-active, show, cat]], positionals: { max: 3, match: ["*"] } }',
  '{ program: systemctl, argv: ["--failed"] }',
  '{ program: systemctl, argv: ["--no-pager", [restart, reload], "app-*.service"] }',
  '{ program: git, argv: ["-C", /srv/app, log, "--oneline", "-n", "int:1..50"] }',
  '{ program: git, argv: ["-C", /srv/app, [status, "rev-parse"], HEAD] }',
  '{ program: git, argv: ["--no-pager", log, "any:40"] }',
  '{ program: cat, argv: ["path:/home/*/.bashrc"] }',
  '{ program: find, options: { "-name": "-*" }, positionals: { max: 1, match: [/srv] } }',
  '{ program: docker, argv: [ps, ["-a", "-q"]] }',
  '{ program: docker, argv: [logs, "--tail", "int:1..500", "*"] }',
  '{ program: docker, argv: [container, ls] }',
  '{ program: kubectl, argv: [get, pods, "-n", "*"] }',
  '{ program: apt, argv: [list, "--upgradable"] }',
  '{ program: dpkg-query, argv: ["-W", "*"] }',
  '{ program: dpkg, argv: ["-l", "*"] }',
  '{ program: nginx, argv: ["-t"] }',
  '{ program: psql, argv: ["-Atc", "select count(*) from users", app] }',
  '{ program: openssl, argv: [x509, "-in", "path:/srv/tls/*.pem", "-noout", "-enddate"] }',
  '{ program: getent, argv: [[passwd, hosts], "*"] }',
  '{ program: sysctl, argv: ["-n", "vm.*"] }'.replace('vm.*', 'vm.swappiness'),
  '{ program: crontab, argv: ["-l"] }',
  '{ program: top, argv: ["-b", "-n", "1"] }',
  '{ program: dmesg, flags: ["-T"], options: { "-l": [err, warn] } }',
  '{ program: lsof, argv: ["-i", "-n", "-P"] }',
  '{ program: sha256sum, argv: ["path:/srv/**"] }',
  '{ program: stat, argv: ["path:/etc/**"] }',
  '{ program: echo, positionals: { max: 9, match: ["any:200"] } }',
  '{ program: jq, argv: [".version", "path:/srv/app/*.json"] }',
];

test.each(HARMLESS)('harmless: %s', (command) => {
  const found = lintCommand(command).filter(({ level, code }) => level !== 'info' && code !== 'no-example');
  expect(found).toEqual([]);
});

/** What only keeps a place, or a terminal, busy: said, and never a reason to refuse. */
const WARNED: readonly (readonly [code: string, command: string])[] = [
  ['endless', '{ program: tail, flags: ["-f"], positionals: { max: 1, match: ["path:/var/log/**"] } }'],
  ['endless', '{ program: tail, argv: ["-fn", "5", "path:/var/log/**"] }'],
  ['endless', '{ program: journalctl, flags: ["-f"] }'],
  ['endless', '{ program: top, argv: ["-b"] }'],
  ['endless', '{ program: ping, argv: [localhost] }'],
  ['endless', '{ program: vmstat, argv: ["1"] }'],
  ['endless', '{ program: vmstat, positionals: { max: 2, match: ["int:1..5"] } }'],
  ['endless', '{ program: free, argv: ["-s", "1"] }'],
  ['endless', '{ program: dmesg, argv: ["-w"] }'],
  ['endless', '{ program: ss, argv: ["-E"] }'],
  ['endless', '{ program: ip, argv: [monitor] }'],
  ['endless', '{ program: docker, argv: [logs, "-f", web] }'],
  ['endless', '{ program: yes, argv: [] }'],
  ['terminal', '{ program: ls, flags: ["--hyperlink"] }'],
  ['terminal', '{ program: ls, flags: ["--color=always"] }'],
  ['terminal', '{ program: grep, options: { "--color": "*" }, first: ["any:9"] }'],
  ['terminal', '{ program: journalctl, flags: ["-a"] }'],
  ['path', '{ program: ls, positionals: { max: 1, match: ["*"] } }'],
];

test.each(WARNED)('%s: %s', (code, command) => {
  const found = lintCommand(command).filter((one) => one.level !== 'info' && one.code !== 'no-example');
  expect(found).toMatchObject([{ level: 'warn', code }]);
});

test('a rule that says readOnly of what changes something is wrong', () => {
  for (const command of [
    '{ program: systemctl, argv: [restart, app.service] }',
    '{ program: kill, argv: ["-9", "int:2..99999"] }',
    '{ program: hostname, argv: [web9] }',
    '{ program: ss, flags: ["-K"] }',
    '{ program: redis-cli, argv: [FLUSHALL] }',
    '{ program: nginx, argv: ["-s", reload] }',
  ]) {
    const codes = lintCommand(command, '    readOnly: true\n').map(({ code }) => code);
    expect(codes, command).toContain('not-read-only');
    expect(lintCommand(command).map(({ code }) => code)).not.toContain('not-read-only');
  }
});

test('a danger refuses the file, and a sentence takes it', () => {
  const rule = (more: string) => `  - id: run
    effect: allow
${more}    commands:
      - { program: uptime, argv: [] }
      - { program: find, argv: [/srv, "-exec", "any:100"] }`;
  expect(() => loadPolicy(policyText(rule('')), 'p.yaml')).toThrow(
    /^p\.yaml:11: rule "run": danger: "-exec" here starts other programs\n.*\n +\^$/,
  );
  const policy = loadPolicy(policyText(rule('    dangerous: on a machine of tests\n')), 'p.yaml');
  expect(policy.rules[0]).toMatchObject({ dangerous: 'on a machine of tests' });
});

test('a sentence of the defaults takes their dangers, and no other', () => {
  const text = (rule: string) => `version: 1
environment: test
operators: { alice: { key: "${ALICE}" } }
defaults: { sandbox: none, dangerous: tests }
rules: [{ id: a, effect: allow, ${rule} }]`;
  const sound = loadPolicy(text('commands: [{ program: uptime, argv: [] }]'), 'p.yaml');
  expect(sound.rules[0]).toMatchObject({ dangerous: 'tests' });
  expect(() => loadPolicy(text('commands: [{ program: sh, argv: [] }]'), 'p.yaml')).toThrow(
    'sh starts other',
  );
  expect(() => loadPolicy(text('user: root, commands: [{ program: id, argv: [] }]'), 'p.yaml')).toThrow(
    'as root',
  );
  const safe = loadPolicy(text('sandbox: strict, commands: [{ program: id, argv: [] }]'), 'p.yaml');
  expect(safe.rules[0]).toMatchObject({ dangerous: undefined });
});
