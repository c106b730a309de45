import * as v from 'valibot';
import { connectAgent } from '../../asker/connect.ts';
import { eventText } from '../../asker/event-text.ts';
import type { Asker } from '../../asker/launch.ts';
import { keyId } from '../../identity/ssh-key.ts';
import { utf8Text } from '../../lib/bytes.ts';
import { FanoutError } from '../../lib/errors.ts';
import { formatEndpoint, ipText } from '../../lib/net-address.ts';
import type { Millis } from '../../lib/time.ts';
import type { RpcClient } from '../../rpc/client.ts';
import type { AgentInfo } from '../../rpc/replies.ts';
import type { Message } from '../model/messages.ts';
import type { LogLevelChoice, MonitorLine } from '../model/state.ts';

/** Several members that change at once are read once. */
const SETTLE_MS: Millis = 100;
/** Round trips and suspicion make no events: they are looked at so often. */
const REFRESH_MS: Millis = 5000;
const RECONNECT_MS: Millis = 1000;
const ABOUT_TIMEOUT_NS = 2e9;

const aboutSchema = v.object({
  version: v.pipe(v.string(), v.maxLength(64)),
  environment: v.pipe(v.string(), v.maxLength(64)),
  policyHash: v.pipe(v.string(), v.maxLength(64)),
});

/** Watches the cluster through the agent for as long as the session is open, and comes back when the agent does. */
export class ClusterWatch {
  private readonly asker: Asker;
  private readonly dispatch: (message: Message) => void;
  private client: RpcClient | undefined;
  private settleTimer: NodeJS.Timeout | undefined;
  private refreshTimer: NodeJS.Timeout | undefined;
  private reconnectTimer: NodeJS.Timeout | undefined;
  private level: LogLevelChoice = 'off';
  private stopLog: (() => void) | undefined;
  private isClosed = false;
  private lines: MonitorLine[] = [];

  private readonly onInfo: (info: AgentInfo) => void;

  /** `onInfo`: what the agent is now. One that was started again may have another address or environment. */
  constructor(asker: Asker, dispatch: (message: Message) => void, onInfo: (info: AgentInfo) => void) {
    this.asker = asker;
    this.dispatch = dispatch;
    this.onInfo = onInfo;
  }

  /** Begins on the connection that is there. */
  start(): void {
    this.refreshTimer = setInterval(() => this.readMembers(), REFRESH_MS);
    void this.attach(this.asker.client);
  }

  close(): void {
    this.isClosed = true;
    for (const timer of [this.settleTimer, this.refreshTimer, this.reconnectTimer]) clearTimeout(timer);
    this.client?.close();
  }

  /** Shows the agent's log from this level on as well. */
  setLevel(level: LogLevelChoice): void {
    this.level = level;
    this.stopLog?.();
    this.stopLog = undefined;
    const { client } = this;
    if (level === 'off' || client === undefined) return;
    void this.attempt(async () => {
      const stop = await client.monitor(level, (text) =>
        this.tell({ unixMs: Date.now(), kind: 'log', text }),
      );
      // Changed again before the agent had answered: then this one is not the one that is wanted.
      if (this.level === level && this.client === client && this.stopLog === undefined) this.stopLog = stop;
      else stop();
    });
  }

  /** Asks every agent what it is. */
  askAbout(): void {
    const { client } = this;
    if (client === undefined) return;
    const request = {
      filterNodes: [],
      filterTags: new Map<string, string>(),
      requestAck: false,
      relayFactor: 0,
      timeoutNs: ABOUT_TIMEOUT_NS,
      name: 'fanout-about',
      payload: new Uint8Array(0),
    };
    void this.attempt(() =>
      client.query(request, (record) => {
        if (record.kind !== 'response') return;
        const said = v.safeParse(aboutSchema, parsed(record.payload));
        if (said.success) this.dispatch({ kind: 'about', node: record.from, about: said.output });
      }),
    );
  }

  private async attach(client: RpcClient): Promise<void> {
    this.client = client;
    void client.closed.then(() => this.lost());
    await this.attempt(async () => {
      await client.stream('*', (event) => {
        this.tell({ unixMs: Date.now(), ...eventText(event) });
        if (!('members' in event)) return;
        clearTimeout(this.settleTimer);
        this.settleTimer = setTimeout(() => this.readMembers(), SETTLE_MS);
      });
      const [info, programs] = await Promise.all([
        client.info(),
        client.programs(keyId(this.asker.key.publicKey)),
      ]);
      this.onInfo(info);
      this.dispatch({ kind: 'agent', node: info.node, environment: info.environment });
      this.dispatch({ kind: 'programs', programs });
      this.dispatch({ kind: 'link', link: 'connected', reason: '' });
    });
    this.readMembers();
    this.askAbout();
    if (this.level !== 'off') this.setLevel(this.level);
  }

  private readMembers(): void {
    const { client } = this;
    if (client === undefined) return;
    void this.attempt(async () => {
      const [members, peers] = await Promise.all([client.members(), client.peers()]);
      const byName = new Map(peers.map((peer) => [peer.name, peer]));
      this.dispatch({
        kind: 'members',
        members: members.map(({ name, addr, port, status, tags }) => ({
          name,
          address: formatEndpoint({ host: ipText(addr) ?? '?', port }),
          status,
          isSuspect: byName.get(name)?.isSuspect === true,
          rttMs: byName.get(name)?.rttMs,
          tags,
          about: undefined,
        })),
      });
    });
  }

  private lost(): void {
    this.client = undefined;
    if (this.isClosed) return;
    this.dispatch({ kind: 'link', link: 'lost', reason: 'the connection broke' });
    this.tell({ unixMs: Date.now(), kind: 'note', text: 'the agent is gone' });
    this.retry();
  }

  private retry(): void {
    if (this.isClosed) return;
    this.reconnectTimer = setTimeout(() => {
      connectAgent(this.asker.address).then(
        (client) => (this.isClosed ? client.close() : void this.attach(client)),
        () => this.retry(),
      );
    }, RECONNECT_MS);
  }

  private tell(line: MonitorLine): void {
    // A burst of a thousand members is one message.
    this.lines.push(line);
    if (this.lines.length > 1) return;
    setTimeout(() => this.dispatch({ kind: 'monitor', lines: this.lines.splice(0) }), SETTLE_MS);
  }

  /** What fails here fails because the agent is gone, and that is told elsewhere. */
  private async attempt(action: () => Promise<void>): Promise<void> {
    try {
      await action();
    } catch (error) {
      if (!(error instanceof FanoutError)) throw error;
    }
  }
}

function parsed(payload: Uint8Array): unknown {
  try {
    return JSON.parse(utf8Text(payload) ?? '');
  } catch {
    return undefined;
  }
}
