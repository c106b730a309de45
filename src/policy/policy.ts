import type { Matcher } from './glob.ts';
import type { Grammar } from './grammar.ts';
import type { Selector } from './selector.ts';

/** How far a command is locked in. A node never falls back to a weaker one than the rule lists. */
export type SandboxProfile = 'none' | 'standard' | 'strict';

/** A person whose signed commands this policy considers. */
export interface Operator {
  /** Raw Ed25519 public key, 32 bytes. */
  readonly key: Uint8Array;
  readonly groups: readonly Membership[];
  /**
   * The first moment at which the key is no longer accepted (the end of `notAfter`, UTC), or undefined for
   * never.
   */
  readonly notAfterUnixMs: number | undefined;
}

/** An operator's place in a group. */
export interface Membership {
  readonly group: string;
  /** The first moment (UTC) at which it is over, or undefined for never. */
  readonly notAfterUnixMs: number | undefined;
}

/** What a command may use. What is undefined is the node's own choice. */
export interface Limits {
  /** Wall-clock time. */
  readonly timeoutMs: number;
  /** Both streams together. */
  readonly outputBytes: number;
  /** Commands of this rule at the same time on one node. */
  readonly concurrency: number;
  /** Processor time in milliseconds: of all processes where the machine has cgroups, else of each. */
  readonly cpuMs: number | undefined;
  /** Memory of all processes together. A machine that cannot hold them to it refuses. */
  readonly memoryBytes: number | undefined;
  /** Processes and threads at the same time. */
  readonly tasks: number | undefined;
  /** Starts of this rule on one node. */
  readonly rate: Rate | undefined;
}

/** So many in each stretch of time. */
interface Rate {
  readonly count: number;
  readonly perMs: number;
}

/** What a rule opens in its sandbox. Absolute, canonical paths, as the policy wrote them. */
export interface Allowances {
  /** Seen read-only, in `strict` or where `standard` covers it. */
  readonly read: readonly string[];
  readonly write: readonly string[];
  /** Unix sockets. */
  readonly sockets: readonly string[];
}

/** Who else has to sign a command before it runs. */
export interface ApprovalNeed {
  readonly need: number;
  /** Names and `group:NAME`. */
  readonly from: readonly string[];
}

/** Whose rights a command has, and what it finds around it. */
export interface Surroundings {
  /** Who runs it; undefined leaves the choice to the node, which never takes root. */
  readonly user: string | undefined;
  /** Supplementary groups of the account, beside those that the machine gives it. */
  readonly groups: readonly string[];
  /** Working directory; undefined for the root directory. */
  readonly cwd: string | undefined;
  /** Beside the fixed environment. */
  readonly env: ReadonlyMap<string, string>;
  /** In order of preference. */
  readonly sandboxes: readonly SandboxProfile[];
  readonly network: 'none' | 'host';
  readonly allowances: Allowances;
  readonly limits: Limits;
}

/** When a rule applies. All conditions have to hold; one that is absent always holds. */
export interface Conditions {
  /** Names and `group:NAME`. */
  readonly operators: readonly string[] | undefined;
  /** The node's own tags: each has to exist and match one of its patterns. */
  readonly tags: ReadonlyMap<string, readonly Pattern[]>;
  /** The node's own name and tags, in the selector language. */
  readonly select: Selector | undefined;
}

/** A compiled pattern that remembers its text. */
export interface Pattern {
  readonly text: string;
  readonly matches: Matcher;
}

/** One program and the arguments that it may get. */
export interface AllowedCommand {
  readonly program: string;
  /** The only file that may be started under this name, or undefined to search the fixed path. */
  readonly path: string | undefined;
  readonly grammar: Grammar;
}

export interface AllowRule {
  readonly effect: 'allow';
  readonly id: string;
  readonly why: string | undefined;
  readonly conditions: Conditions;
  /** What it allows changes nothing: runs on many nodes need no confirmation. */
  readonly readOnly: boolean;
  readonly commands: readonly AllowedCommand[];
  readonly surroundings: Surroundings;
  readonly approvals: ApprovalNeed | undefined;
  /** Why the author takes the risk that the lint sees in this rule, or in the defaults that it takes. */
  readonly dangerous: string | undefined;
}

export interface DenyRule {
  readonly effect: 'deny';
  readonly id: string;
  readonly why: string | undefined;
  readonly conditions: Conditions;
  /** Base names of programs. */
  readonly programs: readonly Pattern[];
  /** Any argument. Either list alone is enough to deny. */
  readonly anyArg: readonly Pattern[];
}

export type Rule = AllowRule | DenyRule;

/** A query that a node answers, when a handler for it is there. */
export interface QueryRule {
  readonly name: string;
  /** Names and `group:NAME` of those whose signed question is answered; undefined for every member's, signed or not. */
  readonly operators: readonly string[] | undefined;
  /** The policy's defaults: what a handler that answers it may use. */
  readonly surroundings: Surroundings;
}

/** A policy file, checked and compiled. Nothing in it changes; a new file makes a new one. */
export interface Policy {
  /** As it was named when it was loaded. */
  readonly file: string;
  /** SHA-256 of the text, in hexadecimal. */
  readonly hash: string;
  readonly environment: string;
  /** Empty when the policy names none. */
  readonly cluster: string;
  readonly operators: ReadonlyMap<string, Operator>;
  readonly rules: readonly Rule[];
  readonly queries: readonly QueryRule[];
  /** How long a signed command may be valid. */
  readonly maxTtlSeconds: number;
  /** The same for one that others have countersigned: people need longer than machines. */
  readonly maxTtlApprovedSeconds: number;
  /** How far the clocks of an operator's machine and of this node may differ. */
  readonly clockSkewSeconds: number;
}
