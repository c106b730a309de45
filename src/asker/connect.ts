import type { ByteStream } from '../lib/byte-stream.ts';
import { type ControlAddress, defaultControlAddress, parseControlAddress } from '../net/control-address.ts';
import { connectControl } from '../net/control-socket.ts';
import { socketStream } from '../net/socket-stream.ts';
import { RpcClient } from '../rpc/client.ts';

/** Where the agent is: as told by --rpc-addr or FANOUT_RPC_ADDR, else the default socket of this user. */
export function agentAddress(told: string | undefined): ControlAddress {
  return told === undefined ? defaultControlAddress() : parseControlAddress(told);
}

/** Connects to the agent. Throws FanoutError AGENT_UNREACHABLE. */
export async function connectAgent(address: ControlAddress): Promise<RpcClient> {
  return RpcClient.connect(socketStream(await connectControl(address)));
}

/** Takes one answer stream, over a connection of its own. Throws as `connectAgent` does, and when the stream is gone. */
export async function openAnswer(
  address: ControlAddress,
  stream: number,
): Promise<{ connection: ByteStream; rest: Uint8Array }> {
  return RpcClient.openAnswer(socketStream(await connectControl(address)), stream);
}
