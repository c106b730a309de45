import type { AllowRule } from '../policy.ts';
import type { AllowRuleText } from '../schema.ts';
import type { YamlPath } from '../yaml-source.ts';
import type { LintFinding } from './finding.ts';

/** Groups whose members are as good as root, and what they have in their hands. */
const MIGHTY_GROUPS: Readonly<Record<string, string>> = {
  root: 'files of root',
  wheel: 'sudo',
  sudo: 'sudo',
  admin: 'sudo',
  docker: 'the container engine, which is root',
  podman: 'the container engine',
  lxd: 'the container engine, which is root',
  incus: 'the container engine, which is root',
  'incus-admin': 'the container engine, which is root',
  libvirt: 'virtual machines with any disk of the host',
  kvm: 'virtual machines',
  disk: 'the disks without their file systems',
  shadow: 'password hashes',
  kmem: 'the memory of the machine',
  mem: 'the memory of the machine',
  systemd: 'the manager of the machine',
};

/** Sockets behind which somebody does as root what is asked for. */
const MIGHTY_SOCKETS: readonly (readonly [pattern: RegExp, what: string])[] = [
  [
    /\/(?:docker|podman|containerd|crio|cri-dockerd|buildkit|lxd|incus)/,
    'a container engine: whoever reaches it is root',
  ],
  [/\/systemd(?:\/|$)/, 'the manager of the machine: whoever reaches it is root'],
  [/\/dbus(?:\/|$)/, 'D-Bus: whatever polkit lets this account do, systemd included'],
  [/\/(?:libvirt|snapd|polkit|udev|udisks|lvm|multipathd|packagekit)/, 'a service that acts as root'],
  [/ssh-agent|\/gnupg\/|S\.gpg-agent|\/agent\.\d+$/, 'the keys of somebody'],
  [/\/(?:fanout|serf)\b/, 'the agent itself'],
];

/** Folders that hold programs, settings or state of the system. */
const SYSTEM_FOLDERS = [
  '/etc',
  '/usr',
  '/bin',
  '/sbin',
  '/lib',
  '/lib32',
  '/lib64',
  '/boot',
  '/efi',
  '/dev',
  '/proc',
  '/sys',
  '/run',
  '/root',
  '/var/lib',
  '/var/spool/cron',
  '/var/run',
  '/opt',
];
/** Of these the folder itself, not everything in it. */
const SHARED_FOLDERS = ['/', '/home', '/srv', '/var', '/var/log', '/var/cache', '/mnt', '/media', '/snap'];
const SECRET_FOLDERS = [
  '/root',
  '/etc/shadow',
  '/etc/gshadow',
  '/etc/ssh',
  '/etc/ssl/private',
  '/etc/fanout',
  '/var/lib/fanout',
  '/etc/sudoers',
  '/dev/mem',
  '/proc/kcore',
];

/** Names of variables that make another program of a program. */
const STEERING =
  /^(?:.*PAGER|LESS.*|LESSOPEN|MORE|GIT_.*|BASH_ENV|ENV|BASHOPTS|SHELLOPTS|PS4|PROMPT_COMMAND|BASH_FUNC.*|IFS|CDPATH|GLOBIGNORE|NODE_.*|NPM_.*|DENO_.*|BUN_.*|PYTHON.*|PERL.*|RUBY.*|GEM_.*|BUNDLE_.*|PHP.*|LUA_.*|JAVA_.*|JDK_.*|_JAVA_OPTIONS|CLASSPATH|MAVEN_.*|GRADLE_.*|GOFLAGS|CARGO_.*|RUSTFLAGS|R_.*|TCLLIBPATH|EDITOR|VISUAL|SUDO_.*|BROWSER|SHELL|HOME|XDG_.*|TERMINFO.*|TERMCAP|GCONV_PATH|LOCPATH|NLSPATH|HOSTALIASES|RES_OPTIONS|LOCALDOMAIN|MALLOC_.*|GLIBC_.*|DYLD_.*|OPENSSL_.*|SSL_.*|SSLKEYLOGFILE|CURL_.*|WGETRC|SYSTEMD_.*|DBUS_.*|DOCKER_.*|CONTAINER_.*|KUBECONFIG|PSQLRC|PG.*|MYSQL_.*|TAR_OPTIONS|GREP_OPTIONS|GZIP|ZIPOPT|RSYNC_.*|SSH_.*|TMPDIR|.*_PRELOAD|MAKEFLAGS|MAKEFILES|INPUTRC|VIMINIT|EXINIT|NMAPDIR|TCPDUMP.*)$/;

