import { readFileSync } from 'node:fs';
import * as v from 'valibot';
import { errnoOf, quote } from '../identity/owned-file.ts';
import { FanoutError } from '../lib/errors.ts';
import { configPath } from './paths.ts';

const FILE_BYTES_MAX = 64 * 1024;

const settingsSchema = v.strictObject({
  audit: v.optional(v.strictObject({ onFailure: v.optional(v.picklist(['refuse', 'warn']), 'refuse') }), {}),
});

/** What an operator has set in ~/.config/fanout/config.yaml. */
export type Settings = v.InferOutput<typeof settingsSchema>;

/** The settings; without a file the defaults. Throws FanoutError CONFIG for a file that is not sound. */
export async function loadSettings(path: string = configPath('config.yaml')): Promise<Settings> {
  let text: string;
  try {
    const bytes = readFileSync(path);
    if (bytes.length > FILE_BYTES_MAX) throw unsound(path, `is larger than ${FILE_BYTES_MAX} bytes`);
    text = bytes.toString('utf8');
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return v.parse(settingsSchema, {});
    if (error instanceof FanoutError) throw error;
    throw unsound(path, `cannot be read: ${errnoOf(error) ?? String(error)}`);
  }
  // Most have no such file, and need no parser.
  const { YamlSource } = await import('../policy/yaml-source.ts');
  const source = new YamlSource(text, path);
  const result = v.safeParse(settingsSchema, source.value ?? {});
  if (result.success) return result.output;
  const [issue] = result.issues;
  throw unsound(path, `${v.getDotPath(issue) ?? 'the file'}: ${issue.message}`);
}

function unsound(path: string, what: string): FanoutError {
  return new FanoutError('CONFIG', `${path}: ${what}`, {
    hint: `It may say "audit: { onFailure: refuse }" or warn. Look at: ${quote(path)}`,
  });
}
