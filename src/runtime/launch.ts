import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { assert } from '../lib/assert.ts';
import { toHex } from '../lib/bytes.ts';
import type { CommandSpec, RunAs } from './command-spec.ts';
import { COMMAND_ENVIRONMENT } from './environment.ts';
import { needsGroup } from './job-group.ts';
import type { Refusal } from './refusal.ts';
import { resolveProgram } from './resolve-program.ts';
import { countsByNamespace, limitArguments } from './resource-limits.ts';
import { sandboxArguments } from './sandbox.ts';
import { seccompFilter } from './seccomp.ts';

/** Where bwrap finds its descriptors, after the standard three. */
const STATUS_DESCRIPTOR = 3;
const SECCOMP_DESCRIPTOR = 4;

/**
 * Waits for a line of the agent, which meanwhile puts this very process into its control groups, and becomes the command
 * then. The text is fixed and the command comes as arguments, so the shell reads nothing of it. Without a line, because the
 * agent is gone, nothing is started.
 */
const SHELL = '/bin/sh';
const gateScript = (descriptor: number): string => `read -r go <&${descriptor} && exec "$@" ${descriptor}<&-`;

/** Variable by which processes of a command are found again when no process namespace holds them, or not yet. */
export const MARKER_VARIABLE = 'FANOUT_JOB';

/** Bit of `CAP_SYS_ADMIN`, which making a process namespace without a user namespace takes. */
const CAP_SYS_ADMIN = 21n;

/** How to start a command, and by what handle everything that comes of it can be ended. */
export interface Launch {
  readonly file: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Account to change to before the first program is executed. */
  readonly account: RunAs | undefined;
  /** The filter that bwrap reads; present exactly when bwrap is used. */
  readonly filter: Uint8Array | undefined;
  /** Whether it waits at its last extra descriptor for a line, before it starts anything. */
  readonly isGated: boolean;
  /**
   * `namespace`: killing the launcher kills process 1 of a namespace and so everything in it, unless the launcher ends while it
   * still makes it. `group`: there is only the process group.
   */
  readonly killBy: 'namespace' | 'group';
  /**
   * In the environment of all of it, after its owner random: by this those are found who left the group, or lost their launcher
   * too early.
   */
  readonly marker: string;
}

/** Plans the start of a command. Only programs of the Debian base are used, and bwrap for the two sandboxes. */
export function planLaunch(spec: CommandSpec): Launch | Refusal {
  const isRoot = ownUid() === 0;
  const { user } = spec;
  if (isRoot && user === undefined) {
    return { reason: 'the agent runs as root and no account is given for the command', hint: NO_ROOT_HINT };
  }
  if (user !== undefined && !isRoot && user.uid !== ownUid()) {
    return {
      reason: `the agent runs as uid ${ownUid()} and cannot run a command as "${user.name}"`,
      hint: 'Run the agent as root.',
    };
  }
  if (spec.budget?.memoryBytes !== undefined && spec.groupHome?.memory === undefined) {
    // A limit of each process would be a promise that the first fork breaks.
    return {
      reason: 'there is no control group to bound its memory with',
      hint: 'Leave "memory" out of the rule.',
    };
  }
  if (spec.sandbox === 'none') return unconfined(spec, isRoot ? user : undefined);
  if (user?.uid === 0) {
    return {
      reason: `sandbox "${spec.sandbox}" cannot hold root: the kernel goes by the real user`,
      hint: NO_ROOT_HINT,
    };
  }
  return confined(spec, isRoot ? user : undefined);
}

const NO_ROOT_HINT = 'Give the rule a "user" without privileges, such as fanout-run.';

function confined(spec: CommandSpec, account: RunAs | undefined): Launch | Refusal {
  const hasSockets = (spec.allowances?.sockets.length ?? 0) > 0;
  const filter = seccompFilter(process.arch, spec.network, hasSockets);
  if (filter === undefined) {
    return {
      reason: `there is no system call filter for ${process.arch} processors`,
      hint: 'Sandboxes are made on x64 and arm64.',
    };
  }
  const tools = findTools(['bwrap', 'prlimit', 'setpriv']);
  if ('reason' in tools) return tools;
  const [bwrap, prlimit, setpriv] = tools.paths as [string, string, string];
  const sandboxed = [
    bwrap,
    ...sandboxArguments(spec, { status: STATUS_DESCRIPTOR, seccomp: SECCOMP_DESCRIPTOR }),
    // Inside, so that each sandbox has a process count of its own.
    ...limited(prlimit, spec, account === undefined && !countsByNamespace() ? ownUid() : undefined),
    ...program(spec),
  ];
  // Node drops supplementary groups, so an account that has some needs setpriv.
  const needsGroups = account !== undefined && account.groups.length > 0;
  const line = needsGroups ? [setpriv, ...accountArguments(account), '--', ...sandboxed] : sandboxed;
  return {
    ...gated(spec, line, SECCOMP_DESCRIPTOR + 1),
    ...marked(spec),
    account: needsGroups ? undefined : account,
    filter,
    killBy: 'namespace',
  };
}

