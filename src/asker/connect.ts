import { readSecretFile } from '../identity/secret-file.ts';
import type { ByteStream } from '../lib/byte-stream.ts';
import { utf8Text } from '../lib/bytes.ts';
import { FanoutError } from '../lib/errors.ts';
import { type ControlAddress, defaultControlAddress, parseControlAddress } from '../net/control-address.ts';
import { connectControl } from '../net/control-socket.ts';
import { socketStream } from '../net/socket-stream.ts';
import { RpcClient } from '../rpc/client.ts';

/** Where the agent is: as told by --rpc-addr or FANOUT_RPC_ADDR, else as Serf's tools are told, else this user's socket. */
export function agentAddress(told: string | undefined): ControlAddress {
  const address = told ?? process.env.SERF_RPC_ADDR;
  return address === undefined || address === '' ? defaultControlAddress() : parseControlAddress(address);
}

/** The key of this process for agents that ask for one; undefined before anybody has looked. */
let authKey: { readonly key: string | undefined } | undefined;

/** Takes the key for agents from a file, or as it is. Throws FanoutError KEY_INVALID when the file cannot be used. */
export function takeAuthKey(source: { readonly file: string } | { readonly key: string }): void {
  authKey = { key: 'key' in source ? source.key : keyIn(source.file) };
}

/** As told by --rpc-auth, else in the file of FANOUT_RPC_AUTH, else as Serf's tools are told. */
function currentAuthKey(): string | undefined {
  if (authKey === undefined) {
    const { FANOUT_RPC_AUTH: file, SERF_RPC_AUTH: key } = process.env;
    const told = file !== undefined && file !== '' ? keyIn(file) : key;
    authKey = { key: told === '' ? undefined : told };
  }
  return authKey.key;
}

function keyIn(file: string): string {
  const key = utf8Text(readSecretFile(file))?.trim();
  if (key !== undefined && key !== '') return key;
  throw new FanoutError('KEY_INVALID', `${file} has no key for the agent in it`, {
    hint: 'It holds what the agent has as rpc_auth, and nothing else.',
  });
}

/** Connects to the agent. Throws FanoutError AGENT_UNREACHABLE. */
export async function connectAgent(address: ControlAddress): Promise<RpcClient> {
  return RpcClient.connect(socketStream(await connectControl(address)), currentAuthKey());
}

/** Takes one answer stream, over a connection of its own. Throws as `connectAgent` does, and when the stream is gone. */
export async function openAnswer(
  address: ControlAddress,
  stream: number,
): Promise<{ connection: ByteStream; rest: Uint8Array }> {
  return RpcClient.openAnswer(socketStream(await connectControl(address)), stream, currentAuthKey());
}
