import { FanoutError } from '../lib/errors.ts';

/** The tags of repeated `--tag name=value`, of which the last of a name counts. Throws FanoutError USAGE. */
export function tagValues(texts: readonly string[] = []): Map<string, string> {
  const tags = new Map<string, string>();
  for (const text of texts) {
    const at = text.indexOf('=');
    if (at < 1) {
      throw new FanoutError('USAGE', `--tag ${text}: not of the form name=value`, {
        hint: 'Write --tag role=web.',
      });
    }
    tags.set(text.slice(0, at), text.slice(at + 1));
  }
  return tags;
}
