import type { Millis } from '../lib/time.ts';
import type { Shape, TestCase } from '../policy/manifest-schema.ts';
import { type CommandSource, handlerSource } from './command-source.ts';
import type { CommandEnd, CommandSpec, SandboxAvailability } from './command-spec.ts';
import type { LoadedHandler } from './handler-folder.ts';
import { startCommand } from './process.ts';
import { checkRealPaths } from './resolve-program.ts';
import { resolveUser } from './run-as.ts';

const TIMEOUT_MS: Millis = 30_000;
const OUTPUT_BYTES_MAX = 1024 * 1024;
/** Of what came instead, so much is quoted. */
const QUOTED_CHARACTERS = 200;

/** What came of one case. */
export interface CaseResult {
  readonly name: string;
  /** Undefined: as it should be. Holds output, which is not fit for a terminal. */
  readonly problem: string | undefined;
  readonly durationMs: Millis;
}

interface Ran {
  readonly end: CommandEnd;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Runs the cases of a handler's test on this machine, one after the other, as a node would: in the first sandbox that it
 * works in and that can be had, as the account that commands get.
 */
export async function runCases(
  handler: LoadedHandler,
  cases: readonly TestCase[],
  sandboxes: readonly SandboxAvailability[],
): Promise<CaseResult[]> {
  const results: CaseResult[] = [];
  for (const one of cases) {
    const startedAt = performance.now();
    const problem = await problemOf(handler, one, sandboxes);
    results.push({ name: one.name, problem, durationMs: performance.now() - startedAt });
  }
  return results;
}

async function problemOf(
  handler: LoadedHandler,
  one: TestCase,
  sandboxes: readonly SandboxAvailability[],
): Promise<string | undefined> {
  const assignments = Object.entries(one.params).map(([name, value]) => `${name}=${value}`);
  const source = handlerSource(handler, handler.manifest.name, assignments);
  const refusal = source.kind === 'command' ? checkRealPaths(source.paths) : source.reason;
  if (one.refused !== undefined) {
    if (refusal === undefined) return 'should have been refused, and was not';
    return refusal.includes(one.refused) ? undefined : `was refused in other words: ${refusal}`;
  }
  if (refusal !== undefined || source.kind !== 'command') return `was refused: ${refusal}`;
  const spec = specOf(source, handler, sandboxes);
  if (typeof spec === 'string') return spec;
  return differenceOf(one, handler, await run(spec));
}

function specOf(
  source: Extract<CommandSource, { kind: 'command' }>,
  { manifest }: LoadedHandler,
  sandboxes: readonly SandboxAvailability[],
): CommandSpec | string {
  const user = resolveUser(undefined);
  if (user !== undefined && 'reason' in user) return `cannot be run: ${user.reason}. ${user.hint}`;
  const wanted = (manifest.profiles ?? ['standard']).map((profile) =>
    sandboxes.find((one) => one.profile === profile),
  );
  const sandbox = wanted.find((one) => one?.available === true);
  if (sandbox === undefined) {
    return `cannot be run: ${wanted.map((one) => `sandbox "${one?.profile}": ${one?.reason}. ${one?.fix}`).join('; ')}`;
  }
  const { path, argv, folder } = source;
  return {
    path,
    argv,
    sandbox: sandbox.profile,
    network: manifest.needsNetwork ? 'host' : 'none',
    user,
    timeoutMs: TIMEOUT_MS,
    outputBytesMax: OUTPUT_BYTES_MAX,
    ...(folder === undefined ? {} : { folder }),
  };
}

async function run(spec: CommandSpec): Promise<Ran> {
  const chunks = { stdout: [] as Uint8Array[], stderr: [] as Uint8Array[] };
  const end = await startCommand(spec, (stream, chunk) => chunks[stream].push(chunk)).ended;
  const text = (stream: 'stdout' | 'stderr'): string => Buffer.concat(chunks[stream]).toString('utf8');
  return { end, stdout: text('stdout'), stderr: text('stderr') };
}

function differenceOf(
  one: TestCase,
  { manifest }: LoadedHandler,
  { end, stdout, stderr }: Ran,
): string | undefined {
  if (end.kind === 'failed') return `could not be started: ${end.reason}. ${end.hint}`;
  if (end.cause !== 'exit') return `was ended: ${end.cause}`;
  const codes = typeof one.exit === 'number' ? [one.exit] : one.exit;
  if (end.code === null || !codes.includes(end.code)) {
    return `exit status ${end.code ?? end.signal} instead of ${codes.join(' or ')}; it said: ${quoted(stderr || stdout)}`;
  }
  for (const [name, wanted, text] of [
    ['stdout', one.stdout, stdout],
    ['stderr', one.stderr, stderr],
  ] as const) {
    if (wanted !== undefined && !new RegExp(wanted, 'u').test(text)) {
      return `${name} does not match ${wanted}: ${quoted(text)}`;
    }
  }
  const isJson = one.json !== undefined || (manifest.output === 'json' && end.code === 0);
  return isJson ? jsonProblem(one.json ?? 'any', stdout) : undefined;
}

function jsonProblem(shape: Shape, text: string): string | undefined {
  try {
    return shapeProblem(shape, JSON.parse(text), 'stdout');
  } catch {
    return `stdout is not JSON: ${quoted(text)}`;
  }
}

/** Where a value has another shape, and which; undefined when it has this one. */
function shapeProblem(shape: Shape, value: unknown, place: string): string | undefined {
  if (typeof shape === 'string') {
    const kind = value === null ? 'null' : typeof value === 'string' ? 'text' : typeof value;
    return shape === 'any' || shape === kind ? undefined : `${place} is ${kind} and should be ${shape}`;
  }
  if (isListShape(shape)) {
    if (!Array.isArray(value)) return `${place} should be a list`;
    for (const [index, item] of value.entries()) {
      const problem = shapeProblem(shape[0], item, `${place}[${index}]`);
      if (problem !== undefined) return problem;
    }
    return undefined;
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return `${place} should be a mapping`;
  const found = new Map<string, unknown>(Object.entries(value));
  const extra = [...found.keys()].find((key) => !Object.hasOwn(shape, key));
  if (extra !== undefined) return `${place} has "${extra}", which nobody expects`;
  for (const [key, inner] of Object.entries(shape)) {
    if (!found.has(key)) return `${place} has no "${key}"`;
    const problem = shapeProblem(inner, found.get(key), `${place}.${key}`);
    if (problem !== undefined) return problem;
  }
  return undefined;
}

function isListShape(shape: Exclude<Shape, string>): shape is readonly [Shape] {
  return Array.isArray(shape);
}

function quoted(text: string): string {
  return JSON.stringify(text.length > QUOTED_CHARACTERS ? `${text.slice(0, QUOTED_CHARACTERS)}...` : text);
}
