import { utf8 } from '../lib/bytes.ts';

const NAME_LENGTH_MAX = 180;

/**
 * A file name for a node, which can be called anything: letters, digits, dots, dashes and underscores stay, all else is
 * written as in a URL. Never empty, never a path, never hidden, and different names give different files.
 */
export function safeFileName(node: string): string {
  let name = '';
  for (const byte of utf8(node)) {
    const character = String.fromCharCode(byte);
    name += /[A-Za-z0-9._-]/.test(character)
      ? character
      : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  const visible = name.startsWith('.') ? `%2E${name.slice(1)}` : name;
  return visible === '' ? '%' : visible.slice(0, NAME_LENGTH_MAX);
}

/** File names for nodes, each its own also where the file system does not tell capitals apart. */
export class FileNames {
  private readonly used = new Set<string>();
  private readonly names = new Map<string, string>();

  of(node: string): string {
    const known = this.names.get(node);
    if (known !== undefined) return known;
    const base = safeFileName(node);
    let name = base;
    // A node may be called as another one's file with the exit code.
    const files = (): string[] => ['', '.rc', '.err'].map((suffix) => (name + suffix).toLowerCase());
    for (let i = 2; files().some((file) => this.used.has(file)); i++) name = `${base}~${i}`;
    for (const file of files()) this.used.add(file);
    this.names.set(node, name);
    return name;
  }
}
