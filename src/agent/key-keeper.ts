import { toHex } from '../lib/bytes.ts';
import { FanoutError } from '../lib/errors.ts';
import type { Keyring } from '../memberlist/keyring.ts';
import type { Policy } from '../policy/policy.ts';
import type { Gate } from '../runtime/gate.ts';
import type { NodeAudit } from '../runtime/node-audit.ts';
import { type KeyChange, type KeyGuard, keyChangeArgv } from '../serf/key-queries.ts';
import { saveKeyring } from './keyring-file.ts';
import type { Log } from './log.ts';
import type { SerfSettings } from './serf-settings.ts';

const WAY_OUT = 'an operator has to sign it: fanout keys';

/**
 * Decides about changes of the cluster's keys and keeps the ring on the disk. Where operators decide, a change comes with
 * a signed envelope whose command is `fanout-keys OPERATION FINGERPRINT`, and the policy allows it as it allows commands:
 * by a rule for the program `fanout-keys`, which is none.
 */
export class KeyKeeper implements KeyGuard {
  private readonly parts: {
    readonly settings: Pick<SerfSettings, 'keyringFile' | 'keyChanges'>;
    readonly gate: Gate;
    readonly policy: () => Policy | undefined;
    readonly records: Pick<NodeAudit, 'permit'>;
    readonly log: Log;
  };

  constructor(parts: KeyKeeper['parts']) {
    this.parts = parts;
  }

  permit(change: KeyChange): string | undefined {
    const { settings, policy, log } = this.parts;
    const who = settings.keyChanges ?? (policy() === undefined ? 'any' : 'operators');
    const refusal = who === 'any' ? undefined : this.refusalOf(change);
    const [, operation, fingerprint = ''] = keyChangeArgv(change.operation, change.key);
    const outcome = refusal === undefined ? 'allowed' : `refused: ${refusal}`;
    log.info(`key change: ${operation} ${fingerprint.slice(0, 12)}: ${outcome}`);
    return refusal;
  }

  changed(keyring: Keyring): string | undefined {
    const { keyringFile } = this.parts.settings;
    if (keyringFile === undefined) return undefined;
    try {
      saveKeyring(keyringFile, keyring);
      return undefined;
    } catch (error) {
      if (!(error instanceof FanoutError)) throw error;
      this.parts.log.error(`the keyring was changed and could not be kept: ${error.message}`);
      return error.message;
    }
  }

  private refusalOf({ operation, key, approval, from }: KeyChange): string | undefined {
    const { gate, policy, records } = this.parts;
    if (policy() === undefined) return 'this node has no policy that could name an operator';
    if (approval === null) return WAY_OUT;
    const admission = gate.admit(approval, from);
    if (admission.kind === 'ignored') return `${WAY_OUT} (${admission.reason})`;
    if (admission.kind === 'refused') return `${admission.operator}: ${admission.reason}`;
    const { envelope, operator, decision } = admission;
    const argv = keyChangeArgv(operation, key);
    const { body } = envelope;
    // Who asks what a node would do has not asked for it.
    if (body.explainOnly) return WAY_OUT;
    if (body.argv.length !== argv.length || body.argv.some((word, i) => word !== argv[i])) {
      return `${operator} has signed another change`;
    }
    const { rule } = decision;
    const isRecorded = records.permit({ event: 'key-change', id: toHex(body.id), operator, rule, argv });
    return isRecorded ? undefined : 'it could not be recorded';
  }
}
