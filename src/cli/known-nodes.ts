import { join } from 'node:path';
import { loadKnownHeads, withOperatorLog } from '../asker/operator-log.ts';
import { configPath } from '../asker/paths.ts';
import { escapeName, type KnownNode, KnownNodes } from '../identity/known-nodes.ts';
import { quote } from '../identity/owned-file.ts';
import { FanoutError } from '../lib/errors.ts';
import { safeJson, sanitiseText } from '../lib/sanitise.ts';
import { formatTable } from './table.ts';

/** `fanout known-nodes`: the node keys that this operator has met, or an agent of this machine. */
export async function listKnownNodes(options: { format: string; dataDir?: string }): Promise<number> {
  const nodes = KnownNodes.inspect(fileOf(options.dataDir)).list();
  if (options.format === 'json') {
    process.stdout.write(`${safeJson(nodes)}\n`);
    return 0;
  }
  if (nodes.length === 0) {
    process.stderr.write('fanout: no node is known yet; each is pinned when it answers for the first time\n');
    return 0;
  }
  const rows = nodes.map((node) => [...shown(node), node.firstSeen === '' ? '-' : node.firstSeen]);
  process.stdout.write(`${formatTable([['NAME', 'ENV', 'FINGERPRINT', 'FIRST SEEN'], ...rows])}\n`);
  return 0;
}

/**
 * `fanout known-nodes forget`: ends the pins of nodes, so that the key which each shows next is taken, and with them how far
 * their audit logs had come. Throws FanoutError NO_MATCH when none of them is known.
 */
export async function forgetKnownNodes(
  names: readonly string[],
  options: { env?: string; format: string; dataDir?: string },
): Promise<number> {
  const { dataDir, env, format } = options;
  const known = KnownNodes.inspect(fileOf(dataDir));
  const gone: KnownNode[] = [];
  const missing: string[] = [];
  const forget = (forgotten: (pin: KnownNode) => void): void => {
    for (const name of new Set(names)) {
      const pins = known.forget(name, env);
      gone.push(...pins);
      if (pins.length === 0) missing.push(name);
      for (const pin of pins) forgotten(pin);
    }
  };
  if (dataDir !== undefined) forget(() => {});
  else {
    await withOperatorLog(() => {
      // Read before anything is forgotten: when it is broken, the same command does it all once it is mended.
      const heads = loadKnownHeads();
      forget(({ node, environment }) => heads.accept(environment, node));
    });
  }
  if (format === 'json') process.stdout.write(`${safeJson({ forgotten: gone, missing })}\n`);
  else for (const pin of gone) process.stdout.write(`forgotten: ${shown(pin).join(' ')}\n`);
  if (missing.length === 0) return 0;
  const where = env === undefined ? '' : ` in ${env}`;
  const what = `no key is pinned for ${missing.join(', ')}${where}`;
  if (gone.length === 0) {
    const list = dataDir === undefined ? '' : ` --data-dir ${quote(dataDir)}`;
    throw new FanoutError('NO_MATCH', what, { hint: `See which are, with: fanout known-nodes${list}` });
  }
  process.stderr.write(`fanout: ${sanitiseText(what)}\n`);
  return 0;
}

function fileOf(dataDir: string | undefined): string {
  return dataDir === undefined ? configPath('known_nodes') : join(dataDir, 'known_nodes');
}

/** Names as the file has them, in which nothing is hidden, so that they can be given back to `forget`. */
function shown({ node, environment, fingerprint }: KnownNode): string[] {
  return [escapeName(node), escapeName(environment), fingerprint].map(sanitiseText);
}
