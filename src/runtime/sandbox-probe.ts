import type { CommandEnd, CommandSpec, RunAs, SandboxAvailability, SandboxProfile } from './command-spec.ts';
import { sandboxHint } from './launcher-report.ts';
import { startCommand } from './process.ts';
import { resolveProgram } from './resolve-program.ts';
import { resolveUser } from './run-as.ts';

/** A sandbox is made in some 10 ms; a machine that needs this long for one cannot serve. */
const CANARY_TIMEOUT_MS = 10_000;
/** The longest thing a canary prints is the list of mounts. */
const CANARY_BYTES_MAX = 4 * 2 ** 20;
/** Process 1 of the namespace is bwrap's, the canary comes right after it. */
const CANARY_PID_MAX = 3;

/** A file that exists everywhere, and that no command may read unless it is root. */
const SECRET_FILE = '/etc/shadow';

/**
 * Finds out which sandboxes this machine can give, by making each and looking out of it: does it hold what it
 * promises? Takes some 30 ms for each profile; the caller keeps the answer. Commands whose sandbox is missing must be
 * refused and never be run in a weaker one. `hidePaths` as in CommandSpec.
 */
export async function probeSandboxes(
  hidePaths: readonly string[] = [],
): Promise<readonly SandboxAvailability[]> {
  return Promise.all([probe('strict', hidePaths), probe('standard', hidePaths), NO_SANDBOX]);
}

const NO_SANDBOX: SandboxAvailability = { profile: 'none', available: true, reason: '', fix: '' };

async function probe(profile: SandboxProfile, hidePaths: readonly string[]): Promise<SandboxAvailability> {
  const user = resolveUser(undefined);
  if (user !== undefined && 'reason' in user) return unavailable(profile, user.reason, user.hint);
  for (const canary of canaries(hidePaths)) {
    const program = resolveProgram(canary.argv[0] as string, undefined);
    if ('reason' in program) return unavailable(profile, program.reason, program.hint);
    const { end, stdout } = await run(profile, program.path, canary.argv, user, hidePaths);
    if (end.kind === 'failed') return unavailable(profile, end.reason, end.hint);
    const breach = canary.breach(end, stdout, profile);
    if (breach !== undefined) return unavailable(profile, `the sandbox does not hold: ${breach}`, HOLLOW_FIX);
  }
  return { profile, available: true, reason: '', fix: '' };
}

const HOLLOW_FIX = 'Do not use this machine for sandboxed commands; please report what it runs on.';

function unavailable(profile: SandboxProfile, reason: string, fix: string): SandboxAvailability {
  return { profile, available: false, reason, fix: fix === '' ? sandboxHint(reason) : fix };
}

interface Canary {
  readonly argv: readonly string[];
  /** What the outcome shows to be wrong, or undefined. */
  readonly breach: (end: Ended, stdout: string, profile: SandboxProfile) => string | undefined;
}

type Ended = Extract<CommandEnd, { kind: 'ended' }>;

function canaries(hidePaths: readonly string[]): Canary[] {
  return [
    { argv: ['cat', '/proc/self/status', '/proc/self/mountinfo'], breach: looseProcess },
    {
      argv: ['unshare', '--user', 'true'],
      breach: (end) => (end.code === 0 ? 'a new user namespace could be made inside' : undefined),
    },
    showsNothing(['cat', SECRET_FILE], `${SECRET_FILE} could be read`),
    showsNothing(['ls', '-A', '/run'], '/run of the host, where the sockets are, is visible'),
    // Of a directory `cat` shows nothing and of a file `ls` only its name, so both are tried.
    ...hidePaths.flatMap((path) => [
      showsNothing(['cat', path], `${path} could be read`),
      showsNothing(['ls', '-A', `${path}/`], `${path} could be listed`),
    ]),
  ];
}

/** Fails to show anything, whether it is hidden, forbidden or missing. */
function showsNothing(argv: readonly string[], breach: string): Canary {
  return { argv, breach: (_, stdout) => (stdout === '' ? undefined : breach) };
}

function looseProcess(end: Ended, stdout: string, profile: SandboxProfile): string | undefined {
  if (end.code !== 0) return `a first command ended with ${end.code ?? end.signal}`;
  const field = (name: string): string =>
    new RegExp(`^${name}:\\s*(.*)$`, 'm').exec(stdout)?.[1]?.trim() ?? 'missing';
  const ids = `${field('Uid')} ${field('Gid')}`.split(/\s+/);
  if (ids[0] === '0') return 'the command runs as root';
  if (field('NoNewPrivs') !== '1') return 'setuid programs would still gain privileges';
  if (field('Seccomp') !== '2') return 'the system call filter is not in place';
  if (!/^0+$/.test(field('CapEff')) || !/^0+$/.test(field('CapBnd'))) return 'the command has capabilities';
  // The last number is the one in the innermost namespace.
  const pid = Number(field('NSpid').split(/\s+/).at(-1));
  if (!(pid <= CANARY_PID_MAX)) return 'the command is in no process namespace of its own';
  const root = mountOptions(stdout, '/');
  if (root === undefined || !root.includes('ro')) return 'the root of the file system can be written';
  if (profile === 'standard' && mountOptions(stdout, '/run')?.includes('ro') !== true)
    return '/run is not covered';
  return undefined;
}

/** Options of the topmost mount at a place, from lines of /proc/self/mountinfo. */
function mountOptions(text: string, place: string): string[] | undefined {
  let options: string[] | undefined;
  for (const line of text.split('\n')) {
    const fields = line.split(' ');
    if (fields[4] === place) options = fields[5]?.split(',');
  }
  return options;
}

async function run(
  profile: SandboxProfile,
  path: string,
  argv: readonly string[],
  user: RunAs | undefined,
  hidePaths: readonly string[],
): Promise<{ end: CommandEnd; stdout: string }> {
  const spec: CommandSpec = {
    path,
    argv,
    sandbox: profile,
    network: 'none',
    user,
    timeoutMs: CANARY_TIMEOUT_MS,
    outputBytesMax: CANARY_BYTES_MAX,
    hidePaths,
  };
  const chunks: Uint8Array[] = [];
  const command = startCommand(spec, (stream, chunk) => {
    if (stream === 'stdout') chunks.push(chunk);
  });
  const end = await command.ended;
  return { end, stdout: Buffer.concat(chunks).toString('latin1') };
}
