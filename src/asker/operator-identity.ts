import { homedir } from 'node:os';
import { join } from 'node:path';
import {
  type KeyFile,
  localKey,
  noSuchKey,
  type OperatorKey,
  readKeyFile,
  readPublicKeyFile,
} from '../identity/operator-key.ts';
import { quote } from '../identity/owned-file.ts';
import type { AgentIdentity } from '../identity/ssh-agent-messages.ts';
import { fingerprint } from '../identity/ssh-key.ts';
import { equalBytes } from '../lib/bytes.ts';
import { FanoutError } from '../lib/errors.ts';
import { agentIdentities, agentKey } from './agent-key.ts';
import { configPath } from './paths.ts';
import { loadSettings } from './settings.ts';
import { type Unlocking, unsealed } from './unlock.ts';

/** Which key is meant, and how a person may be spoken to. */
export interface IdentityOptions extends Unlocking {
  /** What -i says. */
  readonly identity?: string | undefined;
}

/** Nobody has named a key, and there is none where one would be. */
export class NoOperatorKey extends FanoutError {
  constructor(message: string, hint: string) {
    super('KEY_INVALID', message, { hint });
  }
}

/** Where the key of an operator is, before anybody was asked for anything. */
export interface FoundIdentity {
  /** What chose it: `-i`, `FANOUT_IDENTITY`, the path of the settings, or `default`. */
  readonly chosenBy: string;
  /** The file that was named or found; undefined for a key that only the agent knows. */
  readonly file: string | undefined;
  readonly protection: 'none' | 'passphrase' | 'ssh-agent';
  readonly publicKey: Uint8Array;
  /** Of the file, or what the agent says. */
  readonly comment: string;
  /** The key, ready to sign. Asks for the passphrase when there is one. Rejects with FanoutError KEY_INVALID. */
  open(how: Unlocking): Promise<OperatorKey>;
}

/**
 * The operator's key, ready to sign: as -i says, else FANOUT_IDENTITY, else `identity` in the settings, else the first of
 * operator.key in fanout's folder, ~/.ssh/id_ed25519, and the only Ed25519 key in ssh-agent. Throws FanoutError, which is
 * NoOperatorKey when there is none at all.
 */
export async function openIdentity(options: IdentityOptions): Promise<OperatorKey> {
  return (await findIdentity(options)).open(options);
}

/** Which key that is, from where, and its public half. Asks for no passphrase. Throws FanoutError as `openIdentity`. */
export async function findIdentity(options: Pick<IdentityOptions, 'identity'>): Promise<FoundIdentity> {
  const { FANOUT_IDENTITY: named } = process.env;
  if (options.identity !== undefined) return atPath(options.identity, '-i');
  if (named !== undefined && named !== '') return atPath(named, 'FANOUT_IDENTITY');
  const { identity } = await loadSettings();
  if (identity !== undefined) return atPath(expanded(identity), configPath('config.yaml'));
  return byDefault();
}

async function byDefault(): Promise<FoundIdentity> {
  const own = configPath('operator.key');
  for (const path of [own, join(homedir(), '.ssh', 'id_ed25519')]) {
    const file = readKeyFile(path);
    if (file !== undefined) return ofKeyFile(file, path, 'default');
  }
  const socket = agentSocket();
  if (socket === undefined) {
    throw new NoOperatorKey(
      `there is no operator key ${own}, no ~/.ssh/id_ed25519 and no ssh-agent`,
      'Make one with: fanout operator keygen --name YOU --passphrase, or name one with -i FILE.',
    );
  }
  const held = (await agentIdentities(socket)).filter(isUsable);
  const lines = ['id_ed25519.pub', 'id_ed25519_sk.pub'].map((name) =>
    readPublicKeyFile(join(homedir(), '.ssh', name)),
  );
  const meant = held.filter(({ publicKey }) =>
    lines.some((line) => line !== undefined && equalBytes(publicKey, line.key)),
  );
  const [only, ...others] = meant.length > 0 ? meant : held;
  if (only === undefined) throw nothingInAgent(own, socket);
  if (others.length > 0) throw severalInAgent(socket, held);
  return inAgent(socket, only, undefined, 'default');
}

