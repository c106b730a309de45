import type { Command } from 'commander';
import { repeat } from './define.ts';

/** The flags of an agent that are about handlers. */
export function withHandlers(command: Command): Command {
  return command
    .option(
      '--event-handler <[filter=]script>',
      'a shell line for events, as Serf (repeat): member-join,member-leave=..., user:deploy=..., query:load=uptime',
      repeat,
    )
    .option('--handler-timeout <duration>', 'kill a script, and what it started, after this time', '5m')
    .option('--allow-unsigned-queries', "without a policy: answer anybody's queries, as Serf does")
    .option('--allow-shell-handler', 'take a script that is a shell, which makes everybody root here')
    .option('--handlers <dir>', 'handlers with manifests, for signed commands (see "fanout handlers")');
}
