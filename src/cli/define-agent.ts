import { type Command, Option } from 'commander';
import { settingRows } from '../agent/settings/table.ts';
import { type Done, repeat, sub } from './define.ts';

/** The agent itself. Its flags are the settings that have one. */
export function defineAgent(program: Command, done: Done): void {
  const command = sub(
    program,
    'agent',
    'run an agent on this machine',
    `Runs an agent in the foreground: a member of the cluster, and, with --policy, one that carries
out the commands that its policy allows. Settings come from configuration files (JSON or YAML,
Serf's keys and more: docs/agent.md) and from flags, which count more. Serf's own flags, with
one dash, work too. SIGHUP reads configuration and policy again (a bad one is reported and the
old one stays in force), SIGINT leaves the cluster, SIGTERM stops at once.

With --check: which sandboxes and limits this machine can give, why not the others and how to get
them, and whether each rule of the policy can run here. Exit status 0 when every rule can, else 4.

A command that ran when an agent of this node died is refused, by the same rule, until a start
with --forgive.`,
  );
  // One list for both, because their order together says which file counts more.
  const paths: string[] = [];
  const collect = (path: string): string[] => {
    paths.push(path);
    return paths;
  };
  command.option(
    '--config-file <file>',
    'a configuration file, JSON or YAML (repeat: later ones count more)',
    collect,
  );
  command.option(
    '--config-dir <dir>',
    'the .json, .yaml and .yml files of a folder, by name (repeat)',
    collect,
  );
  command.option(
    '--check-config',
    'check everything, print what would be in force without secrets, and exit',
  );
  command.option(
    '--check',
    'say what this machine can give to commands and which rules can run; start nothing',
  );
  command.option('--forgive', 'let commands run again that ran when an agent of this node died');
  for (const option of settingOptions()) command.addOption(option);
  command.action((options) => {
    const config = paths.length === 0 ? {} : { configFile: paths };
    return done(import('./agent.ts').then(({ agent }) => agent({ ...options, ...config })));
  });
}

/** The flag of each setting that has one, for commander. No flag has a default: a file may say otherwise. */
function settingOptions(): Option[] {
  return settingRows().flatMap(({ flag, kind, about, default: otherwise }) => {
    if (flag === undefined) return [];
    const option = new Option(flag, otherwise === undefined ? about : `${about} (default: ${otherwise})`);
    return [kind === 'list' || kind === 'map' ? option.argParser(repeat) : option];
  });
}