/** What is dangerous in what a rule gives its commands, whatever the commands are. */
export function surroundingsFindings(
  rule: AllowRule,
  text: AllowRuleText,
  at: YamlPath,
): readonly LintFinding[] {
  const { user, groups, sandboxes, network, allowances, env } = rule.surroundings;
  /** At the rule's own words, or at its id where it takes those of the defaults. */
  const danger = (path: YamlPath, isOwn: boolean, message: string, hint: string): LintFinding => ({
    level: 'danger',
    code: 'surroundings',
    path: [...at, ...(isOwn ? path : ['id'])],
    message: isOwn ? message : `${message} (from defaults)`,
    hint,
    isInherited: !isOwn,
  });
  const found: LintFinding[] = [];
  if (sandboxes.includes('none')) {
    const isOwn = text.sandbox?.profile !== undefined;
    const message = `runs without a sandbox${sandboxes.length > 1 ? ' where there is no other' : ''}`;
    found.push(danger(['sandbox'], isOwn, message, 'Take standard or strict, or say why: dangerous: "..."'));
  }
  if (user === 'root') {
    const isOwn = text.user !== undefined;
    found.push(danger(['user'], isOwn, 'runs as root', 'Name an account that can do this and nothing else.'));
    if (network === 'host') {
      const hint = 'Take network: none, or another user.';
      found.push(danger(['user'], isOwn, 'is root in the network of the machine', hint));
    }
  }
  for (const [index, group] of groups.entries()) {
    const what = MIGHTY_GROUPS[group];
    if (what === undefined) continue;
    const message = `the group "${group}" gives ${what}`;
    found.push(danger(['groups', index], true, message, 'Take a group of its own.'));
  }
  for (const { kind, judge, hint } of OPENINGS) {
    const isOwn = text.sandbox?.[kind] !== undefined;
    for (const [index, path] of allowances[kind].entries()) {
      const problem = judge(path);
      if (problem === undefined) continue;
      found.push(danger(['sandbox', kind, index], isOwn, problem, hint));
    }
  }
  for (const name of env.keys()) {
    if (!STEERING.test(name)) continue;
    const message = `the variable ${name} can make another program of a program`;
    const hint = 'Leave it out, or say why: dangerous: "..."';
    found.push({ ...danger(['env', name], true, message, hint), atKey: true });
  }
  return found;
}

/** What is wrong with opening a path in a sandbox, by the way in which it is opened. */
const OPENINGS: readonly {
  readonly kind: 'read' | 'write' | 'sockets';
  readonly judge: (path: string) => string | undefined;
  readonly hint: string;
}[] = [
  {
    kind: 'sockets',
    judge: (path) => {
      const what = MIGHTY_SOCKETS.find(([pattern]) => pattern.test(path))?.[1];
      return what === undefined ? undefined : `"${path}" is ${what}`;
    },
    hint: 'Say what limits it: dangerous: "..."',
  },
  {
    kind: 'write',
    judge: (path) =>
      isWithin(path, SYSTEM_FOLDERS) || SHARED_FOLDERS.includes(path)
        ? `may write "${path}", which is the system's`
        : undefined,
    hint: 'Open a folder of its own.',
  },
  {
    kind: 'read',
    judge: (path) =>
      isWithin(path, SECRET_FOLDERS) || path === '/' ? `may read "${path}", where secrets are` : undefined,
    hint: 'Open only what is needed.',
  },
];

function isWithin(path: string, folders: readonly string[]): boolean {
  return folders.some((folder) => path === folder || path.startsWith(`${folder}/`));
}
