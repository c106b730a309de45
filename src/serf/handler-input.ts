import { concatBytes, EMPTY, utf8 } from '../lib/bytes.ts';
import { ipText } from '../lib/net-address.ts';
import type { Member, MemberEventKind } from './member.ts';

const LINE_END = 0x0a;

/** An event as the scripts that handle it are told of it. */
export type HandledEvent =
  | { readonly kind: 'member'; readonly event: MemberEventKind; readonly members: readonly Member[] }
  | {
      readonly kind: 'user' | 'query';
      readonly ltime: number;
      readonly name: string;
      readonly payload: Uint8Array | null;
    };

/** The member that runs the script. */
export interface HandlerSelf {
  readonly name: string;
  readonly tags: ReadonlyMap<string, string>;
}

/** Serf's variables for a script, beside the agent's own (Serf, invoke.go). Where two tags make one name, the last counts. */
export function handlerVariables(self: HandlerSelf, event: HandledEvent): Record<string, string> {
  const variables: Record<string, string> = {
    SERF_EVENT: event.kind === 'member' ? event.event : event.kind,
    SERF_SELF_NAME: self.name,
    SERF_SELF_ROLE: self.tags.get('role') ?? '',
  };
  for (const [name, value] of self.tags) variables[`SERF_TAG_${variablePart(name)}`] = value;
  if (event.kind === 'user') {
    variables.SERF_USER_EVENT = event.name;
    variables.SERF_USER_LTIME = String(event.ltime);
  }
  if (event.kind === 'query') {
    variables.SERF_QUERY_NAME = event.name;
    variables.SERF_QUERY_LTIME = String(event.ltime);
  }
  return variables;
}

/** What a script reads: a line for each member, or the payload, with a line end behind it when it has none. */
export function handlerInput(event: HandledEvent): Uint8Array {
  if (event.kind === 'member') return utf8(event.members.map(memberLine).join(''));
  const payload = event.payload ?? EMPTY;
  const isWhole = payload.length === 0 || payload.at(-1) === LINE_END;
  return isWhole ? payload : concatBytes(payload, Uint8Array.of(LINE_END));
}

function memberLine({ name, addr, tags }: Member): string {
  const pairs = [...tags].map(([tag, value]) => `${tag}=${value}`).join(',');
  return `${clean(name)}\t${ipText(addr) ?? ''}\t${clean(tags.get('role') ?? '')}\t${clean(pairs)}\n`;
}

/** Serf's own escapes: a value must not make a column or a line. */
function clean(text: string): string {
  return text.replaceAll('\t', '\\t').replaceAll('\n', '\\n');
}

/** Letter by letter, as Go does it: one that has no single capital letter of A to Z becomes a line. */
function variablePart(tag: string): string {
  return [...tag]
    .map((letter) => letter.toUpperCase())
    .map((letter) => (/^[A-Z0-9_]$/.test(letter) ? letter : '_'))
    .join('');
}
