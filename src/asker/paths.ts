import { homedir } from 'node:os';
import { join } from 'node:path';

/** Where an operator's files are: $XDG_CONFIG_HOME/fanout, else ~/.config/fanout. */
export function configPath(name: string): string {
  const config = process.env.XDG_CONFIG_HOME;
  const base = config?.startsWith('/') === true ? config : join(homedir(), '.config');
  return join(base, 'fanout', name);
}

/** Where an operator's records are: $XDG_STATE_HOME/fanout, else ~/.local/state/fanout. */
export function statePath(name: string): string {
  const state = process.env.XDG_STATE_HOME;
  const base = state?.startsWith('/') === true ? state : join(homedir(), '.local', 'state');
  return join(base, 'fanout', name);
}

/** Where an agent keeps its node key and audit log when it was not told: a folder of the node's name. */
export function dataDir(node: string): string {
  const folder = encodeURIComponent(node);
  if (process.getuid?.() === 0) return join('/var/lib/fanout', folder);
  return statePath(folder);
}
