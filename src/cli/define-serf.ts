import type { Command } from 'commander';
import { type Done, formatOption, repeat, rpcOption, sub } from './define.ts';

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

  sub(
    program,
    'event',
    'fire a user event',
    `Spreads a user event to all members: a name and a payload of 512 bytes at most, together. Agents that handle
events of one name in short order may take only the last of them, unless it is fired with --no-coalesce.`,
  )
    .argument('<name>', 'its name')
    .argument('[payload]', 'its payload')
    .option('--coalesce', 'others of this name may stand in for it', true)
    .option('--no-coalesce', 'none may')
    .addOption(rpcOption())
    .action((name, payload, options) => done(serf().then(({ event }) => event(name, payload, options))));

  sub(
    program,
    'query',
    'ask the cluster a query of Serf',
    `Asks all members, or those that match, and prints who has the question and what they answer until the time is
over. A query is not signed and runs nothing: members answer it with the handlers that they have for its name.`,
  )
    .argument('<name>', 'its name')
    .argument('[payload]', 'its payload')
    .option('--node <name>', 'only this member (repeat)', repeat)
    .option('--tag <name=expression>', 'only members whose tag matches (repeat: all must hold)', repeat)
    .option('--timeout <duration>', 'how long to wait for answers (default: by the size of the cluster)')
    .option('--no-ack', 'members do not say that they have it')
    .option('--relay-factor <n>', 'each answer comes over so many other members too', '0')
    .addOption(formatOption('text', 'json'))
    .addOption(rpcOption())
    .action((name, payload, options) =>
      done(import('./query.ts').then(({ query }) => query(name, payload, options))),
    );

  sub(
    program,
    'reachability',
    'test whether all members can be reached',
    'Asks every member for an ack, and says who is missing. Exit status 0 when nobody is, else 1.',
  )
    .option('--verbose', 'each ack, and how long it took')
    .addOption(rpcOption())
    .action((options) => done(import('./reachability.ts').then(({ reachability }) => reachability(options))));

  sub(
    program,
    'tags',
    "change the tags of the agent's node",
    'Sets and deletes tags of the node that the agent is, and tells the cluster.',
  )
    .option('--set <name=value>', 'set a tag (repeat)', repeat)
    .option('--delete <name>', 'delete a tag (repeat)', repeat)
    .addOption(rpcOption())
    .action((options) => done(serf().then(({ changeTags }) => changeTags(options))));

  sub(
    program,
    'force-leave',
    'tell the cluster that a member is gone for good',
    `A member that failed counts as one that left from then on. One that is alive says so, and stays.`,
  )
    .argument('<node>', 'the member')
    .option('--prune', 'forget it at once')
    .addOption(rpcOption())
    .action((node, options) => done(serf().then(({ forceLeave }) => forceLeave(node, options))));

  sub(
    program,
    'version',
    'print the version',
    'Prints the version, and the protocols of Serf that it speaks.',
  ).action(() => done(serf().then(({ version }) => version())));
}

const serf = () => import('./serf-commands.ts');
