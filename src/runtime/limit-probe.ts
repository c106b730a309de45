import type { CommandEnd, CommandSpec, SandboxAvailability, SandboxProfile } from './command-spec.ts';
import type { Controller, FoundGroups, GroupHome } from './group-home.ts';
import { startCommand } from './process.ts';
import { resolveProgram } from './resolve-program.ts';
import { resolveUser } from './run-as.ts';

const CANARY_TIMEOUT_MS = 10_000;
const CANARY_MEMORY_BYTES = 16 * 2 ** 20;
/** Takes four times of that at once. */
const MEMORY_CANARY = ['dd', 'if=/dev/zero', 'of=/dev/null', 'bs=64M', 'count=1'];
const CANARY_TASKS = 8;
/** Each of these waits for the next one, and their number is above the limit. */
const TASKS_CANARY = [...Array<string[]>(CANARY_TASKS + 4).fill(['timeout', '5'])].flat().concat('true');

/** Whether this machine can hold commands to a limit. */
export interface LimitAvailability {
  readonly limit: 'cpu' | 'memory' | 'tasks';
  readonly available: boolean;
  /** It holds for all processes of a command together, and not for each, or for all of an account. */
  readonly isForAll: boolean;
  /** How it is kept; where it is not, what is missing. */
  readonly reason: string;
  /** The way to more, for the person who runs the machine; empty when there is nothing to mend. */
  readonly fix: string;
}

/** Finds out how this machine keeps each limit, by running into those that control groups keep. */
export async function probeLimits(
  { home, missing }: FoundGroups,
  sandboxes: readonly SandboxAvailability[],
): Promise<readonly LimitAvailability[]> {
  const sandbox = sandboxes.find(({ available }) => available)?.profile ?? 'none';
  const [memory, tasks] = await Promise.all([memoryProblem(home, sandbox), tasksProblem(home, sandbox)]);
  const fallback = (
    limit: 'cpu' | 'tasks',
    controller: Controller,
    otherwise: string,
    problem = '',
  ): LimitAvailability => {
    const lacking = missing[controller];
    const why = problem === '' ? (lacking?.reason ?? '') : problem;
    return why === '' && home[controller] !== undefined
      ? { limit, available: true, isForAll: true, reason: kept(home, controller), fix: '' }
      : { limit, available: true, isForAll: false, reason: `${otherwise}: ${why}`, fix: lacking?.hint ?? '' };
  };
  return [
    fallback('cpu', 'cpu', 'of each process'),
    home.memory !== undefined && memory === ''
      ? { limit: 'memory', available: true, isForAll: true, reason: kept(home, 'memory'), fix: '' }
      : {
          limit: 'memory',
          available: false,
          isForAll: false,
          reason: memory === '' ? (missing.memory?.reason ?? '') : memory,
          fix:
            missing.memory?.hint ??
            'Leave "memory" out of the rules, or mend the control groups of this machine.',
        },
    fallback('tasks', 'pids', 'counted by account', tasks),
  ];
}

function kept(home: GroupHome, controller: Controller): string {
  return `control group, version ${home[controller]?.version ?? '?'}`;
}

async function memoryProblem(home: GroupHome, sandbox: SandboxProfile): Promise<string> {
  if (home.memory === undefined) return '';
  const budget = { memoryBytes: CANARY_MEMORY_BYTES, cpuMs: undefined, tasks: undefined };
  const end = await run(MEMORY_CANARY, { sandbox, groupHome: home, budget });
  if (end.kind === 'failed') return end.reason;
  return end.cause === 'memory-limit' ? '' : 'a command that used too much was not stopped';
}

async function tasksProblem(home: GroupHome, sandbox: SandboxProfile): Promise<string> {
  if (home.pids === undefined) return '';
  const budget = { tasks: CANARY_TASKS, cpuMs: undefined, memoryBytes: undefined };
  const end = await run(TASKS_CANARY, { sandbox, groupHome: home, budget });
  if (end.kind === 'failed') return end.reason;
  return end.code === 0 ? 'a command that made too many was not stopped' : '';
}

async function run(
  argv: readonly string[],
  how: Pick<CommandSpec, 'sandbox' | 'groupHome' | 'budget'>,
): Promise<CommandEnd> {
  const program = resolveProgram(argv[0] ?? '', undefined);
  if ('reason' in program) return { kind: 'failed', ...program };
  const user = resolveUser(undefined);
  if (user !== undefined && 'reason' in user) return { kind: 'failed', ...user };
  const spec = { path: program.path, argv, network: 'none', user, ...how } as const;
  return startCommand({ ...spec, timeoutMs: CANARY_TIMEOUT_MS, outputBytesMax: 4096 }, () => {}).ended;
}
