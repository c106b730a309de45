import { Command, CommanderError } from 'commander';
import { VERSION } from '../lib/version.ts';
import { type Done, HELP_WIDTH, withOutput, withRpcAuth, withRun, withSelection } from './define.ts';
import { defineAgent } from './define-agent.ts';
import { defineApprovals } from './define-approvals.ts';
import { defineAudit } from './define-audit.ts';
import { defineCluster } from './define-cluster.ts';
import { defineCompletion } from './define-completion.ts';
import { defineHandlers } from './define-handlers.ts';
import { defineKeys } from './define-keys.ts';
import { definePolicy } from './define-policy.ts';
import { defineRecords } from './define-records.ts';
import { defineSerf } from './define-serf.ts';
import { EXIT_CODES } from './exit-codes.ts';
import { normaliseGoFlags } from './go-flags.ts';
import { reportError } from './report-error.ts';
import type { RunOptions } from './run-flags.ts';
import { isInteractive } from './terminals.ts';

const INTRO = `Run a command on every matching machine, safely, and see every answer as it arrives.

  fanout "ps ax" --tag role=web        on every member whose tag role is web
  fanout --timeout 10s -- df -h /      the same without quotes: everything after -- is the command
  fanout                               on a terminal: the interactive session
  fanout COMMAND ...                   see Commands below

The command is one program with its arguments, never a shell line: no pipes, globs, variables or
redirections. Each node decides by its own policy whether it runs, in which sandbox and how long.`;

const EPILOGUE = `
A selection is made of terms: role=web*, role!=db, node=web[01-20] or web[01-20] alone for a
name, role=web,api for either value, @name for a saved one; joined by and, or, not, ( ).

Exit status:
${Object.entries(EXIT_CODES)
  .map(([code, meaning]) => `  ${code.padStart(3)}  ${meaning}`)
  .join('\n')}
  When several apply: 130, then 7, 6, 4, 5, 1.

Environment:
  FANOUT_RPC_ADDR    the agent to talk to (default: SERF_RPC_ADDR, or its unix socket here)
  FANOUT_RPC_AUTH    a file with the key of an agent that asks for one
                     (default: the key itself in SERF_RPC_AUTH)
  FANOUT_IDENTITY    your key file, or the .pub file of a key in ssh-agent, as -i
  SSH_AUTH_SOCK      the ssh-agent that may hold your key
  NO_COLOR           no colours, whatever the terminal can do

Files:
  ~/.config/fanout/operator.key     your key (0600), of "fanout operator keygen"; without it,
                                    ~/.ssh/id_ed25519, then ssh-agent ("fanout operator show")
  ~/.config/fanout/known_nodes      the node keys that you have met ("fanout known-nodes")
  ~/.config/fanout/selections.yaml  saved selections
  ~/.config/fanout/config.yaml      settings: "identity: ~/.ssh/work.pub", "audit: ..."
  ~/.local/state/fanout/            audit log, history, records of the last runs, yours alone

"fanout help COMMAND" tells more about each command.`;

type Define = (program: Command, done: Done, rest: readonly string[] | undefined) => void;

/** Where each command is defined. A call defines its own part alone, which saves time; help, and what nobody knows, all. */
const PARTS: Readonly<Record<string, Define>> = {
  agent: defineAgent,
  members: defineCluster,
  nodes: defineCluster,
  join: defineCluster,
  leave: defineCluster,
  info: defineCluster,
  monitor: defineCluster,
  keys: defineSerf,
  rtt: defineSerf,
  event: defineSerf,
  query: defineSerf,
  reachability: defineSerf,
  tags: defineSerf,
  'force-leave': defineSerf,
  version: defineSerf,
  keygen: defineKeys,
  operator: defineKeys,
  'known-nodes': defineKeys,
  policy: definePolicy,
  run: defineHandlers,
  handlers: defineHandlers,
  plan: defineRecords,
  show: defineRecords,
  last: defineRecords,
  history: defineRecords,
  select: defineRecords,
  ui: defineRecords,
  request: defineApprovals,
  approve: defineApprovals,
  submit: defineApprovals,
  audit: defineAudit,
  completion: defineCompletion,
};

/** In the order of the help. */
const ALL: readonly Define[] = [
  defineAgent,
  defineCluster,
  defineSerf,
  defineKeys,
  definePolicy,
  defineRecords,
  defineApprovals,
  defineAudit,
  defineHandlers,
  defineCompletion,
];

/** The program with what a command of this name needs: for one that nobody knows, for none, and for "complete", all. */
export function loadProgram(
  name: string | undefined,
  rest: readonly string[] | undefined,
  done: Done,
): Command {
  const program = rootCommand(rest, done);
  const part = PARTS[name ?? ''];
  for (const define of part === undefined ? ALL : [part]) define(program, done, rest);
  withRpcAuth(program);
  return program;
}

/** Runs one command line and returns its exit code. Everything heavy is imported by the command that needs it. */
export async function main(argv: readonly string[]): Promise<number> {
  let code = 0;
  const done = (action: Promise<number>): Promise<void> =>
    action.then((result) => {
      code = result;
    });
  try {
    const dashes = argv.indexOf('--');
    const own = normaliseGoFlags(dashes < 0 ? argv : argv.slice(0, dashes));
    const rest = dashes < 0 ? undefined : argv.slice(dashes + 1);
    // The session shows its first screen before a script would have read the options.
    if (argv.length === 0) {
      const { FANOUT_RPC_ADDR: rpcAddr } = process.env;
      const options = rpcAddr === undefined ? {} : { rpcAddr };
      if (isInteractive()) return await (await import('./ui.ts')).ui({ color: 'auto', ...options });
    }
    const program = loadProgram(own[0], rest, done);
    await program.parseAsync(own, { from: 'user' });
    return code;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    return reportError(error);
  }
}

function rootCommand(rest: readonly string[] | undefined, done: Done): Command {
  const program = new Command('fanout')
    .exitOverride()
    .configureHelp({ helpWidth: HELP_WIDTH, showGlobalOptions: false })
    .showHelpAfterError('(fanout --help tells what is possible)')
    .enablePositionalOptions()
    .version(VERSION, '-v, --version', 'print the version')
    .helpCommand('help [command]', 'tell more about a command')
    .usage('[options] "command" | [options] -- command... | (nothing: the session)')
    .description(INTRO)
    .argument('[command...]', 'the command to run, in one piece');
  return withOutput(withRun(withSelection(program)))
    .addHelpText('after', EPILOGUE)
    .action((words: string[], options: RunOptions) => done(runOrSession(program, words, rest, options)));
}

/** Without a command it is the session, where somebody sits at a terminal; elsewhere there is something to be told. */
async function runOrSession(
  program: Command,
  words: readonly string[],
  rest: readonly string[] | undefined,
  options: RunOptions,
): Promise<number> {
  if (words.length > 0 || rest !== undefined) {
    const { run } = await import('./run.ts');
    return run({ words, rest, options });
  }
  if (isInteractive()) {
    const { ui } = await import('./ui.ts');
    return ui(options);
  }
  program.outputHelp({ error: true });
  return 2;
}
