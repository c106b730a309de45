import type { Command } from 'commander';
import { type Done, formatOption, repeat, sub } from './define.ts';

/** Commands about keys and policies, which need no cluster. */
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

  const policy = sub(program, 'policy', 'look into a policy', 'Looks into a policy file, without a cluster.');
  sub(
    policy,
    'explain',
    'say whether a policy allows a command, and why',
    `Prints the verdict on a command and the rule that decides, then what each other rule lacks. Exit status: 0
allowed, 5 denied, 2 when the command or the policy cannot be read.`,
  )
    .argument('<command>', 'the command, in one piece')
    .requiredOption('--policy <file>', 'the policy')
    .requiredOption('--as <operator>', 'the operator, by the name in the policy')
    .option('--node <name>', 'the name of the node')
    .option('--tag <name=value>', 'a tag of the node (repeat)', repeat)
    .addOption(formatOption('text', 'json'))
    .action((command, options) =>
      done(import('./policy.ts').then(({ explain }) => explain(command, options))),
    );
}
