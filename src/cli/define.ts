import { type Command, Option } from 'commander';

/** Hands the promise of a command's exit code to the program. */
export type Done = (action: Promise<number>) => Promise<void>;

export const HELP_WIDTH = 96;

export const repeat = (value: string, all: readonly string[] = []): string[] => [...all, value];

export function rpcOption(): Option {
  return new Option(
    '--rpc-addr <address>',
    'the agent to talk to: HOST:PORT or the path of its unix socket',
  ).env('FANOUT_RPC_ADDR');
}

/**
 * Gives every command that talks to an agent the ways to show it its key. The second is Serf's `-rpc-auth`: it works, and
 * is not offered, because the arguments show in every list of processes.
 */
export function withRpcAuth(program: Command): void {
  for (const command of commandsOf(program)) {
    const talks = command.options.some(({ long }) => long === '--rpc-addr');
    if (!talks || command.name() === 'agent') continue;
    command
      .addOption(
        new Option('--rpc-auth <file>', 'a file (0600) with the key of an agent that asks for one').env(
          'FANOUT_RPC_AUTH',
        ),
      )
      .addOption(new Option('--rpc-auth-key <key>').hideHelp());
  }
  program.hook('preAction', async (_program, action) => {
    const { rpcAuth: file, rpcAuthKey: key } = action.opts<{ rpcAuth?: string; rpcAuthKey?: string }>();
    if (action.name() === 'agent' || (file ?? key) === undefined) return;
    const { takeAuthKey } = await import('../asker/connect.ts');
    takeAuthKey(key === undefined ? { file: file ?? '' } : { key });
  });
}

function commandsOf(command: Command): Command[] {
  return [command, ...command.commands.flatMap(commandsOf)];
}

export function formatOption(...choices: string[]): Option {
  return new Option('--format <format>', 'how to print').choices(choices).default('text');
}

export function sub(parent: Command, name: string, summary: string, description: string): Command {
  return parent
    .command(name)
    .summary(summary)
    .description(description)
    .configureHelp({ helpWidth: HELP_WIDTH });
}

/** The flags that choose members; the same wherever something is done to some of them. */
export function withSelection(command: Command): Command {
  return command
    .option(
      '--tag <name=glob>',
      'members with this tag (repeat: all must hold, the same tag twice: either; also name!=glob)',
      repeat,
    )
    .option('--node <glob>', 'members with this name: web1, web*, web[01-20] (repeat: either)', repeat)
    .option(
      '-w, --nodes <set>',
      'these: web[01-20],db1, @saved, ^FILE with a name a line, - for stdin',
      repeat,
    )
    .option('-x, --exclude <set>', 'not these', repeat)
    .option('-s, --select <selection>', "a selection: 'role=web and not (dc=tyo or node=web[01-03])'", repeat)
    .option('-a, --all', 'everybody (what no selection means, said aloud)')
    .option('--from <run>', 'nodes of a run of before: last, last:failed, ID:denied,silent, last:rc=3');
}

/** The flags that say how answers are shown. */
export function withOutput(command: Command): Command {
  return command
    .addOption(formatOption('text', 'ndjson', 'json', 'csv', 'serf-json'))
    .option(
      '-b, --gather',
      'identical answers once, under the names of their nodes (stdout; stderr as it comes)',
    )
    .option('-B, --gather-all', 'as -b, with stderr gathered too')
    .option('-L, --lines', 'gathered, with the nodes in front of each line')
    .option('--diff', 'gathered, each other answer as its difference from the commonest good one')
    .option('-o, --outdir <dir>', 'stdout into one file per node, and NODE.rc with its exit code')
    .option('-e, --errdir <dir>', 'stderr into one file per node')
    .option('-N, --no-label', 'no "node: " in front of lines')
    .option('-q, --quiet', 'say nothing when all went well')
    .addOption(
      new Option('--color <when>', 'colours: of the terminal, always, never')
        .choices(['auto', 'always', 'never'])
        .default('auto'),
    );
}

export function identityOption(): Option {
  return new Option(
    '-i, --identity <file>',
    'your key, or the .pub of one in ssh-agent (see "operator show")',
  );
}

export function timeoutOption(): Option {
  return new Option(
    '-t, --timeout <duration>',
    'end the run, and kill what still runs, after this time (each batch anew)',
  ).default('30s');
}

/** The flags of a run. */
export function withRun(command: Command): Command {
  return withPace(command.addOption(identityOption()).addOption(timeoutOption())).option(
    '-n, --dry-run',
    'only ask the nodes whether they would run it (as "fanout plan")',
  );
}

/** The flags that say how a run goes on. */
export function withPace(command: Command): Command {
  return command
    .option('-f, --fanout <n>', 'at most so many nodes at the same time')
    .option('--batch <n or n%>', 'go in batches of so many nodes; the next starts when all of one have ended')
    .option('--batch-sleep <duration>', 'pause between two batches')
    .option('--canary <n>', 'so many nodes first, alone; when one of them fails, nothing more starts')
    .option('--max-errors <n or n%>', 'start nothing more above so many that failed (with --batch: 0)')
    .option('-y, --yes', 'do not ask, however many nodes may be changed')
    .option('-S, --maxrc', "exit with the largest of the commands' own codes")
    .option('--no-record', 'keep no record of the answers on this machine')
    .addOption(rpcOption());
}
