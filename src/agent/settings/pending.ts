import { FanoutError } from '../../lib/errors.ts';
import type { Said } from './schema.ts';

/**
 * Settings that are read and checked, and whose parts are wired into the agent one by one. To wire one: take it out of
 * `notYet` below, and read it from `AgentConfig.pending` where the agent is put together.
 */
export interface PendingSettings {
  readonly keyringFile: string | undefined;
  readonly rpcAuth: string | undefined;
  readonly snapshotPath: string | undefined;
  readonly rejoinAfterLeave: boolean;
  readonly replayOnJoin: boolean;
  /** Without effect in Serf's agent too. */
  readonly disableCoordinates: boolean;
  readonly disableNameResolution: boolean;
}

/** Throws FanoutError CONFIG for the first setting that the agent cannot follow yet: it must not be passed over. */
export function pendingSettings(said: Said): PendingSettings {
  const pending: PendingSettings = {
    keyringFile: said.keyring_file,
    rpcAuth: said.rpc_auth,
    snapshotPath: said.snapshot_path,
    rejoinAfterLeave: said.rejoin_after_leave ?? false,
    replayOnJoin: said.replay_on_join ?? false,
    disableCoordinates: said.disable_coordinates ?? false,
    disableNameResolution: said.disable_name_resolution ?? false,
  };
  const key = notYet(pending);
  if (key === undefined) return pending;
  throw new FanoutError('CONFIG', `${key} is understood, but this version of the agent cannot do it yet`, {
    hint: 'Leave it out. It is not passed over, because you would count on it.',
  });
}

function notYet(pending: PendingSettings): string | undefined {
  const keys: readonly [string, boolean][] = [
    ['keyring_file (--keyring-file)', pending.keyringFile !== undefined],
    ['rpc_auth', pending.rpcAuth !== undefined],
    ['snapshot_path (--snapshot)', pending.snapshotPath !== undefined],
    ['rejoin_after_leave (--rejoin)', pending.rejoinAfterLeave],
    ['replay_on_join (--replay)', pending.replayOnJoin],
  ];
  return keys.find(([, isSet]) => isSet)?.[0];
}
