import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { eventually, hasProgram, removeFolder, stopProcess, temporaryFolder } from './processes.ts';

/** Whether OpenSSH's agent is here. In continuous integration it must be: nothing is skipped there. */
export const HAS_SSH_AGENT = ['ssh-agent', 'ssh-add', 'ssh-keygen'].every(hasProgram);

if (!HAS_SSH_AGENT) {
  const install = 'apt-get install openssh-client';
  if (process.env.CI === 'true') throw new Error(`ssh-agent is missing: ${install}`);
  process.stderr.write(`SKIPPED: tests with the real ssh-agent. To run them: ${install}\n`);
}

/** OpenSSH's own agent, in the foreground, in a folder of its own with room for keys. */
export class SshAgent {
  readonly dir = temporaryFolder();
  readonly socket = join(this.dir, 'agent.sock');
  private readonly child: ChildProcess;

  /** `env` is the agent's: it is the agent that asks for confirmations. */
  constructor(env: NodeJS.ProcessEnv = process.env) {
    this.child = spawn('ssh-agent', ['-D', '-a', this.socket], { env, stdio: 'ignore' });
  }

  async ready(): Promise<this> {
    await eventually('the ssh-agent to listen', () => existsSync(this.socket));
    return this;
  }

  /** Makes a key file with ssh-keygen, and returns its path. */
  keygen(name: string, options: { type?: string; passphrase?: string } = {}): string {
    const path = join(this.dir, name);
    const { type = 'ed25519', passphrase = '' } = options;
    run('ssh-keygen', ['-q', '-t', type, '-N', passphrase, '-C', name, '-f', path], {});
    return path;
  }

  /** Runs ssh-add against this agent, and returns what it prints. A passphrase is given as a desktop would. */
  add(args: readonly string[], passphrase?: string): string {
    const asked: NodeJS.ProcessEnv = {};
    if (passphrase !== undefined) {
      asked.SSH_ASKPASS = this.askpass(`echo '${passphrase}'`);
      asked.SSH_ASKPASS_REQUIRE = 'force';
    }
    return run('ssh-add', args, { SSH_AUTH_SOCK: this.socket, ...asked });
  }

  /** A program that answers what ssh-add asks: a shell line that is its body. */
  private askpass(body: string): string {
    const path = join(this.dir, 'askpass');
    writeFileSync(path, `#!/bin/sh\n${body}\n`, { mode: 0o700 });
    return path;
  }

  async stop(): Promise<void> {
    await stopProcess(this.child);
    removeFolder(this.dir);
  }
}

function run(program: string, args: readonly string[], env: NodeJS.ProcessEnv): string {
  const { status, stdout, stderr } = spawnSync(program, args, {
    env: { ...process.env, ...env },
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`${program}: ${stderr}`);
  return stdout;
}