async function atPath(path: string, chosenBy: string): Promise<FoundIdentity> {
  if (!path.endsWith('.pub')) {
    const file = readKeyFile(path);
    if (file === undefined) throw noSuchKey(path);
    return ofKeyFile(file, path, chosenBy);
  }
  const line = readPublicKeyFile(path);
  if (line === undefined) {
    throw new FanoutError('KEY_INVALID', `there is no public key file ${path}`, {
      hint: 'Name a private key file, or the .pub file of a key that your ssh-agent holds.',
    });
  }
  return throughAgent(line.key, path, chosenBy, path.slice(0, -'.pub'.length));
}

async function ofKeyFile(file: KeyFile, path: string, chosenBy: string): Promise<FoundIdentity> {
  if (file.kind === 'locked') return throughAgent(file.publicKey, path, chosenBy, path);
  const { publicKey, comment } = file.key;
  const facts = { chosenBy, file: path, publicKey, comment };
  if (file.kind === 'sealed') {
    const sealed = file.key;
    return {
      ...facts,
      protection: 'passphrase',
      open: async (how) => localKey(await unsealed(sealed, path, how)),
    };
  }
  const key = localKey(file.key);
  return { ...facts, protection: 'none', open: async () => key };
}

/** The agent must hold the key that a file names. */
async function throughAgent(
  publicKey: Uint8Array,
  path: string,
  chosenBy: string,
  secretPath: string,
): Promise<FoundIdentity> {
  const key = fingerprint(publicKey);
  const socket = agentSocket();
  const hint = `Run: ssh-add ${quote(secretPath)}`;
  if (socket === undefined) {
    throw new FanoutError(
      'KEY_INVALID',
      `${path}: only an ssh-agent can sign with ${key}, and SSH_AUTH_SOCK names none`,
      { hint: `${hint} (start an agent first, with: eval "$(ssh-agent)")` },
    );
  }
  const held = (await agentIdentities(socket)).filter(isUsable);
  const identity = held.find((one) => equalBytes(one.publicKey, publicKey));
  if (identity !== undefined) return inAgent(socket, identity, path, chosenBy);
  throw new FanoutError('KEY_INVALID', `${path}: the ssh-agent does not hold ${key}`, { hint });
}

type UsableIdentity = AgentIdentity & { readonly publicKey: Uint8Array };

function isUsable(identity: AgentIdentity): identity is UsableIdentity {
  return identity.publicKey !== undefined;
}

function inAgent(
  socket: string,
  { publicKey, comment }: UsableIdentity,
  file: string | undefined,
  chosenBy: string,
): FoundIdentity {
  return {
    chosenBy,
    file,
    protection: 'ssh-agent',
    publicKey,
    comment,
    open: async ({ say }) => agentKey({ socket, publicKey, name: comment, say: (text) => say?.(text) }),
  };
}

function agentSocket(): string | undefined {
  const { SSH_AUTH_SOCK: socket } = process.env;
  return socket === undefined || socket === '' ? undefined : socket;
}

/** A path of the settings, in which no shell has resolved the tilde. */
function expanded(path: string): string {
  return path.startsWith('~/') ? join(homedir(), path.slice(2)) : path;
}

function nothingInAgent(own: string, socket: string): NoOperatorKey {
  return new NoOperatorKey(
    `there is no operator key ${own} and no ~/.ssh/id_ed25519, and the ssh-agent at ${socket} holds no Ed25519 key`,
    'RSA and ECDSA keys are not taken. Make one with: fanout operator keygen --name YOU, or add ' +
      'one with ssh-add.',
  );
}

function severalInAgent(socket: string, held: readonly AgentIdentity[]): FanoutError {
  const list = held.map(({ fingerprint: key, comment }) => `  ${key} ${comment.replace(/\p{C}/gu, '?')}`);
  return new FanoutError(
    'KEY_INVALID',
    `the ssh-agent at ${socket} holds ${held.length} Ed25519 keys, and nothing says which is meant:\n${list.join('\n')}`,
    {
      hint:
        'Name the .pub file of one (ssh-add -L prints them): -i FILE.pub, FANOUT_IDENTITY, or "identity: FILE.pub" in ' +
        configPath('config.yaml'),
    },
  );
}
