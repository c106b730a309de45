import { policyJsonSchema } from '../policy/json-schema.ts';

/** `fanout policy schema`: the JSON schema of policy files. */
export async function schema(): Promise<number> {
  process.stdout.write(`${JSON.stringify(policyJsonSchema(), null, 2)}\n`);
  return 0;
}
