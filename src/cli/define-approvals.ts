import type { Command } from 'commander';
import {
  type Done,
  identityOption,
  rpcOption,
  sub,
  timeoutOption,
  withOutput,
  withPace,
  withSelection,
} from './define.ts';

/** Commands that take more than one person. */
export function defineApprovals(program: Command, done: Done, rest: readonly string[] | undefined): void {
  withSelection(
    sub(
      program,
      'request',
      'ask others to approve a command',
      `Signs a command for rules that ask for approvals, and runs nothing: prints a text to hand to those who may
approve it. It holds no secret. What they send back is run with "fanout submit", here, once.

  fanout request "systemctl restart app" --tag role=web -o restart.req
  fanout approve restart.req -o restart.ok      (somebody else, anywhere)
  fanout submit restart.ok`,
    ),
  )
    .argument('[command...]', 'the command, in one piece')
    .option('--valid <duration>', 'how long it can be approved and run; the policy has its own limit', '15m')
    .option('-o, --output <file>', 'write it to a file')
    .addOption(identityOption())
    .addOption(timeoutOption())
    .addOption(rpcOption())
    .action((words, options) =>
      done(import('./request.ts').then(({ request }) => request({ words, rest, options }))),
    );

  sub(
    program,
    'approve',
    'approve what somebody else asks for',
    `Shows what a request would do (every word of the command, where, by whom, until when, and what each node says
to it), asks, and signs exactly those bytes with your key. Needs no agent; with one it shows the nodes' verdicts.
Prints the request with your approval, for whoever made it.`,
  )
    .argument('[file]', 'the request; standard input when it is left out')
    .option('-o, --output <file>', 'write it to a file')
    .option('-y, --yes', 'do not ask')
    .addOption(identityOption())
    .addOption(rpcOption())
    .action((file, options) => done(import('./request.ts').then(({ approve }) => approve(file, options))));

  withOutput(
    withPace(
      sub(
        program,
        'submit',
        'run a request that was approved',
        `Runs a request that you made and others have approved. Several files are the same request, approved by
several people. It runs once; then make another one. Exit status as that of a run.`,
      ).addOption(identityOption()),
    ),
  )
    .argument('[file...]', 'the approved request; standard input when it is left out')
    .action((files, options) => done(import('./request.ts').then(({ submit }) => submit(files, options))));
}
