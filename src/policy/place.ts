import { FanoutError } from '../lib/errors.ts';
import type { SourceError, YamlPath, YamlSource } from './yaml-source.ts';

/**
 * A value in a policy file, for errors about it: knows its line, and the rule or operator that it belongs to.
 */
export class Place {
  private readonly source: YamlSource;
  private readonly path: YamlPath;

  constructor(source: YamlSource, path: YamlPath = []) {
    this.source = source;
    this.path = path;
  }

  /** A place further inside. */
  at(...keys: YamlPath): Place {
    return new Place(this.source, [...this.path, ...keys]);
  }

  /** FanoutError POLICY_INVALID about this value, or about its key. */
  error(message: string, hint?: string, atKey = false): SourceError {
    return this.source.error(this.path, `${this.subject}${message}`, {
      atKey,
      ...(hint === undefined ? {} : { hint }),
    });
  }

  /** What a person calls this part of the file: `rule "health": `, `operator "alice": `. */
  get subject(): string {
    return subjectOf(this.source.value, this.path);
  }

  /** Runs something that reads the value here, and turns its complaint into one with file and line. */
  attempt<T>(make: () => T): T {
    try {
      return make();
    } catch (error) {
      if (!(error instanceof FanoutError)) throw error;
      // The lines behind the first one are an excerpt, and the error about the file shows its own.
      throw this.error(error.message.split('\n')[0] ?? '', error.hint);
    }
  }
}

function subjectOf(root: unknown, path: YamlPath): string {
  const [section, entry] = path;
  if (section === 'operators' && entry !== undefined) return `operator "${entry}": `;
  if (section === 'examples' && entry !== undefined) return `examples.${entry}: `;
  if (section === 'rules' && typeof entry === 'number') {
    const id = propertyOf(propertyOf(propertyOf(root, 'rules'), entry), 'id');
    return typeof id === 'string' ? `rule "${id}": ` : `rule ${entry + 1}: `;
  }
  return section === undefined || entry === undefined ? '' : `${section}: `;
}

function propertyOf(value: unknown, key: string | number): unknown {
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined;
  return (value as Record<string | number, unknown>)[key];
}
