import { closeSync, constants, realpathSync } from 'node:fs';
import * as v from 'valibot';
import { openOwnedFile, quote, readOpenFile } from '../identity/owned-file.ts';
import { utf8Text } from '../lib/bytes.ts';
import { codeOf, errnoOf, FanoutError } from '../lib/errors.ts';
import { configPath } from './paths.ts';

const FILE_BYTES_MAX = 64 * 1024;

const settingsSchema = v.strictObject({
  audit: v.optional(v.strictObject({ onFailure: v.optional(v.picklist(['refuse', 'warn']), 'refuse') }), {}),
  /** The operator's key: a private key file, or the .pub file of a key in ssh-agent. */
  identity: v.optional(v.pipe(v.string(), v.regex(/^(\/|~\/)./, 'must begin with / or ~/'))),
});

/** What an operator has set in ~/.config/fanout/config.yaml. */
export type Settings = v.InferOutput<typeof settingsSchema>;

/** The settings; without a file the defaults. Throws FanoutError CONFIG for a file that is not sound. */
export async function loadSettings(path: string = configPath('config.yaml')): Promise<Settings> {
  const text = readText(path);
  // Most have no such file, and need no parser.
  if (text === undefined || !/^[^\S\n]*[^\s#]/m.test(text)) return v.parse(settingsSchema, {});
  const result = v.safeParse(settingsSchema, await yamlValue(text, path));
  if (result.success) return result.output;
  const [issue] = result.issues;
  throw unsound(path, `${v.getDotPath(issue) ?? 'the file'}: ${issue.message}`);
}

/** The value of a text. What is wrong with it is an error in the settings here, not in a policy. */
async function yamlValue(text: string, path: string): Promise<unknown> {
  const { YamlSource } = await import('../policy/yaml-source.ts');
  try {
    return new YamlSource(text, path).value;
  } catch (error) {
    if (!(error instanceof FanoutError)) throw error;
    throw new FanoutError('CONFIG', error.message, { hint: HINT, cause: error });
  }
}

/** Undefined when there is none. It may be a link, as files of settings often are; what it leads to is what counts. */
function readText(path: string): string | undefined {
  const code = 'CONFIG';
  let real: string;
  try {
    real = realpathSync(path);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw unsound(path, `cannot be read: ${codeOf(error)}`);
  }
  const file = openOwnedFile(real, { flags: constants.O_RDONLY, forbidden: 0o022, code });
  if (file === undefined) return undefined;
  try {
    const text = utf8Text(readOpenFile(file, { from: 0, maxBytes: FILE_BYTES_MAX, code }));
    if (text === undefined) throw unsound(path, 'is not UTF-8 text');
    return text;
  } finally {
    closeSync(file.fd);
  }
}

const HINT = 'It may say "identity: ~/.ssh/id_ed25519", and "audit: { onFailure: refuse }" or warn.';

function unsound(path: string, what: string): FanoutError {
  return new FanoutError('CONFIG', `${path}: ${what}`, {
    hint: `${HINT} Look at: ${quote(path)}`,
  });
}
