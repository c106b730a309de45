import type { Command } from 'commander';
import { type Done, formatOption, rpcOption, sub } from './define.ts';

/** Commands about audit logs: the operator's own, and those of nodes. */
export function defineAudit(program: Command, done: Done): void {
  const audit = sub(
    program,
    'audit',
    'check and read audit logs',
    `Checks and reads audit logs: your own, in which each run that you sign is recorded before it is sent, and
those of nodes. Every record holds the hash of the one before.`,
  );
  sub(
    audit,
    'verify',
    'check that nothing in a log was changed',
    `Checks every record of a log, its rotated files included, and names the first line that is wrong. Without a
file it is your own log. The chain cannot show that the newest records were cut off: "audit cross" can.
Exit status: 0 all hold, 7 one does not.`,
  )
    .argument('[file...]', 'logs')
    .option('--data-dir <dir>', 'the log of the agent with this data directory')
    .action((files, options) => done(import('./audit.ts').then(({ verify }) => verify(files, options))));
  sub(
    audit,
    'show',
    'print the records of a log',
    'Prints the records of a log, the oldest first; without a file your own. Exit status 7 when its chain breaks.',
  )
    .argument('[file]', 'the log')
    .option('--node <name>', 'only what concerns this node')
    .option('--id <id>', 'only runs whose id begins so')
    .option('--since <duration>', 'only what is younger: 30m, 1h')
    .option('--operator <name>', 'only what this operator asked for (a name of the policy, or a fingerprint)')
    .addOption(formatOption('text', 'json', 'ndjson'))
    .action((file, options) =>
      done(import('./audit-show.ts').then(({ showAudit }) => showAudit(file, options))),
    );
  sub(
    audit,
    'cross',
    "compare your log with nodes' logs",
    `Compares your log with copies of nodes' logs, run by run: runs that only one of them has, commands, verdicts, rules,
exit codes, byte counts and output hashes that differ, and records that the node once had and has no more.
Exit status: 0 all agree, 7 something differs.`,
  )
    .argument('<log...>', 'FILE, or NAME=FILE when the log does not say whose it is')
    .option('--log <file>', 'compare with this log instead of your own')
    .action((logs, options) => done(import('./audit.ts').then(({ cross }) => cross(logs, options))));
  sub(
    audit,
    'accept',
    'accept that the log of a node begins anew',
    `Forgets how far the audit log of a node had come, after it was replaced on purpose. Until then every run there
says that it was rewritten or lost. A node with a new key needs "known-nodes forget" alone.`,
  )
    .argument('<node>', 'its name')
    .option('--env <name>', "its environment (default: the agent's)")
    .addOption(rpcOption())
    .action((node, options) => done(import('./audit.ts').then(({ accept }) => accept(node, options))));
}
