import type { Command } from 'commander';
import { type Done, sub } from './define.ts';

/** Commands about keys, which need no cluster. */
export function defineKeys(program: Command, done: Done): void {
  sub(
    program,
    'keygen',
    'make a cluster key',
    `Prints a new cluster key: 32 random bytes in base64, as "serf keygen" does. It lets a machine gossip; it
does not let anybody run anything.`,
  ).action(() => done(import('./keys.ts').then(({ keygen }) => keygen())));

  const operator = sub(program, 'operator', "operators' keys", "Makes operators' keys.");
  sub(
    operator,
    'keygen',
    "make an operator's key",
    `Makes an Ed25519 key in OpenSSH's format, with which an operator signs commands, and prints the public line
that policies take. The key file gets mode 0600 and is never overwritten.`,
  )
    .requiredOption('--name <name>', 'whose key it is')
    .option('-o, --output <file>', 'where to write it (default: ~/.config/fanout/operator.key)')
    .action((options) => done(import('./keys.ts').then(({ operatorKeygen }) => operatorKeygen(options))));
}
