import { type Command, Option } from 'commander';

/** The flags of an agent for the parts of Serf's protocol that are a choice. */
export function withSerf(command: Command): Command {
  return command
    .option(
      '--keyring-file <file>',
      'where the cluster keys are kept (0600, JSON as Serf), instead of --encrypt',
    )
    .addOption(
      new Option(
        '--key-changes <who>',
        'who may change them: any member, or operators that the policy allows "fanout-keys" (default with a policy)',
      ).choices(['any', 'operators']),
    );
}
