import type { Millis } from '../lib/time.ts';
import type { Allowances, Limits } from '../policy/policy.ts';
import type { GroupHome } from './group-home.ts';

/** From no isolation to most. What each contains is written down in sandbox.ts. */
export type SandboxProfile = 'none' | 'standard' | 'strict';

/** An account that a command runs as. */
export interface RunAs {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  /** Supplementary groups, such as systemd-journal for journalctl. */
  readonly groups: readonly number[];
}

/** Everything that is needed to run one command. Nothing in it is ever read by a shell. */
export interface CommandSpec {
  /** Absolute path of the program, as resolveProgram gave it. */
  readonly path: string;
  /** The argument vector, argv[0] included. The program itself sees `path` as its argv[0]. */
  readonly argv: readonly string[];
  readonly sandbox: SandboxProfile;
  readonly network: 'none' | 'host';
  /** Who the command runs as; undefined keeps the agent's own account, which must not be root. */
  readonly user: RunAs | undefined;
  /** Wall clock time from start to SIGTERM. */
  readonly timeoutMs: Millis;
  /** Bytes of stdout and stderr together that are passed on; one byte more ends the command. */
  readonly outputBytesMax: number;
  /**
   * Files and directories of the agent (keys, state) that must not be seen inside a sandbox. Needed when the agent
   * does not run as root, because the command then has the agent's own account.
   */
  readonly hidePaths?: readonly string[];
  /** The program's own folder, seen read-only where the sandbox would hide it. */
  readonly folder?: string;
  /** A line of the owner's own configuration, run in place of the program, without a sandbox and with the agent's rights. */
  readonly script?: CommandScript;
  /** Working directory, as the command sees it; the root directory unless it is given. */
  readonly cwd?: string;
  /** Variables beside the fixed environment, or in the place of one of them. */
  readonly env?: Readonly<Record<string, string>>;
  /** What is opened in the sandbox. Paths that `checkAllowances` has found to be what they seem. */
  readonly allowances?: Allowances;
  /** Undefined values are the node's own choice. */
  readonly budget?: Budget;
  /** The agent that starts it, as `ownerOf` names it: its successor ends what is left when it dies. */
  readonly owner?: string;
  /** Where control groups can be made. A budget of memory needs one. */
  readonly groupHome?: GroupHome;
}

/** The line of an event handler, ready to run. */
export interface CommandScript {
  /** What runs it. */
  readonly path: string;
  readonly line: string;
  readonly variables: Readonly<Record<string, string>>;
  readonly input: Uint8Array;
}

/** What all processes of a command together may use. */
export type Budget = Pick<Limits, 'cpuMs' | 'memoryBytes' | 'tasks'>;

/** How a command ended. */
export type CommandEnd =
  | {
      readonly kind: 'ended';
      /**
       * The exit code; null when `signal` is set. Where a sandbox stands between the agent and the program, a death
       * by signal n is seen as 128 + n and cannot be told from an exit with that number; `signal` is set there only
       * when fanout itself sent it.
       */
      readonly code: number | null;
      /** Name of the signal that ended the command, such as SIGKILL. */
      readonly signal: string | null;
      readonly cause: 'exit' | 'timeout' | 'output-limit' | 'cpu-limit' | 'memory-limit' | 'cancelled';
      /** How much it was allowed where it went beyond: bytes for output and memory, milliseconds for the processor. */
      readonly limit?: number;
      readonly durationMs: Millis;
      /** Bytes that were passed on. */
      readonly stdoutBytes: number;
      readonly stderrBytes: number;
    }
  | {
      /** Nothing of the program ran. */
      readonly kind: 'failed';
      readonly reason: string;
      readonly hint: string;
    };

/** Whether this machine can give a sandbox, found out by trying it. */
export interface SandboxAvailability {
  readonly profile: SandboxProfile;
  readonly available: boolean;
  /** What is missing; empty when nothing is. */
  readonly reason: string;
  /** The way out, for the person who runs the machine; empty when there is nothing to mend. */
  readonly fix: string;
}
