import type { Command } from 'commander';
import { type Done, formatOption, identityOption, sub } from './define.ts';

/** Commands about keys, which need no cluster. */
export function defineKeys(program: Command, done: Done): void {
  sub(
    program,
    'keygen',
    'make a cluster key',
    `Prints a new cluster key: 32 random bytes in base64, as "serf keygen" does. It lets a machine gossip; it
does not let anybody run anything.`,
  ).action(() => done(import('./keys.ts').then(({ keygen }) => keygen())));

  defineOperator(sub(program, 'operator', "operators' keys", "Makes and looks after operators' keys."), done);
  defineKnownNodes(program, done);
}

function defineOperator(operator: Command, done: Done): void {
  sub(
    operator,
    'keygen',
    "make an operator's key",
    `Makes an Ed25519 key with which an operator signs commands, and prints the public line that
policies take. The key file gets mode 0600 and is never overwritten. With --passphrase it is
sealed (scrypt, secretbox), else it is in OpenSSH's format. A key that you have in ssh-agent
does as well: see "fanout operator show".`,
  )
    .requiredOption('--name <name>', 'whose key it is')
    .option('-o, --output <file>', 'where to write it (default: ~/.config/fanout/operator.key)')
    .option('--passphrase', 'ask for a passphrase on the terminal, and seal the key with it')
    .action((options) => done(import('./keys.ts').then(({ operatorKeygen }) => operatorKeygen(options))));

  sub(
    operator,
    'show',
    'say which key would sign',
    `Prints which key would sign, what chose it, its protection, its fingerprint as
"ssh-keygen -l" prints it, and its public line. Asks for no passphrase. The key is, in this
order: -i, FANOUT_IDENTITY, "identity:" in ~/.config/fanout/config.yaml,
~/.config/fanout/operator.key, ~/.ssh/id_ed25519, the only Ed25519 key in ssh-agent.
A .pub file, and an OpenSSH key with a passphrase or of a security key (ed25519-sk), mean the
key in ssh-agent.`,
  )
    .addOption(identityOption())
    .addOption(formatOption('text', 'json'))
    .action((options) => done(import('./operator.ts').then(({ operatorShow }) => operatorShow(options))));

  sub(
    operator,
    'passphrase',
    'add, change or remove a passphrase',
    `Asks on the terminal for the passphrase that a key file has, if it has one, and for a new
one, twice. The file is replaced in one step; the key stays the same. Where the old file lay
on the disk its bytes may still be found: a key that was once stored without a passphrase is
better made anew.`,
  )
    .argument('[file]', 'the key (default: ~/.config/fanout/operator.key)')
    .option('--remove', 'leave the key without a passphrase')
    .action((file, options) =>
      done(import('./operator.ts').then(({ operatorPassphrase }) => operatorPassphrase(file, options))),
    );
}

function defineKnownNodes(program: Command, done: Done): void {
  const known = sub(
    program,
    'known-nodes',
    'the node keys that you have met',
    `Lists the node keys that ~/.config/fanout/known_nodes has pinned: name, environment,
fingerprint, and when each was first seen. A node that shows another key is not trusted (exit
status 7) until its pin is forgotten.

Agents pin the keys of each other as well. When two members claim one name, they vote for who
proves the key that they have for it. --data-dir lists those of an agent on this machine; run it
as the user of that agent.`,
  )
    .option('--data-dir <dir>', 'the pins of the agent with this data folder')
    .addOption(formatOption('text', 'json'))
    .action((options) =>
      done(import('./known-nodes.ts').then(({ listKnownNodes }) => listKnownNodes(options))),
    );
  sub(
    known,
    'forget',
    'end the pins of nodes',
    `Ends the pins of nodes, after they were set up anew: the key that each shows next is taken.
Names are given as the list shows them. Exit status: 0, or 3 when none of them is known.
With --data-dir, a running agent takes note at once.`,
  )
    .argument('<name...>', 'the nodes')
    .option('--env <name>', 'in this environment alone')
    .option('--data-dir <dir>', 'those of the agent with this data folder')
    .addOption(formatOption('text', 'json'))
    .action((names, options) =>
      done(import('./known-nodes.ts').then(({ forgetKnownNodes }) => forgetKnownNodes(names, options))),
    );
}
