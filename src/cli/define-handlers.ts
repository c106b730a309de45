import type { Command } from 'commander';
import { type Done, formatOption, repeat, sub, withOutput, withRun, withSelection } from './define.ts';

/** Commands about handlers with manifests. */
export function defineHandlers(program: Command, done: Done): void {
  withOutput(
    withRun(
      withSelection(
        sub(
          program,
          'run',
          'run a handler of the nodes',
          `Signs a command for the handler NAME and runs it on every matching member that has it and whose policy
allows it (commands: [{ handler: NAME }]). Flags and exit status are those of a run.`,
        ),
      ),
    ),
  )
    .argument('<name>', 'the handler')
    .option('-p, --param <name=value>', 'a parameter of the handler (repeat)', repeat)
    .option('--dir <dir>', 'where its manifest is, to check the values before anything is sent')
    .action((name, options) => done(handlers().then(({ runHandler }) => runHandler(name, options))));

  const parent = sub(
    program,
    'handlers',
    'handlers: list, show, test',
    `Handlers are small programs with a manifest that says which parameters they take. A node that is started with
--handlers DIR offers those of the folder; its policy says who may run which.`,
  );
  folder(sub(parent, 'list', 'list them', 'Lists the handlers of a folder.'))
    .addOption(formatOption('text', 'json'))
    .action((options) => done(handlers().then(({ listHandlers }) => listHandlers(options))));
  folder(sub(parent, 'show', 'show one', 'Shows what a handler takes and runs, and how a policy allows it.'))
    .argument('<name>', 'the handler')
    .addOption(formatOption('text', 'json'))
    .action((name, options) => done(handlers().then(({ showHandler }) => showHandler(name, options))));
  folder(
    sub(
      parent,
      'test',
      'test them on this machine',
      `Runs the cases of test.yaml on this machine, in the sandbox that the handler asks for. Exit status 0 when each
came out as it should, else 1.`,
    ),
  )
    .argument('[name]', 'the handler (default: all)')
    .action((name, options) => done(handlers().then(({ testHandlers }) => testHandlers(name, options))));
}

const handlers = () => import('./handlers.ts');

function folder(command: Command): Command {
  return command.option('--dir <dir>', 'the folder (default: those that come with fanout)');
}
