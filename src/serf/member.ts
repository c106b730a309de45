import type { Millis } from '../lib/time.ts';

/** Serf's member statuses. `none` never stands in the table; it is what an unknown member has. */
export type MemberStatus = 'none' | 'alive' | 'leaving' | 'left' | 'failed';

export interface Member {
  readonly name: string;
  addr: Uint8Array;
  port: number;
  tags: ReadonlyMap<string, string>;
  /** [PMin, PMax, PCur, DMin, DMax, DCur]. */
  vsn: Uint8Array;
  status: MemberStatus;
  /** Lamport time of the intent that the status rests on. */
  statusLTime: number;
  /** When the member failed or left; meaningful in those states only. */
  goneAt: Millis;
}

export type MemberEventKind =
  | 'member-join'
  | 'member-leave'
  | 'member-failed'
  | 'member-update'
  | 'member-reap';
