/** Who may change the cluster's keys on this node. */
export type KeyChanges = 'any' | 'operators';

/** The parts of Serf's protocol that an agent can be set to take part in. */
export interface SerfSettings {
  /** Where the keys are kept, the primary first; excludes a key that is given otherwise. */
  readonly keyringFile: string | undefined;
  /** Undefined: operators where there is a policy that names some, else any, as in Serf. */
  readonly keyChanges: KeyChanges | undefined;
  /** A file of what an agent after us has to know; undefined: none is kept. */
  readonly snapshotFile: string | undefined;
  /** The snapshot counts after a leave too. */
  readonly rejoinAfterLeave: boolean;
  /** Tell of user events that were there before us when we join. */
  readonly replayOnJoin: boolean;
  /** What a client of the control plane has to show first; undefined: nothing. */
  readonly rpcAuth: string | undefined;
}