function gated(
  spec: CommandSpec,
  line: readonly string[],
  descriptor: number,
): Pick<Launch, 'file' | 'args' | 'isGated'> {
  const isGated = needsGroup(spec.groupHome, spec.budget);
  const [file, ...args] = isGated ? [SHELL, '-c', gateScript(descriptor), 'fanout', ...line] : line;
  assert(file !== undefined, 'there is something to start');
  return { file, args, isGated };
}

function marked({ env, owner }: CommandSpec): Pick<Launch, 'env' | 'marker'> {
  const marker = [...(owner === undefined ? [] : [owner]), toHex(randomBytes(16))].join('-');
  return { env: { ...COMMAND_ENVIRONMENT, ...env, [MARKER_VARIABLE]: marker }, marker };
}

/** No sandbox, but the account, the limits, the environment and, where root can make one, a process namespace. */
function unconfined(spec: CommandSpec, account: RunAs | undefined): Launch | Refusal {
  const tools = findTools(['prlimit', 'setpriv', 'unshare', 'timeout']);
  if ('reason' in tools) return tools;
  const [prlimit, setpriv, unshare, timeout] = tools.paths as [string, string, string, string];
  const drop = [
    setpriv,
    ...(account === undefined || account.uid === 0 ? [] : accountArguments(account)),
    ...(account?.uid === 0 ? [] : ['--no-new-privs']),
    // Changing the account clears it, so it is asked for here: when the parent ends, so does this process.
    '--pdeathsig',
    'KILL',
    '--',
    ...limited(prlimit, spec, account?.uid ?? ownUid()),
  ];
  if (account !== undefined && canMakeNamespaces()) {
    const line = [
      // When the agent is killed, unshare is killed.
      ...[setpriv, '--pdeathsig', 'KILL', '--'],
      // When unshare is killed, process 1 of the namespace is killed, and with it all the others. Not a new /proc:
      // the command is to see the host.
      ...[unshare, '--pid', '--fork', '--kill-child', '--'],
      ...drop,
      // Process 1 must not be the program itself: there, SIGTERM and others would not work. This one passes them on.
      ...[timeout, '--foreground', '0'],
      ...program(spec),
    ];
    return unconfinedLaunch(spec, line, 'namespace');
  }
  return unconfinedLaunch(spec, [...drop, ...program(spec)], 'group');
}

function unconfinedLaunch(spec: CommandSpec, line: readonly string[], killBy: Launch['killBy']): Launch {
  const gate = gated(spec, line, STATUS_DESCRIPTOR);
  return { ...gate, ...marked(spec), account: undefined, filter: undefined, killBy };
}

function program(spec: CommandSpec): string[] {
  return [spec.path, ...spec.argv.slice(1)];
}

function limited(prlimit: string, spec: CommandSpec, sharedUid: number | undefined): string[] {
  return [prlimit, ...limitArguments(spec, sharedUid), '--'];
}

function ownUid(): number {
  return process.getuid?.() ?? 0;
}

function accountArguments(account: RunAs): string[] {
  const groups = account.groups.length > 0 ? `--groups=${account.groups.join(',')}` : '--clear-groups';
  return [`--reuid=${account.uid}`, `--regid=${account.gid}`, groups];
}

/** Debian's package of each program, for the hint. */
const PACKAGES: Readonly<Record<string, string>> = {
  bwrap: 'bubblewrap',
  prlimit: 'util-linux',
  setpriv: 'util-linux',
  unshare: 'util-linux',
  timeout: 'coreutils',
};

function findTools(names: readonly string[]): { readonly paths: readonly string[] } | Refusal {
  const paths: string[] = [];
  for (const name of names) {
    const found = resolveProgram(name, undefined);
    if ('reason' in found) {
      const missing = found.reason.startsWith('no program');
      return {
        reason: missing ? `${name} is not installed` : found.reason,
        hint: missing ? `apt-get install ${PACKAGES[name]}` : found.hint,
      };
    }
    paths.push(found.path);
  }
  return { paths };
}

function canMakeNamespaces(): boolean {
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
  return effective !== undefined && ((BigInt(`0x${effective}`) >> CAP_SYS_ADMIN) & 1n) === 1n;
}
