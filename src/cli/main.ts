import { Command, CommanderError, Option } from 'commander';
import { VERSION } from '../lib/version.ts';
import { EXIT_CODES } from './exit-codes.ts';
import { reportError } from './report-error.ts';
import type { RunOptions } from './run.ts';

const HELP_WIDTH = 96;

const INTRO = `Run a command on every matching machine, safely, and see every answer as it arrives.

  fanout "ps ax" --tag role=web        on every member whose tag role is web
  fanout --timeout 10s -- df -h /      the same without quotes: everything after -- is the command
  fanout COMMAND ...                   see Commands below

The command is one program with its arguments, never a shell line: no pipes, globs, variables or
redirections. Each node decides by its own policy whether it runs, in which sandbox and how long.`;

const EPILOGUE = `
Exit status:
${Object.entries(EXIT_CODES)
  .map(([code, meaning]) => `  ${code.padStart(3)}  ${meaning}`)
  .join('\n')}
  When several apply: 130, then 7, 6, 4, 5, 1.

Environment:
  FANOUT_RPC_ADDR    the agent to talk to (default: its unix socket on this machine)
  FANOUT_IDENTITY    the operator's key file (default: ~/.config/fanout/operator.key)
  NO_COLOR           no colours, whatever the terminal can do

Files:
  ~/.config/fanout/operator.key    your key (0600), made by "fanout operator keygen"
  ~/.config/fanout/known_nodes     the node keys that you have met, as ssh's known_hosts

"fanout help COMMAND" tells more about each command.`;

/** Runs one command line and returns its exit code. Everything heavy is imported by the command that needs it. */
export async function main(argv: readonly string[]): Promise<number> {
  let code = 0;
  const done = (action: Promise<number>): Promise<void> =>
    action.then((result) => {
      code = result;
    });
  try {
    const dashes = argv.indexOf('--');
    const own = dashes < 0 ? argv : argv.slice(0, dashes);
    const rest = dashes < 0 ? undefined : argv.slice(dashes + 1);
    const program = buildProgram(rest, done);
    if (own.length === 0 && rest === undefined) {
      program.outputHelp({ error: true });
      return 2;
    }
    await program.parseAsync([...own], { from: 'user' });
    return code;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    return reportError(error);
  }
}

type Done = (action: Promise<number>) => Promise<void>;

const repeat = (value: string, all: readonly string[] = []): string[] => [...all, value];

function rpcOption(): Option {
  return new Option(
    '--rpc-addr <address>',
    'the agent to talk to: HOST:PORT or the path of its unix socket',
  ).env('FANOUT_RPC_ADDR');
}

function formatOption(...choices: string[]): Option {
  return new Option('--format <format>', 'how to print').choices(choices).default('text');
}

function buildProgram(rest: readonly string[] | undefined, done: Done): Command {
  const program = new Command('fanout')
    .exitOverride()
    .configureHelp({ helpWidth: HELP_WIDTH, showGlobalOptions: false })
    .showHelpAfterError('(fanout --help tells what is possible)')
    .enablePositionalOptions()
    .version(VERSION, '-v, --version', 'print the version')
    .helpCommand('help [command]', 'tell more about a command')
    .usage('[options] "command" | [options] -- command...')
    .description(INTRO)
    .argument('[command...]', 'the command to run, in one piece')
    .option(
      '-t, --tag <name=glob>',
      'only members with this tag (repeat: all must hold, the same tag twice: either)',
      repeat,
    )
    .option('-n, --node <glob>', 'only members with this name (repeat: either)', repeat)
    .option('-i, --identity <file>', "the operator's key (default: ~/.config/fanout/operator.key)")
    .option('--timeout <duration>', 'end the run, and kill what still runs, after this time', '30s')
    .addOption(formatOption('text', 'ndjson', 'json'))
    .addOption(rpcOption())
    .addHelpText('after', EPILOGUE)
    .action((words: string[], options: RunOptions) =>
      done(import('./run.ts').then(({ run }) => run({ words, rest, options }))),
    );
  addMembership(program, done);
  addKeys(program, done);
  addPolicy(program, done);
  return program;
}

function sub(parent: Command, name: string, summary: string, description: string): Command {
  return parent
    .command(name)
    .summary(summary)
    .description(description)
    .configureHelp({ helpWidth: HELP_WIDTH });
}

function addMembership(program: Command, done: Done): void {
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
    .option('-t, --tag <name=value>', 'a tag of this node (repeat)', repeat)
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

  sub(
    program,
    'members',
    'list the members of the cluster',
    'Lists the members that the agent knows: name, address, status and tags, one line each.',
  )
    .option('-t, --tag <name=glob>', 'only members with this tag (repeat)', repeat)
    .option('-n, --node <glob>', 'only members with this name (repeat)', repeat)
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
}

function addKeys(program: Command, done: Done): void {
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

function addPolicy(program: Command, done: Done): void {
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
    .option('-t, --tag <name=value>', 'a tag of the node (repeat)', repeat)
    .addOption(formatOption('text', 'json'))
    .action((command, options) =>
      done(import('./policy.ts').then(({ explain }) => explain(command, options))),
    );
}
