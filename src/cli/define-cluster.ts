import { type Command, Option } from 'commander';
import { type Done, formatOption, repeat, rpcOption, sub, withSelection } from './define.ts';

/** Commands about the cluster and its agents. */
export function defineCluster(program: Command, done: Done): void {
  withSelection(
    sub(
      program,
      'members',
      'list the members of the cluster',
      'Lists the members that the agent knows: name, address, status and tags, one line each.',
    ),
  )
    .addOption(
      new Option('--status <status>', 'only members in this status').choices([
        'alive',
        'leaving',
        'left',
        'failed',
      ]),
    )
    .option('--detailed', "with the versions of Serf's protocol (text only)")
    .addOption(new Option('--name-expression <re>', "Serf's -name").hideHelp())
    .addOption(new Option('--role-expression <re>', "Serf's -role").hideHelp())
    .addOption(new Option('--status-expression <re>', "Serf's -status").hideHelp())
    .addOption(new Option('--tag-expression <name=re>', "Serf's -tag").argParser(repeat).hideHelp())
    .addOption(formatOption('text', 'json'))
    .addOption(rpcOption())
    .action((options) => done(import('./members.ts').then(({ members }) => members(options))));

  withSelection(
    sub(
      program,
      'nodes',
      'list the nodes that a run would go to',
      `Prints the names of the living members that match, one a line: where a run with the same flags would go.
Exit status 3 when there is none.`,
    ),
  )
    .option('--fold', 'all in one line, folded: web[01-08,10]')
    .addOption(formatOption('text', 'json'))
    .addOption(rpcOption())
    .action((options) => done(import('./nodes.ts').then(({ nodes }) => nodes(options))));

  sub(
    program,
    'join',
    'make the agent join a cluster',
    'Joins the cluster through one or more of its members.',
  )
    .argument('<host:port...>', 'members to join through')
    .option('--replay', 'tell of user events that were there before')
    .addOption(rpcOption())
    .action((addresses, options) =>
      done(import('./membership.ts').then(({ join }) => join(addresses, options))),
    );

  sub(
    program,
    'leave',
    'make the agent leave the cluster and stop',
    'Leaves the cluster gracefully, so that the others do not take it for a failure, and stops the agent.',
  )
    .addOption(rpcOption())
    .action((options) => done(import('./membership.ts').then(({ leave }) => leave(options))));

  sub(
    program,
    'info',
    'show what the agent knows of itself',
    'Shows the agent: environment, policy, sandboxes that this machine can give, Lamport times, queues, counters.',
  )
    .addOption(formatOption('text', 'json'))
    .addOption(rpcOption())
    .action((options) => done(import('./membership.ts').then(({ info }) => info(options))));

  sub(
    program,
    'monitor',
    'watch events and queries as they happen',
    `Prints members that come, go and change, user events and queries, as the agent sees them, until Ctrl-C.
With --log-level the agent's own log as well, whatever level it runs with.`,
  )
    .addOption(
      new Option('--log-level <level>', "the agent's log from this level on").choices([
        'debug',
        'info',
        'warn',
        'error',
      ]),
    )
    .addOption(formatOption('text', 'ndjson'))
    .addOption(rpcOption())
    .action((options) => done(import('./monitor.ts').then(({ monitor }) => monitor(options))));
}
