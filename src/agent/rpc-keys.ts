import { EMPTY } from '../lib/bytes.ts';
import { DecodeError, FanoutError } from '../lib/errors.ts';
import { parseClusterKey } from '../memberlist/keyring.ts';
import { isLive } from '../memberlist/node-table.ts';
import { encodeKeyReply } from '../rpc/keys.ts';
import type { Request } from '../rpc/requests.ts';
import {
  type KeyOperation,
  type KeyOutcome,
  KeyTally,
  keyFailure,
  keyQueryName,
  keyQueryPayload,
} from '../serf/key-queries.ts';
import type { Agent } from './agent.ts';
import { askQuery } from './ask-query.ts';
import type { CommandContext } from './rpc-commands.ts';

type KeyRequest = Extract<Request, { command: 'install-key' | 'use-key' | 'remove-key' | 'list-keys' }>;

const OPERATION: Readonly<Record<KeyRequest['command'], KeyOperation>> = {
  'install-key': 'install',
  'use-key': 'use',
  'remove-key': 'remove',
  'list-keys': 'list',
};

/** Serf's key commands: asks all members, and replies when all have answered or their time is over. */
export async function changeKeys(request: KeyRequest, context: CommandContext): Promise<void> {
  const operation = OPERATION[request.command];
  const reply = (error: string, outcome: KeyOutcome): void => {
    const keys = operation === 'list' ? outcome.keys : undefined;
    // Serf sends the body in any case, and its own command line waits for it.
    context.reply(error, encodeKeyReply({ ...outcome, keys }));
  };
  try {
    const [key, approval] =
      'key' in request ? [parseClusterKey(request.key), request.approval] : [EMPTY, EMPTY];
    const payload = keyQueryPayload(key, approval.length === 0 ? null : approval);
    const outcome = await askForKeys(context, operation, payload);
    reply(keyFailure(outcome), outcome);
  } catch (error) {
    if (!(error instanceof DecodeError || error instanceof FanoutError)) throw error;
    reply(error.message, new KeyTally([]).outcome());
  }
}

function askForKeys(
  { agent, onClose }: CommandContext,
  operation: KeyOperation,
  payload: Uint8Array,
): Promise<KeyOutcome> {
  const tally = new KeyTally(livingMembers(agent));
  return new Promise((resolve) => {
    const asked = askQuery(
      agent,
      {
        name: keyQueryName(operation),
        payload,
        filters: [],
        wantsAcks: false,
        relayFactor: 0,
        timeoutMs: agent.driver.serf.defaultQueryTimeoutMs(),
        targets: [],
      },
      (news) => {
        if (news.kind === 'response') tally.add(news.from, news.payload);
        if (news.kind !== 'query-done' && !tally.isComplete) return;
        asked.end();
        resolve(tally.outcome());
      },
    );
    onClose(asked.end);
    asked.begin();
  });
}

function livingMembers(agent: Agent): string[] {
  const { table } = agent.driver.serf.memberlist;
  return table
    .all()
    .filter(isLive)
    .map(({ name }) => name);
}
