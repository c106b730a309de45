import type { Command } from 'commander';
import {
  type Done,
  formatOption,
  identityOption,
  repeat,
  rpcOption,
  sub,
  withOutput,
  withRun,
  withSelection,
} from './define.ts';

/** Commands about runs beside the run itself: asking first, looking back, the session. */
export function defineRecords(program: Command, done: Done, rest: readonly string[] | undefined): void {
  withRun(
    withSelection(
      sub(
        program,
        'plan',
        'ask the nodes whether they would run a command',
        `Asks each matching node what it would do with the command, and runs nothing: who would run it, by which
rule, who refuses and why, who is silent. Exit status: 0 all would run it, 5 some refuse, 4 some are
silent or cannot start it.`,
      ),
    ),
  )
    .argument('[command...]', 'the command, in one piece')
    .addOption(formatOption('text', 'json'))
    .action((words, options) => done(import('./plan.ts').then(({ plan }) => plan({ words, rest, options }))));

  withOutput(
    sub(
      program,
      'show',
      'show a run of before',
      `Shows what came of a run, as it was shown then, in any format; without an id it lists the runs that are
kept. Exit status: that of the run.`,
    ),
  )
    .argument('[run]', '"last", or the start of an id')
    .option('--only <node>', 'all output of this node, byte for byte')
    .action((run, options) => done(import('./show.ts').then(({ show }) => show(run, options))));

  withOutput(sub(program, 'last', 'show the last run', 'The same as "fanout show last".'))
    .option('--only <node>', 'all output of this node, byte for byte')
    .action((options) => done(import('./show.ts').then(({ show }) => show('last', options))));

  sub(
    program,
    'history',
    'list the commands that were run',
    'Lists the commands that were run from this machine, and what came of each, the newest last.',
  )
    .option('--count <n>', 'so many', '20')
    .addOption(formatOption('text', 'json'))
    .action((options) => done(import('./history.ts').then(({ history }) => history(options))));

  const select = sub(
    program,
    'select',
    'saved selections',
    'Keeps selections under names, which -w @name, -s "@name and ..." and the session take.',
  );
  sub(select, 'list', 'list them', 'Lists the saved selections.')
    .addOption(formatOption('text', 'json'))
    .action((options) => done(import('./select.ts').then(({ listSelections }) => listSelections(options))));
  sub(select, 'save', 'save one', 'Saves a selection under a name, in place of what had that name.')
    .argument('<name>', 'letters, digits, dots, dashes and underscores')
    .argument('<selection>', "such as 'role=web and not dc=tyo'")
    .action((name, text) => done(import('./select.ts').then(({ saveAs }) => saveAs(name, text))));
  sub(select, 'remove', 'remove one', 'Removes a saved selection.')
    .argument('<name>', 'its name')
    .action((name) => done(import('./select.ts').then(({ removeSaved }) => removeSaved(name))));

  sub(
    program,
    'ui',
    'the interactive session',
    `Opens the session: choose targets, see every node's verdict before anything runs, watch the answers, compare,
search and save them. "fanout" alone on a terminal does the same. ? shows the keys.`,
  )
    .option('-s, --select <selection>', 'the selection to begin with', repeat)
    .addOption(identityOption())
    .option('--ascii', 'draw with ASCII alone')
    .option(
      '--screen-reader',
      'lines instead of a live screen, and keys by name (also with TERM=dumb or INK_SCREEN_READER=true)',
    )
    .option('--color <when>', 'colours: auto, always, never', 'auto')
    .addOption(rpcOption())
    .action((options) => done(import('./ui.ts').then(({ ui }) => ui(options))));
}
