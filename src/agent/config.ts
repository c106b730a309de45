import type { Endpoint } from '../lib/net-address.ts';
import type { Profile } from '../memberlist/config.ts';
import type { ControlAddress } from '../net/control-address.ts';

/** Everything an agent needs to know to start. The command line makes one from its flags. */
export interface AgentConfig {
  readonly node: string;
  /** What to bind; port 0 picks a free one. */
  readonly bind: Endpoint;
  /** What to tell the others, when it differs from the bound address. */
  readonly advertise: Endpoint | undefined;
  readonly control: ControlAddress;
  /** Base64 of the cluster key; absent: gossip in clear. */
  readonly encryptKey: string | undefined;
  readonly tags: ReadonlyMap<string, string>;
  readonly profile: Profile;
  /** Absent with a policy: the policy's. */
  readonly environment: string | undefined;
  /** Absent: this agent is a member that runs nothing. */
  readonly policyFile: string | undefined;
  readonly dataDir: string;
  readonly join: readonly string[];
}
