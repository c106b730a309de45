import type { SerfSettings } from '../serf-settings.ts';
import type { Said } from './schema.ts';

/** What was said about the parts of Serf's protocol that are a choice. */
export function serfSettings(said: Said): SerfSettings {
  return {
    keyringFile: said.keyring_file,
    keyChanges: said.key_changes,
    snapshotFile: said.snapshot_path,
    rejoinAfterLeave: said.rejoin_after_leave ?? false,
    replayOnJoin: said.replay_on_join ?? false,
    rpcAuth: said.rpc_auth,
  };
}
