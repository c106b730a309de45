import { Command, CommanderError } from 'commander';
import { VERSION } from '../lib/version.ts';
import { type Done, HELP_WIDTH, withOutput, withRpcAuth, withRun, withSelection } from './define.ts';
import { EXIT_CODES } from './exit-codes.ts';
import { normaliseGoFlags } from './go-flags.ts';
import { reportError } from './report-error.ts';
import type { RunOptions } from './run-flags.ts';

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

const agent = async (): Promise<Define> => (await import('./define-agent.ts')).defineAgent;
const cluster = async (): Promise<Define> => (await import('./define-cluster.ts')).defineCluster;
const keys = async (): Promise<Define> => (await import('./define-keys.ts')).defineKeys;
const serf = async (): Promise<Define> => (await import('./define-serf.ts')).defineSerf;
const handlers = async (): Promise<Define> => (await import('./define-handlers.ts')).defineHandlers;
const policies = async (): Promise<Define> => (await import('./define-policy.ts')).definePolicy;
const records = async (): Promise<Define> => (await import('./define-records.ts')).defineRecords;

const approvals = async (): Promise<Define> => (await import('./define-approvals.ts')).defineApprovals;
const completion = async (): Promise<Define> => (await import('./define-completion.ts')).defineCompletion;
const audit = async (): Promise<Define> => (await import('./define-audit.ts')).defineAudit;

/** Where each command is defined. A call loads its own part alone; help, and what nobody knows, load all. */
const PARTS: Readonly<Record<string, () => Promise<Define>>> = {
  agent,
  members: cluster,
  nodes: cluster,
  join: cluster,
  leave: cluster,
  info: cluster,
  monitor: cluster,
  keys: serf,
  rtt: serf,
  event: serf,
  query: serf,
  reachability: serf,
  tags: serf,
  'force-leave': serf,
  version: serf,
  keygen: keys,
  operator: keys,
  'known-nodes': keys,
  policy: policies,
  run: handlers,
  handlers,
  plan: records,
  show: records,
  last: records,
  history: records,
  select: records,
  ui: records,
  request: approvals,
  approve: approvals,
  submit: approvals,
  audit,
  completion,
};

/** The program with what a command of this name needs: for one that nobody knows, for none, and for "complete", all. */
export async function loadProgram(
  name: string | undefined,
  rest: readonly string[] | undefined,
  done: Done,
): Promise<Command> {
  const program = rootCommand(rest, done);
  const part = PARTS[name ?? ''];
  const all = [agent, cluster, serf, keys, policies, records, approvals, audit, handlers, completion];
  const parts = part === undefined ? all : [part];
  for (const load of parts) (await load())(program, done, rest);
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
      const { isInteractive } = await import('./terminals.ts');
      const { FANOUT_RPC_ADDR: rpcAddr } = process.env;
      const options = rpcAddr === undefined ? {} : { rpcAddr };
      if (isInteractive()) return await (await import('./ui.ts')).ui({ color: 'auto', ...options });
    }
    const program = await loadProgram(own[0], rest, done);
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
  const { isInteractive } = await import('./terminals.ts');
  if (isInteractive()) {
    const { ui } = await import('./ui.ts');
    return ui(options);
  }
  program.outputHelp({ error: true });
  return 2;
}
