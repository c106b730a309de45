import { readPolicy } from '../agent/policy-holder.ts';
import { parseCommandString } from '../policy/command-string.ts';
import { explain as explainRequest, explainText } from '../policy/explain.ts';
import { compilePolicy } from '../policy/load.ts';
import { tagValues } from './tag-values.ts';

export interface ExplainOptions {
  readonly policy: string;
  readonly as: string;
  readonly approvedBy?: readonly string[];
  readonly node?: string;
  readonly tag?: readonly string[];
  readonly format: 'text' | 'json';
}

/** `fanout policy explain`: 0 allowed, 5 denied; what cannot be read throws and ends in 2. */
export async function explain(command: string, options: ExplainOptions): Promise<number> {
  // Also of a policy with dangers: "fanout policy check" is about those.
  const { policy } = compilePolicy(readPolicy(options.policy), options.policy);
  const argv = parseCommandString(command);
  const tags = tagValues(options.tag);
  const explanation = explainRequest(policy, {
    operator: options.as,
    approvers: options.approvedBy ?? [],
    node: options.node ?? '',
    tags,
    argv,
    unixMs: Date.now(),
  });
  if (options.format === 'json') process.stdout.write(`${JSON.stringify(explanation, null, 2)}\n`);
  else process.stdout.write(`${explainText(explanation)}\n`);
  return explanation.decision.effect === 'allow' ? 0 : 5;
}
