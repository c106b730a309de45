import { type Command, Option } from 'commander';
import { type Done, formatOption, rpcOption, sub } from './define.ts';

/** The flags of an agent for the parts of Serf's protocol that are a choice. */
export function withSerf(command: Command): Command {
  return command
    .option(
      '--keyring-file <file>',
      'where the cluster keys are kept (0600, JSON as Serf), instead of --encrypt',
    )
    .addOption(
      new Option(
        '--key-changes <who>',
        'who may change them: any member, or operators that the policy allows "fanout-keys" (default with a policy)',
      ).choices(['any', 'operators']),
    )
    .option(
      '--snapshot <file>',
      'keep what is needed to rejoin by itself after a restart, in the format of Serf',
    )
    .option('--rejoin', 'rejoin after a leave too')
    .option('--replay', 'tell of user events that were there before this agent joined');
}

/** Commands that Serf has too and that go to all members. */
export function defineSerf(program: Command, done: Done): void {
  sub(
    program,
    'keys',
    "change or list the cluster's keys",
    `Changes the cluster keys on all members: install the new one, use it, remove the old one, and the cluster
gossips on all the while. KEY is base64 (see "fanout keygen"), @FILE, or - for standard input: what stands in
the arguments shows in every list of processes. Members with a policy take a change only when an operator has
signed it and a rule has { program: fanout-keys, argv: [[install, use, remove], "any:64"] }. Exit status 0 when all members did it, else 1.`,
  )
    .option('--install <key>', 'install a key, for opening')
    .option('--use <key>', 'seal with this key from now on; every member must have it')
    .option('--remove <key>', 'forget a key; it cannot be the one in use')
    .option('--list', 'show the keys and how many members have each')
    .option('-i, --identity <file>', "the operator's key (default: ~/.config/fanout/operator.key)")
    .addOption(formatOption('text', 'json'))
    .addOption(rpcOption())
    .action((options) => done(import('./cluster-keys.ts').then(({ clusterKeys }) => clusterKeys(options))));

  sub(
    program,
    'rtt',
    'estimate the round trip between two members',
    `Estimates the round trip between two members, or between one and the agent's own node, from their network
coordinates: no packet is sent. Exit status 1 when the agent knows no coordinate of one of them.`,
  )
    .argument('<node>', 'a member')
    .argument('[node2]', "another (default: the agent's own)")
    .addOption(formatOption('text', 'json'))
    .addOption(rpcOption())
    .action((one, other, options) => done(import('./rtt.ts').then(({ rtt }) => rtt(one, other, options))));
}
