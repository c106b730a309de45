import type { Command } from 'commander';
import { type Done, formatOption, rpcOption, sub } from './define.ts';

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
