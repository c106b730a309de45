import { EMPTY, utf8Text } from '../lib/bytes.ts';
import type { Policy } from '../policy/policy.ts';
import type { NodeAudit } from '../runtime/node-audit.ts';
import type { QueryMessage } from '../serf/query-book.ts';

/** Of what strangers choose, and of the owner's lines. A record has to fit its line of the log, whatever comes. */
const TEXT_CHARACTERS_MAX = 200;

/** How the handler of a query ended. */
export interface QueryEnd {
  readonly code: number | null;
  readonly signal: string | null;
  readonly cause: string;
  /** Why it could not be started. */
  readonly reason?: string;
}

/** What is written down of queries that nobody signed, and for which this node has a handler. */
export interface QueryRecords {
  /** Before its handler is started; what is returned is told the end. Undefined: it must not be started. */
  begin(query: QueryMessage, handler: string): ((end: QueryEnd) => void) | undefined;
  refused(query: QueryMessage, handler: string, reason: string): void;
}

/** The same in the audit log of the node, where operators' commands are. */
export class QueryAudit implements QueryRecords {
  private readonly parts: {
    readonly node: string;
    readonly policy: () => Policy | undefined;
    readonly records: Pick<NodeAudit, 'permitUnsigned' | 'refusedUnsigned' | 'note'>;
  };

  constructor(parts: QueryAudit['parts']) {
    this.parts = parts;
  }

  begin(query: QueryMessage, handler: string): ((end: QueryEnd) => void) | undefined {
    const { records, policy, node } = this.parts;
    const inForce = policy();
    const name = cut(query.name);
    const rule = inForce === undefined ? '--allow-unsigned-queries' : `query:${name}`;
    const kind = { handler: cut(handler), outcome: 'run' } as const;
    const outcome = records.permitUnsigned(kind, {
      event: 'unsigned-query',
      ...this.factsOf(query, handler),
      rule,
      ...(inForce === undefined ? {} : { policy: inForce.hash }),
    });
    if (outcome === 'refused') return undefined;
    // Whose beginning was only counted has no end in the log either.
    if (outcome === 'counted') return () => {};
    const what = { request: requestOf(query), node, query: name, handler: cut(handler) };
    return ({ code, signal, cause, reason }) => {
      const why = reason === undefined ? {} : { reason: cut(reason) };
      records.note({ event: 'unsigned-query-end', ...what, code, signal, cause, ...why });
    };
  }

  refused(query: QueryMessage, handler: string, reason: string): void {
    const kind = { handler: cut(handler), outcome: 'refused' } as const;
    this.parts.records.refusedUnsigned(kind, {
      event: 'unsigned-query-refused',
      ...this.factsOf(query, handler),
      reason: cut(reason),
    });
  }

  /** `from` is who it says it is from. Whoever holds the cluster key can say so. */
  private factsOf(query: QueryMessage, handler: string) {
    const payload = query.payload ?? EMPTY;
    const text = utf8Text(payload);
    return {
      request: requestOf(query),
      node: this.parts.node,
      query: cut(query.name),
      handler: cut(handler),
      from: cut(query.sourceNode),
      payloadBytes: payload.length,
      ...(text === undefined || text === '' ? {} : { payload: cut(text) }),
    };
  }
}

/** As handlers see it in FANOUT_REQUEST_ID. */
function requestOf({ ltime, id }: QueryMessage): string {
  return `${ltime}:${id}`;
}

function cut(text: string): string {
  return text.length > TEXT_CHARACTERS_MAX ? `${text.slice(0, TEXT_CHARACTERS_MAX)}…` : text;
}
