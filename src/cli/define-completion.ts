import { Argument, type Command } from 'commander';
import { type Done, sub } from './define.ts';

const SHELLS = ['bash', 'zsh', 'fish'];

/** What completes the command line. The scripts ask `fanout complete` at each Tab, so they are never older than fanout. */
export function defineCompletion(program: Command, done: Done, rest: readonly string[] | undefined): void {
  sub(
    program,
    'completion',
    'print a script that completes fanout in a shell',
    `Prints a script for a shell, which completes commands, flags and their values, and names and tags of the
members that the agent knows. Names with other characters than letters, digits and . _ - are left out.

  bash:  eval "$(fanout completion bash)"         in ~/.bashrc
  zsh:   eval "$(fanout completion zsh)"          in ~/.zshrc, after compinit
  fish:  fanout completion fish | source          in ~/.config/fish/config.fish`,
  )
    .addArgument(new Argument('<shell>', 'the shell').choices(SHELLS))
    .action((shell) =>
      done(import('./completion-scripts.ts').then(({ printCompletion }) => printCompletion(shell))),
    );

  program
    .command('complete', { hidden: true })
    .addArgument(new Argument('<shell>', 'the shell that asks').choices(SHELLS))
    .action((shell) =>
      done(import('./complete.ts').then(({ complete }) => complete(program, shell, rest ?? []))),
    );
}
