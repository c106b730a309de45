import { agentAddress, connectAgent } from '../asker/connect.ts';
import type { RpcClient } from '../rpc/client.ts';

export interface AgentOptions {
  readonly rpcAddr?: string;
}

/** Does something with the agent and ends the conversation. Throws FanoutError AGENT_UNREACHABLE, and what `action` throws. */
export async function withAgent<T>(
  options: AgentOptions,
  action: (client: RpcClient) => Promise<T>,
): Promise<T> {
  const client = await connectAgent(agentAddress(options.rpcAddr));
  try {
    return await action(client);
  } finally {
    client.close();
  }
}
