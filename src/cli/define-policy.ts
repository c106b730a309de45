import type { Command } from 'commander';
import { type Done, formatOption, repeat, sub } from './define.ts';

/** Commands about policy files, which need no cluster. */
export function definePolicy(program: Command, done: Done): void {
  const policy = sub(
    program,
    'policy',
    'check, explain, compare and format policies',
    'Works on policy files, without a cluster.',
  );

  sub(
    policy,
    'explain',
    'say whether a policy allows a command, and why',
    `Prints the verdict on a command and the rule that decides, with what the command would get, then what each
other rule lacks. Exit status: 0 allowed, 5 denied, 2 when the command or the policy cannot be read.`,
  )
    .argument('<command>', 'the command, in one piece')
    .requiredOption('--policy <file>', 'the policy')
    .requiredOption('--as <operator>', 'the operator, by the name in the policy')
    .option('--approved-by <operator>', 'somebody who has countersigned it (repeat)', repeat)
    .option('--node <name>', 'the name of the node')
    .option('--tag <name=value>', 'a tag of the node (repeat)', repeat)
    .addOption(formatOption('text', 'json'))
    .action((command, options) =>
      done(import('./policy.ts').then(({ explain }) => explain(command, options))),
    );

  sub(
    policy,
    'check',
    'find mistakes and dangers in policies',
    `Reads policies as a node does, tries their examples, and says what it sees: errors, dangers (which refuse the
file unless their rule says dangerous: "why"), warnings, remarks. Exit status: 0 when a node would take
every file, else 2.`,
  )
    .argument('<file...>', 'the policies')
    .option('--strict', 'warnings fail too')
    .option('--system', 'look at the programs of this machine too')
    .addOption(formatOption('text', 'json'))
    .action((files, options) => done(import('./policy-check.ts').then(({ check }) => check(files, options))));

  sub(
    policy,
    'diff',
    'say what another policy would change',
    `Compares two policies by what they mean: whose commands get another verdict, rule, limit or sandbox, and which
operators, groups and rules are new, gone or different. The commands are the examples of both files and
those of your own history. Exit status: 0 the same, 1 different, 2 when a policy cannot be read.`,
  )
    .argument('<old>', 'the policy that is in force')
    .argument('<new>', 'the one to come')
    .option('--no-history', 'the examples alone')
    .addOption(formatOption('text', 'json'))
    .action((before, after, options) =>
      done(import('./policy-diff.ts').then(({ diff }) => diff(before, after, options))),
    );

  sub(
    policy,
    'fmt',
    'format policies',
    `Rewrites policies in the one format, with their comments, and only when the policy stays the same. Exit
status: 0, with --check 1 when something would change, 2 when a policy cannot be read.`,
  )
    .argument('<file...>', 'the policies')
    .option('--check', 'only say which would change')
    .action((files, options) => done(import('./policy-fmt.ts').then(({ fmt }) => fmt(files, options))));

  sub(
    policy,
    'schema',
    'print the JSON schema of policies',
    `Prints the JSON schema (draft 2020-12) of the policy format, for editors. A policy names it in its first line:
# yaml-language-server: $schema=policy.schema.json`,
  ).action(() => done(import('./policy-schema.ts').then(({ schema }) => schema())));
}
