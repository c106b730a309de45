import { closeSync, constants, readdirSync, realpathSync, statSync } from 'node:fs';
import { join } from 'node:path';
import * as v from 'valibot';
import { openOwnedFile, quote, readOpenFile } from '../../identity/owned-file.ts';
import { utf8Text } from '../../lib/bytes.ts';
import { errnoOf, FanoutError, messageOf } from '../../lib/errors.ts';
import { type YamlPath, YamlSource } from '../../policy/yaml-source.ts';
import { isFileKey, type Said, settingsSchema } from './schema.ts';
import { IGNORED, settingRows } from './table.ts';

/** Far above every configuration that a person writes. */
const FILE_BYTES_MAX = 256 * 1024;
const FILES_MAX = 256;
const CONFIG_NAME = /\.(json|ya?ml)$/;
const SOURCE = { code: 'CONFIG', whenEmpty: undefined } as const;
/** Nobody but its owner and root may be able to write what decides what an agent does. */
const WRITABLE_BY_OTHERS = 0o022;
const READABLE_BY_OTHERS = 0o044;

export interface ConfigFile {
  readonly path: string;
  readonly said: Said;
  /** What whoever starts the agent should know about it. */
  readonly warnings: readonly string[];
}

/**
 * The configuration files of a path: the file itself, or of a folder those that end in .json, .yaml or .yml, by name and
 * not deeper, as Serf reads them. Throws FanoutError CONFIG with file, line, and the way out.
 */
export function readConfigPath(path: string): ConfigFile[] {
  if (!statOf(path).isDirectory()) return [readConfigFile(path)];
  const names = namesIn(path);
  if (names.length <= FILES_MAX) return names.map((name) => readConfigFile(join(path, name)));
  throw new FanoutError(
    'CONFIG',
    `${path} has ${names.length} configuration files, at most ${FILES_MAX} are read`,
    {
      hint: 'Is it the right folder?',
    },
  );
}

function namesIn(folder: string): string[] {
  try {
    const names = readdirSync(folder).filter((name) => CONFIG_NAME.test(name));
    return names.filter((name) => !statOf(join(folder, name)).isDirectory()).sort();
  } catch (error) {
    throw unreadable(folder, error);
  }
}

function statOf(path: string): ReturnType<typeof statSync> & {} {
  try {
    return statSync(path);
  } catch (error) {
    throw unreadable(path, error);
  }
}

function unreadable(path: string, error: unknown): FanoutError {
  if (error instanceof FanoutError) return error;
  const reason = errnoOf(error) === 'ENOENT' ? 'there is no such file or folder' : String(errnoOf(error));
  return new FanoutError('CONFIG', `cannot read the configuration ${path}: ${reason}`, {
    hint: `Look at: ls -ld ${quote(path)}`,
    cause: error,
  });
}

function readConfigFile(path: string): ConfigFile {
  const { text, mode } = readText(path);
  const source = new YamlSource(text, path, SOURCE);
  if (path.endsWith('.json')) checkJson(source, text);
  const { value, pathOf } = foldKeys(source);
  const result = v.safeParse(settingsSchema, value);
  if (!result.success) throw schemaError(source, result.issues, pathOf);
  return { path, said: result.output, warnings: warningsOf(path, mode, result.output) };
}

function readText(path: string): { text: string; mode: number } {
  // A link is followed once, to where its checks are made: mounted configuration is made of links.
  const real = realPathOf(path);
  const options = { flags: constants.O_RDONLY, forbidden: WRITABLE_BY_OTHERS, code: 'CONFIG' } as const;
  const file = openOwnedFile(real, options);
  if (file === undefined) throw unreadable(path, undefined);
  try {
    const text = utf8Text(readOpenFile(file, { from: 0, maxBytes: FILE_BYTES_MAX, code: 'CONFIG' }));
    if (text !== undefined) return { text, mode: file.stats.mode };
  } finally {
    closeSync(file.fd);
  }
  throw new FanoutError('CONFIG', `${path} is not text in UTF-8`, { hint: 'Is it a configuration file?' });
}

function realPathOf(path: string): string {
  try {
    return realpathSync(path);
  } catch (error) {
    throw unreadable(path, error);
  }
}

/** What our parser takes beyond JSON, no other reader of a .json file would. */
function checkJson(source: YamlSource, text: string): void {
  try {
    JSON.parse(text.replace(/^\uFEFF/, ''));
  } catch (cause) {
    const reason = messageOf(cause);
    throw source.error([], `not valid JSON: ${reason}`, { hint: 'For YAML, call the file .yaml.' });
  }
}

/** Serf takes its keys in any case. The keys as we know them, and for each path in them the one in the file. */
function foldKeys(source: YamlSource): { value: unknown; pathOf: (path: YamlPath) => YamlPath } {
  const { value } = source;
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return { value, pathOf: (path) => path };
  }
  const folded: Record<string, unknown> = Object.create(null);
  const written = new Map<string | number, string>();
  for (const [key, inside] of Object.entries(value)) {
    const name = isFileKey(key.toLowerCase()) ? key.toLowerCase() : key;
    const earlier = written.get(name);
    if (earlier !== undefined) {
      const hint = 'Of two values for one key only one could hold. Remove one.';
      throw source.error([key], `"${key}" and "${earlier}" are the same key`, { hint, atKey: true });
    }
    written.set(name, key);
    folded[name] = inside;
  }
  return {
    value: folded,
    pathOf: ([top, ...rest]) => (top === undefined ? [] : [written.get(top) ?? top, ...rest]),
  };
}

/** The problem that comes first in the file. */
function schemaError(
  source: YamlSource,
  issues: readonly v.BaseIssue<unknown>[],
  pathOf: (path: YamlPath) => YamlPath,
): FanoutError {
  const problems = issues.map((issue) => {
    const path: (string | number)[] = [];
    for (const { key } of issue.path ?? [])
      if (typeof key === 'string' || typeof key === 'number') path.push(key);
    return { path: pathOf(path), lines: issue.message.split('\n'), atKey: issue.expected === 'never' };
  });
  problems.sort((a, b) => source.offsetOf(a.path) - source.offsetOf(b.path));
  const { path, lines, atKey } = problems[0] ?? { path: [], lines: [], atKey: false };
  const [message = 'this is not a configuration', hint] = lines;
  const key = path.findLast((step) => typeof step === 'string');
  const said = atKey || key === undefined ? message : `${key}: ${message}`;
  return source.error(path, said, { atKey, ...(hint === undefined ? {} : { hint }) });
}

function warningsOf(path: string, mode: number, said: Said): string[] {
  const has = new Map<string, unknown>(Object.entries(said));
  const warnings: string[] = [];
  for (const [key, reason] of Object.entries(IGNORED)) {
    if (has.get(key) !== undefined)
      warnings.push(`${path}: ${key} is not supported and does nothing: ${reason}`);
  }
  if ((mode & READABLE_BY_OTHERS) === 0) return warnings;
  for (const { key, isSecret } of settingRows()) {
    if (isSecret !== true || has.get(key) === undefined) continue;
    warnings.push(`${path} holds ${key}, and others can read it. Run: chmod 600 ${quote(path)}`);
  }
  return warnings;
}
