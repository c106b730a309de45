import { readFileSync } from 'node:fs';
import type { RunAs } from './command-spec.ts';
import type { Refusal } from './refusal.ts';

/** Accounts for commands whose policy names none, best first: one made for fanout shares its files with nobody. */
const DEFAULT_ACCOUNTS = ['fanout-run', 'nobody'];

/** The texts that say which accounts exist; a test hands in its own. */
export interface Accounts {
  readonly passwd: string;
  readonly group: string;
  /** The account of the agent itself. */
  readonly ownUid: number;
}

/**
 * Who a command runs as. An agent of root runs it as the named user, else as fanout-run, else as nobody. Any other
 * agent cannot change accounts: undefined means "as the agent", and another user's name is refused.
 */
export function resolveUser(
  name: string | undefined,
  accounts = systemAccounts(),
): RunAs | Refusal | undefined {
  const { passwd, ownUid } = accounts;
  if (ownUid !== 0) {
    if (name === undefined || parseAccount(passwd, name)?.uid === ownUid) return undefined;
    return {
      reason: `the rule runs commands as user "${name}", but this agent runs as uid ${ownUid} and cannot change users`,
      hint: 'Run the agent as root, or leave "user" out of the rule.',
    };
  }
  for (const candidate of name === undefined ? DEFAULT_ACCOUNTS : [name]) {
    const account = parseAccount(passwd, candidate);
    if (account !== undefined) {
      return { name: candidate, ...account, groups: groupsOf(accounts.group, candidate, account.gid) };
    }
  }
  if (name === undefined) {
    return {
      reason: `neither user "${DEFAULT_ACCOUNTS.join('" nor "')}" exists in /etc/passwd`,
      hint: 'Make one: useradd --system --no-create-home --shell /usr/sbin/nologin fanout-run',
    };
  }
  return {
    reason: `user "${name}" of the rule is not in /etc/passwd`,
    hint: `Make the account, or correct "user" in the policy. Accounts of a directory service are not looked up.`,
  };
}

/**
 * As `resolveUser`, with more supplementary groups, by the names in /etc/group. The group of root is refused: what it may
 * write, an agent takes for safe.
 */
export function resolveRunAs(
  wanted: { readonly user: string | undefined; readonly groups: readonly string[] },
  accounts = systemAccounts(),
): RunAs | Refusal | undefined {
  const user = resolveUser(wanted.user, accounts);
  if (wanted.groups.length === 0 || (user !== undefined && 'reason' in user)) return user;
  if (user === undefined) {
    return {
      reason: `the rule asks for groups (${wanted.groups.join(', ')}), but this agent runs as uid ${accounts.ownUid} and cannot give any`,
      hint: 'Run the agent as root, or make its account a member of them and leave "groups" out of the rule.',
    };
  }
  const groups = new Set(user.groups);
  for (const name of wanted.groups) {
    const id = groupId(accounts.group, name);
    if (id === undefined) {
      return {
        reason: `group "${name}" of the rule is not in /etc/group`,
        hint: 'Make the group, or correct "groups" in the policy. Groups of a directory service are not looked up.',
      };
    }
    if (id === 0) {
      return {
        reason: `group "${name}" of the rule is the group of root, which no command gets`,
        hint: 'Give the files that it needs to another group.',
      };
    }
    if (id !== user.gid) groups.add(id);
  }
  return { ...user, groups: [...groups] };
}

function groupId(group: string, name: string): number | undefined {
  for (const line of group.split('\n')) {
    const fields = line.split(':');
    if (fields[0] === name && fields.length === 4) return parseId(fields[2]);
  }
  return undefined;
}

function systemAccounts(): Accounts {
  return {
    passwd: textOf('/etc/passwd'),
    group: textOf('/etc/group'),
    ownUid: process.getuid?.() ?? 0,
  };
}

function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    // Without the file there are no accounts, and every user is refused by name.
    return '';
  }
}

/** uid and gid of an account; undefined when it is missing or its line is broken. The first line wins, as in libc. */
function parseAccount(passwd: string, name: string): { uid: number; gid: number } | undefined {
  for (const line of passwd.split('\n')) {
    const fields = line.split(':');
    if (fields[0] !== name || fields.length !== 7) continue;
    const uid = parseId(fields[2]);
    const gid = parseId(fields[3]);
    return uid === undefined || gid === undefined ? undefined : { uid, gid };
  }
  return undefined;
}

/** The groups whose member lists name the account, without its primary group. */
function groupsOf(group: string, name: string, gid: number): number[] {
  const groups = new Set<number>();
  for (const line of group.split('\n')) {
    const [, , number, members] = line.split(':');
    const id = parseId(number);
    if (id !== undefined && id !== gid && members?.split(',').includes(name) === true) groups.add(id);
  }
  return [...groups];
}

/** The largest id: the kernel keeps 2^32 - 1 for "no change". */
const ID_MAX = 2 ** 32 - 2;

function parseId(text: string | undefined): number | undefined {
  if (text === undefined || !/^\d{1,10}$/.test(text)) return undefined;
  const id = Number(text);
  return id <= ID_MAX ? id : undefined;
}
