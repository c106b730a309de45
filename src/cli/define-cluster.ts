import { type Command, Option } from 'commander';
import { type Done, formatOption, repeat, rpcOption, sub, withSelection } from './define.ts';

/** Commands about the cluster and its agents. */
export function defineCluster(program: Command, done: Done): void {
  sub(
    program,
    'agent',
    'run an agent on this machine',
    `Runs an agent in the foreground: a member of the cluster, and, with --policy, one that carries out the
commands that its policy allows. SIGHUP reads the policy again (a bad one is reported and the old one
stays in force), SIGINT leaves the cluster gracefully, SIGTERM stops at once.`,
  )
    .option('--node <name>', 'the name of this node, unique in the cluster (default: the host name)')
    .option('--bind <host:port>', 'the address to gossip on', '0.0.0.0:7946')
    .option('--advertise <host:port>', 'the address that the others should use, if it is another one')
    .option(
      '--rpc-addr <address>',
      'where operators talk to this agent: HOST:PORT or the path of a unix socket',
    )
    .option('--encrypt <key>', 'the cluster key, base64 of 16, 24 or 32 bytes (see "fanout keygen")')
    .option(
      '--encrypt-file <file>',
      'a file (0600) that holds the cluster key, so that it shows in no process list',
    )
    .option('--tag <name=value>', 'a tag of this node (repeat)', repeat)
    .addOption(
      new Option('--profile <profile>', 'timing of the gossip')
        .choices(['lan', 'wan', 'local'])
        .default('lan'),
    )
    .option('--env <name>', "the environment; must be the policy's")
    .option('--policy <file>', 'what this node allows; without one it runs nothing')
    .option('--data-dir <dir>', 'where the node key and the audit log are kept')
    .option('--join <host:port>', 'a member to join through (repeat)', repeat)
    .addOption(
      new Option('--log-level <level>', 'how much to say')
        .choices(['debug', 'info', 'warn', 'error'])
        .default('info'),
    )
    .action((options) => done(import('./agent.ts').then(({ agent }) => agent(options))));

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
