import { readFileSync } from 'node:fs';
import { FanoutError, messageOf } from '../lib/errors.ts';
import { loadPolicy } from '../policy/load.ts';
import type { Policy } from '../policy/policy.ts';

/** A policy file is read whole; far above any policy that a person can review. */
const POLICY_BYTES_MAX = 1024 * 1024;

/** The policy in force, and the file that it came from. A bad file never replaces a good policy. */
export class PolicyHolder {
  private readonly file: string | undefined;
  private readonly environment: string | undefined;
  private policy: Policy | undefined;

  /** Throws FanoutError POLICY_INVALID or CONFIG: an agent without a sound policy does not start. */
  constructor(file: string | undefined, environment: string | undefined) {
    this.file = file;
    this.environment = environment;
    this.reload();
  }

  get current(): Policy | undefined {
    return this.policy;
  }

  /** Reads the file again. Throws as the constructor does, and leaves the old policy in force then. */
  reload(): void {
    if (this.file === undefined) return;
    const policy = loadPolicy(readPolicy(this.file), this.file);
    if (this.environment !== undefined && policy.environment !== this.environment) {
      throw new FanoutError(
        'CONFIG',
        `${this.file} is the policy of "${policy.environment}", but this agent was started with --env ${this.environment}`,
        { hint: 'Give the policy of this environment, or leave --env out to take the one of the policy.' },
      );
    }
    this.policy = policy;
  }
}

export function readPolicy(file: string): string {
  try {
    const bytes = readFileSync(file);
    if (bytes.length <= POLICY_BYTES_MAX) return bytes.toString('utf8');
  } catch (cause) {
    const reason = messageOf(cause);
    const hint = 'Give --policy a file that the agent may read; policies/ has three to start from.';
    throw new FanoutError('POLICY_INVALID', `cannot read the policy ${file}: ${reason}`, { hint, cause });
  }
  throw new FanoutError('POLICY_INVALID', `${file} is larger than ${POLICY_BYTES_MAX} bytes`, {
    hint: 'Is it a policy?',
  });
}
