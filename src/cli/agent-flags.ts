import { Option } from 'commander';
import * as v from 'valibot';
import { type Said, settingsSchema } from '../agent/settings/schema.ts';
import { settingRows } from '../agent/settings/table.ts';
import { FanoutError } from '../lib/errors.ts';
import { tagValues } from './tag-values.ts';

/** What the flags say, in the words of a configuration file. `options` is as commander gives it. Throws FanoutError USAGE. */
export function saidByFlags(options: Readonly<Record<string, unknown>>, env: NodeJS.ProcessEnv): Said {
  const raw: Record<string, unknown> = {};
  const mdns: Record<string, unknown> = {};
  const flags = new Map<string, string>();
  for (const { key, flag, kind } of settingRows()) {
    if (flag === undefined) continue;
    const option = new Option(flag);
    const value = options[option.attributeName()];
    if (value === undefined) continue;
    flags.set(key, option.long ?? flag);
    const [section, inside] = key.split('.');
    if (section === 'mdns' && inside !== undefined) mdns[inside] = rawValue(kind, value);
    else raw[key] = rawValue(kind, value);
  }
  if (Object.keys(mdns).length > 0) Object.assign(raw, { mdns });
  const result = v.safeParse(settingsSchema, raw);
  if (!result.success) throw flagError(result.issues[0], flags);
  return withJoin(result.output, env);
}

function rawValue(kind: ReturnType<typeof settingRows>[number]['kind'], value: unknown): unknown {
  if (kind === 'off') return value !== true;
  if (kind === 'count')
    return typeof value === 'string' && /^\d{1,15}$/.test(value) ? Number(value) : Number.NaN;
  if (kind !== 'map' || !Array.isArray(value)) return value;
  return Object.fromEntries(tagValues(value.map(String)));
}

function flagError(issue: v.BaseIssue<unknown>, flags: ReadonlyMap<string, string>): FanoutError {
  const path = (issue.path ?? []).map(({ key }) => String(key));
  const key: string = path[0] === 'mdns' ? path.slice(0, 2).join('.') : (path[0] ?? '');
  const [message = 'cannot be used', hint] = issue.message.split('\n');
  return new FanoutError('USAGE', `${flags.get(key) ?? key}: ${message}`, {
    hint: hint ?? 'See: fanout help agent',
  });
}

/** A container is told whom to join by its environment. */
function withJoin(said: Said, env: NodeJS.ProcessEnv): Said {
  const told = (env.FANOUT_JOIN ?? '')
    .split(',')
    .map((address) => address.trim())
    .filter((address) => address !== '');
  return told.length === 0 ? said : { ...said, start_join: [...(said.start_join ?? []), ...told] };
}
