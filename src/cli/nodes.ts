import { agentAddress, connectAgent } from '../asker/connect.ts';
import { targetsOf } from '../asker/select.ts';
import { foldNames } from '../lib/node-set.ts';
import { safeJson, sanitiseText } from '../lib/sanitise.ts';
import { selectorText } from '../policy/selector.ts';
import { type RunOptions, selectionOf } from './run-flags.ts';

/** `fanout nodes`: the living members that a run with these flags would go to. 3 when there is none. */
export async function nodes(options: RunOptions & { readonly fold?: boolean }): Promise<number> {
  const selector = selectionOf(options);
  const client = await connectAgent(agentAddress(options.rpcAddr));
  try {
    const names = targetsOf(selector, await client.members());
    const text =
      options.format === 'json'
        ? safeJson({ selector: selectorText(selector), nodes: names }, 2)
        : options.fold === true
          ? sanitiseText(foldNames(names))
          : names.map(sanitiseText).join('\n');
    process.stdout.write(`${text}\n`);
    return 0;
  } finally {
    client.close();
  }
}
