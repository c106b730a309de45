import { dirname, resolve } from 'node:path';
import { findIdentity } from '../asker/operator-identity.ts';
import { configPath } from '../asker/paths.ts';
import { unsealed } from '../asker/unlock.ts';
import { noSuchKey, readKeyFile, rewriteKeyFile } from '../identity/operator-key.ts';
import { quote } from '../identity/owned-file.ts';
import { fingerprint, formatPublicLine, type PrivateKey } from '../identity/ssh-key.ts';
import { FanoutError } from '../lib/errors.ts';
import { safeJson, sanitiseText } from '../lib/sanitise.ts';
import { newPassphrase, onTerminal, type PassphraseTerminal } from './passphrase-terminal.ts';
import { formatTable } from './table.ts';

const PROTECTIONS = {
  none: 'none: whoever can read the file can sign',
  passphrase: 'a passphrase, asked for when it is used',
  'ssh-agent': 'kept by the ssh-agent',
} as const;

/** `fanout operator show`: which key would sign, why that one, and its public half. Nothing is asked for. */
export async function operatorShow(options: { identity?: string; format: string }): Promise<number> {
  const { chosenBy, file, protection, publicKey, comment } = await findIdentity(options);
  const shownComment = comment.replace(/\p{C}/gu, '?');
  const publicLine = formatPublicLine(publicKey, Buffer.byteLength(shownComment) > 256 ? '' : shownComment);
  const key = fingerprint(publicKey);
  if (options.format === 'json') {
    const facts = { file: file ?? null, chosenBy, protection, fingerprint: key, publicLine };
    process.stdout.write(`${safeJson(facts)}\n`);
    return 0;
  }
  const rows = [
    ['key', file ?? 'the only Ed25519 key in ssh-agent'],
    ['chosen by', chosenBy],
    ['protection', PROTECTIONS[protection]],
    ['fingerprint', key],
    ['public line', publicLine],
  ];
  process.stdout.write(`${formatTable(rows.map((row) => row.map(sanitiseText)))}\n`);
  return 0;
}

/** `fanout operator passphrase`: puts a key file under a passphrase, or another one, or with `--remove` under none. */
export async function operatorPassphrase(
  path: string = configPath('operator.key'),
  options: { remove?: boolean },
): Promise<number> {
  const file = readKeyFile(path);
  if (file === undefined) throw noSuchKey(path);
  if (file.kind === 'locked') {
    throw new FanoutError('KEY_INVALID', `${path} has OpenSSH's own passphrase`, {
      hint: `Change it with: ssh-keygen -p -f ${quote(path)}`,
    });
  }
  if (file.kind === 'open' && dirname(resolve(path)).endsWith('/.ssh')) {
    throw new FanoutError('USAGE', `${path} is a key of ssh, which could not read it any more`, {
      hint: `Give it OpenSSH's passphrase, and hand it to ssh-agent: ssh-keygen -p -f ${quote(path)}; ssh-add ${quote(path)}`,
    });
  }
  if (file.kind === 'open' && options.remove === true) {
    throw new FanoutError('USAGE', `${path} has no passphrase`);
  }
  await onTerminal(async (terminal) => {
    const key = file.kind === 'open' ? file.key : await opened(file.key, path, terminal);
    rewriteKeyFile(path, key, options.remove === true ? undefined : await newPassphrase(terminal));
  });
  const now = options.remove === true ? 'has no passphrase any more' : 'has the new passphrase';
  process.stderr.write(`${path} ${now}. The key is the same.\n`);
  return 0;
}

function opened(
  sealed: Parameters<typeof unsealed>[0],
  path: string,
  { ask, say }: PassphraseTerminal,
): Promise<PrivateKey> {
  return unsealed(sealed, path, { askPassphrase: ask, say: (text) => say(`fanout: ${text}`) });
}
