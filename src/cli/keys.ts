import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { configPath } from '../asker/paths.ts';
import { generateClusterKey } from '../identity/cluster-key.ts';
import { checkOperatorName, createOperatorKey } from '../identity/operator-key.ts';
import { newPassphrase, onTerminal } from './passphrase-terminal.ts';

/** `fanout keygen`: prints a new cluster key. */
export async function keygen(): Promise<number> {
  process.stdout.write(`${generateClusterKey()}\n`);
  return 0;
}

/** `fanout operator keygen`: writes a new operator's key and prints the public line that policies take. */
export async function operatorKeygen(options: {
  name: string;
  output?: string;
  passphrase?: boolean;
}): Promise<number> {
  const file = options.output ?? configPath('operator.key');
  // Before anything is typed.
  checkOperatorName(options.name);
  const passphrase = options.passphrase === true ? await onTerminal(newPassphrase) : undefined;
  if (options.output === undefined) mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  const { publicLine } = createOperatorKey(file, options.name, passphrase);
  process.stderr.write(
    `The key is in ${file}. Put the next line under "operators" in the policies of your nodes:\n`,
  );
  process.stdout.write(`${publicLine}\n`);
  return 0;
}
