import { existsSync, lstatSync, readlinkSync, realpathSync, statSync } from 'node:fs';
import type { CommandSpec, RunAs } from './command-spec.ts';
import { canEnter } from './opened-paths.ts';

/** Private /tmp of a command. The default of a tmpfs is half of the machine's memory. */
const TMP_BYTES = '16777216';
/** An empty directory that covers another one needs next to nothing. */
const COVER_BYTES = '1048576';

/** Covered in `standard` wherever they exist: people's files, and fanout's own. */
const COVERED_DIRECTORIES = ['/root', '/home', '/etc/fanout', '/var/lib/fanout'];
/** Not the host's in `standard`; nothing below them needs a cover of its own. */
const REPLACED_DIRECTORIES = ['/dev', '/proc', '/tmp', '/run'];

/** Files in /etc that a minimal system needs for names, times and shared libraries. */
const STRICT_ETC = ['ld.so.cache', 'nsswitch.conf', 'passwd', 'group', 'localtime', 'alternatives'];
/** Those that a program with a network needs as well. */
const STRICT_ETC_NETWORK = ['resolv.conf', 'hosts', 'services', 'protocols', 'ssl', 'ca-certificates', 'pki'];

/** Descriptors that bwrap is given beside the standard three. */
export interface SandboxDescriptors {
  readonly status: number;
  readonly seccomp: number;
}

/**
 * Arguments of bwrap for the profiles `standard` and `strict`, up to and including `--`. It must be started under the
 * account that the command is to have: bwrap's own `--uid` is only a name, the kernel goes by the real one.
 *
 * - standard: look at the whole host, change nothing. Read-only root, the host's processes visible and out of reach,
 *   a private /tmp, no /run (where the sockets are), nothing of /root, /home and fanout itself.
 * - strict: a minimal system of /usr and a few files of /etc, its own process list.
 *
 * What the rule opens is there in both, at its own place.
 */
export function sandboxArguments(spec: CommandSpec, descriptors: SandboxDescriptors): string[] {
  return [
    ...isolation(spec, descriptors),
    ...(spec.sandbox === 'strict' ? strictView(spec) : standardView(spec)),
    '--chdir',
    spec.cwd ?? '/',
    '--',
  ];
}

function isolation(spec: CommandSpec, descriptors: SandboxDescriptors): string[] {
  return [
    // The kill switch: when the agent or bwrap ends, process 1 of the namespace is killed, and with it all the others.
    // Either of the two alone leaves every child alive.
    '--die-with-parent',
    '--unshare-pid',
    // No terminal of the agent's to type into.
    '--new-session',
    // Without a user namespace an unprivileged account cannot make the others.
    '--unshare-user',
    // No further one inside: there a program would have all capabilities again, and more of the kernel to attack.
    '--disable-userns',
    '--unshare-ipc',
    '--unshare-uts',
    '--unshare-cgroup',
    // Also closes the abstract sockets of the host.
    ...(spec.network === 'none' ? ['--unshare-net'] : []),
    '--cap-drop',
    'ALL',
    // Its "exit-code" line appears only when the program was executed; bwrap's own exit code says nothing.
    '--json-status-fd',
    String(descriptors.status),
    '--seccomp',
    String(descriptors.seccomp),
  ];
}

function standardView(spec: CommandSpec): string[] {
  const covered = covers([...COVERED_DIRECTORIES, ...(spec.hidePaths ?? [])], spec.user);
  const resolver = spec.network === 'host' ? resolverFile() : undefined;
  return [
    '--ro-bind',
    '/',
    '/',
    // No devices but null, zero, random, tty and their like; read-only, because it is a file system in memory.
    '--dev',
    '/dev',
    '--remount-ro',
    '/dev',
    // The host's own /proc, so that `ps ax` shows the host. Its processes are in other namespaces, so nothing in it
    // can be written, signalled or looked into; and it also works in containers that refuse a new /proc.
    '--ro-bind',
    '/proc',
    '/proc',
    '--size',
    TMP_BYTES,
    '--tmpfs',
    '/tmp',
    '--size',
    COVER_BYTES,
    '--tmpfs',
    '/run',
    // resolv.conf is often a link into /run.
    ...(resolver === undefined ? [] : ['--ro-bind', resolver, resolver]),
    ...covered.mounts,
    ...opened(spec),
    // After everything has been made in them.
    '--remount-ro',
    '/run',
    ...covered.seals,
  ];
}

function strictView(spec: CommandSpec): string[] {
  const etc = spec.network === 'host' ? [...STRICT_ETC, ...STRICT_ETC_NETWORK] : STRICT_ETC;
  return [
    '--ro-bind',
    '/usr',
    '/usr',
    ...['/bin', '/sbin', '/lib', '/lib64'].flatMap(sameAsHost),
    '--dir',
    '/etc',
    ...etc.flatMap((name) => ['--ro-bind-try', `/etc/${name}`, `/etc/${name}`]),
    '--dev',
    '/dev',
    '--remount-ro',
    '/dev',
    '--proc',
    '/proc',
    '--size',
    TMP_BYTES,
    '--tmpfs',
    '/tmp',
    ...opened(spec),
    // After everything has been made in it: the root itself is a file system in memory.
    '--remount-ro',
    '/',
  ];
}

/** Most distributions have /bin and its like as links into /usr, some as directories, and some lack one. */
function sameAsHost(path: string): string[] {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return [];
  return found.isSymbolicLink() ? ['--symlink', readlinkSync(path), path] : ['--ro-bind', path, path];
}

/** What the rule opens, and the program's own folder. A socket can be connected to wherever it can be seen: read-only is enough. */
function opened({ allowances, folder }: CommandSpec): string[] {
  const { read = [], write = [], sockets = [] } = allowances ?? {};
  const seen = folder === undefined ? [] : [folder];
  return [
    ...[...read, ...sockets, ...seen].flatMap((path) => ['--ro-bind', path, path]),
    ...write.flatMap((path) => ['--bind', path, path]),
  ];
}

/** Puts something empty over each path that exists. The seals make it read-only, when all is in it that shall be. */
function covers(paths: readonly string[], user: RunAs | undefined): { mounts: string[]; seals: string[] } {
  const covered = [...REPLACED_DIRECTORIES];
  const mounts: string[] = [];
  const seals: string[] = [];
  for (const path of paths) {
    const place = coverPlace(path, user);
    if (place === undefined || covered.some((above) => place === above || place.startsWith(`${above}/`)))
      continue;
    covered.push(place);
    if (statSync(place).isDirectory()) {
      mounts.push('--size', COVER_BYTES, '--tmpfs', place);
      seals.push('--remount-ro', place);
    } else {
      mounts.push('--ro-bind', '/dev/null', place);
    }
  }
  return { mounts, seals };
}

/**
 * Where a cover for `path` must go: its real path, or the first directory above it that the account cannot enter,
 * since bwrap, which has the same account, could not reach anything below. Undefined when there is nothing to cover.
 */
function coverPlace(path: string, user: RunAs | undefined): string | undefined {
  let real: string;
  try {
    real = realpathSync(path);
  } catch {
    return undefined;
  }
  const parts = real.split('/').slice(1);
  for (let depth = 1; depth < parts.length; depth++) {
    const above = `/${parts.slice(0, depth).join('/')}`;
    if (user !== undefined && !canEnter(statSync(above), user)) return above;
  }
  return real;
}

/** The real resolv.conf where it lies in /run. */
function resolverFile(): string | undefined {
  if (!existsSync('/etc/resolv.conf')) return undefined;
  const real = realpathSync('/etc/resolv.conf');
  return real.startsWith('/run/') ? real : undefined;
}
