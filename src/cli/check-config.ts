import { stringify } from 'yaml';
import type { AgentConfig } from '../agent/config.ts';
import { PolicyHolder } from '../agent/policy-holder.ts';
import { effectiveSettings } from '../agent/settings/effective.ts';
import type { LoadedSettings } from '../agent/settings/load.ts';
import { sanitiseText } from '../lib/sanitise.ts';
import { loadHandlers } from '../runtime/handler-folder.ts';

/**
 * `fanout agent --check-config`: prints what would be in force, secrets masked, and warnings on stderr. What is wrong was
 * thrown before, and a bad policy or a bad folder of handlers is thrown here.
 */
export function showConfig(config: AgentConfig, loaded: LoadedSettings): number {
  const policy = new PolicyHolder(config.policyFile, config.environment).current;
  if (config.handlers.folder !== undefined) loadHandlers(config.handlers.folder);
  for (const warning of [...loaded.warnings, ...config.handlers.warnings])
    process.stderr.write(`warning: ${sanitiseText(warning)}\n`);
  const read = loaded.files.length === 0 ? ['(no file)'] : loaded.files;
  const lines = [
    ...read.map((file) => `# read: ${file}`),
    ...(policy === undefined ? [] : [`# policy: ${policy.rules.length} rules, ${policy.hash.slice(0, 12)}`]),
    stringify(effectiveSettings(config), { lineWidth: 0 }).trimEnd(),
  ];
  process.stdout.write(`${lines.join('\n').split('\n').map(sanitiseText).join('\n')}\n`);
  return 0;
}
