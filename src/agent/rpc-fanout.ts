import { DecodeError } from '../lib/errors.ts';
import { VERSION } from '../lib/version.ts';
import { programsFor } from '../policy/programs.ts';
import { encodeInfo, encodeRunRecord, type RunRecord } from '../rpc/replies.ts';
import type { Request } from '../rpc/requests.ts';
import { encodePeers, encodePrograms, type Peer, type Program } from '../rpc/views.ts';
import type { FanoutRequest, RequestContext } from './control.ts';
import type { Host } from './host.ts';

/** Carries out one of fanout's own requests. */
export function runFanout(request: FanoutRequest, host: Host, context: RequestContext): void {
  const { reply } = context;
  switch (request.command) {
    case 'fanout-peers':
      return reply('', encodePeers(peersOf(host)));
    case 'fanout-programs':
      return reply('', encodePrograms(programsOf(host, request.keyId)));
    case 'fanout-info':
      return reply('', encodeInfo(infoOf(host)));
    case 'fanout-run':
      return run(request, host, context);
  }
}

function run(
  request: Extract<Request, { command: 'fanout-run' }>,
  host: Host,
  context: RequestContext,
): void {
  const { reply, onClose } = context;
  const record = (body: RunRecord): void => context.record(encodeRunRecord(body));
  try {
    // The reply goes first: records that come out of starting the run follow it.
    const early: RunRecord[] = [];
    let send = (body: RunRecord): void => void early.push(body);
    const end = host.runs.start(request, {
      acked: (from) => send({ kind: 'ack', from }),
      answered: (stream, from) => send({ kind: 'answer', from, stream }),
      member: (name, status) => send({ kind: 'member', name, status }),
    });
    onClose(end);
    reply('');
    send = record;
    for (const body of early) record(body);
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    reply(error.message);
  }
}

function infoOf(host: Host): Parameters<typeof encodeInfo>[0] {
  const { config, engine, sandboxes } = host;
  const policy = host.policies.current;
  return {
    node: config.node,
    version: VERSION,
    environment: policy?.environment ?? config.environment ?? '',
    cluster: policy?.cluster ?? '',
    ...engine.address,
    policyHash: policy?.hash ?? '',
    sandboxes,
  };
}

function peersOf({ engine }: Host): Peer[] {
  return [...engine.members.all()].map(({ name }) => ({ name, ...engine.peer(name) }));
}

function programsOf({ policies }: Host, keyId: Uint8Array): readonly Program[] {
  const policy = policies.current;
  if (policy === undefined || keyId.length !== 8) return [];
  return programsFor(policy, keyId);
}
