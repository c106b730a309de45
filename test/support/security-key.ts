import { createHash } from 'node:crypto';
import { ed25519PublicKey, signEd25519 } from '../../src/identity/ed25519.ts';
import { publicBlob } from '../../src/identity/ssh-key.ts';
import { SshReader, sshString } from '../../src/identity/ssh-wire.ts';
import { FakeAgent } from './fake-agent.ts';

const TYPE = Buffer.from('sk-ssh-ed25519@openssh.com');

function sha256(bytes: Uint8Array): Buffer {
  return createHash('sha256').update(bytes).digest();
}

/**
 * A FIDO device as far as ssh sees it: its key is for one application, and what it signs has flags and a counter in it
 * (OpenSSH's PROTOCOL.u2f).
 */
export class SecurityKey {
  /** Raw key and application, as the project keeps it. */
  readonly publicKey: Uint8Array;
  readonly application: string;
  private readonly seed: Uint8Array;
  private counter = 0;

  constructor(label: string, application = 'ssh:') {
    this.seed = sha256(Buffer.from(`device ${label}`));
    this.application = application;
    this.publicKey = Buffer.concat([ed25519PublicKey(this.seed), Buffer.from(application)]);
  }

  /** 64 bytes, flags and counter. Without a touch the flags are 0. */
  sign(message: Uint8Array, flags = 1): Uint8Array {
    const ofDevice = Buffer.alloc(5, flags);
    ofDevice.writeUInt32BE(++this.counter, 1);
    const signed = Buffer.concat([sha256(Buffer.from(this.application)), ofDevice, sha256(message)]);
    return Buffer.concat([signEd25519(this.seed, signed), ofDevice]);
  }

  /** Something that holds it where an ssh-agent is expected. */
  agent(flags = 1): Promise<FakeAgent> {
    return new FakeAgent((request) => {
      const blob = publicBlob(this.publicKey);
      if (request[0] === 11) {
        const list = [Buffer.of(12, 0, 0, 0, 1), sshString(blob), sshString(Buffer.from('my device'))];
        return sshString(Buffer.concat(list));
      }
      const reader = new SshReader(request.subarray(1));
      if (!Buffer.from(reader.string()).equals(blob)) return sshString(Buffer.of(5));
      const signature = this.sign(reader.string(), flags);
      const parts = [sshString(TYPE), sshString(signature.subarray(0, 64)), signature.subarray(64)];
      return sshString(Buffer.concat([Buffer.of(14), sshString(Buffer.concat(parts))]));
    }).start();
  }
}
