import type { Rng } from '../../src/lib/rng.ts';
import { DASHES, DAYS, NAMES, one, PEOPLE, PROGRAMS } from './fuzz-policies.ts';
import type { RawCommand, RawPolicy, RawRequest } from './reference.ts';

const VALUES = ['x', 'xy', 'web', 'A', '5', '07', '-5', '', 'a b', '/s', '/s/x', '/s/x/y', '/s/../x', '/s/x/', '//s', '😀', 'x=y']; // biome-ignore format: a plain list
const DAY_MS = 86_400_000;
/** The moments around which something is over. */
const MOMENTS = DAYS.flatMap((day) => {
  const start = Date.parse(`${day}T00:00:00Z`);
  return [start - 1, start, start + DAY_MS - 1, start + DAY_MS];
});
const TAGS: Record<string, string>[] = [
  { role: 'web' },
  { role: 'web', zone: 'db1' },
  { role: 'db' },
  { role: '' },
  { zone: 'web12' },
  {},
];

/** A value that a form of an argument takes, or nearly takes. */
function valueFor(rng: Rng, texts: string | string[]): string {
  const text = typeof texts === 'string' ? texts : one(rng, texts);
  const range = /^int:(-?\d+)\.\.(-?\d+)$/.exec(text);
  if (range !== null) {
    const [low, high] = [Number(range[1]), Number(range[2])];
    return String(low + rng.below(high - low + 1));
  }
  if (text.startsWith('any:')) return 'é😀abcdefgh'.slice(0, 1 + rng.below(Number(text.slice(4))));
  const glob = text.startsWith('path:') ? text.slice(5) : text;
  return glob
    .replace('[a-z]', 'q')
    .replace('[!x]', 'y')
    .replaceAll('**', () => one(rng, ['x', 'x/y', 'a/b/c']))
    .replaceAll('*', () => one(rng, ['x', 'y', 'web', 'Y2']))
    .replaceAll('?', 'z');
}

/** Arguments that a command takes, most of the time. */
function fitting(rng: Rng, command: RawCommand): string[] {
  const { program, path, argv, flags = [], options = {}, first = [], positionals } = command;
  const name = path !== undefined && rng.below(3) === 0 ? path : program;
  if (argv !== undefined) return [name, ...argv.map((slot) => valueFor(rng, slot))];
  const groups: string[][] = flags.filter(() => rng.below(2) === 0).map((flag) => [flag]);
  for (const [option, slot] of Object.entries(options)) {
    if (rng.below(2) === 0) continue;
    const value = valueFor(rng, slot);
    groups.push(option.startsWith('--') && rng.below(2) === 0 ? [`${option}=${value}`] : [option, value]);
  }
  rng.shuffle(groups);
  const words = first.map((slot) => valueFor(rng, slot));
  if (positionals !== undefined) {
    const { min = 0, max = 3, match } = positionals;
    const count = Math.min(max, min + rng.below(3));
    for (let i = 0; i < count; i++) words.push(valueFor(rng, match));
  }
  if (rng.below(3) > 0) return [name, ...groups.flat(), ...words];
  if (rng.below(2) === 0 && words.length > 0) return [name, ...groups.flat(), '--', ...words];
  return [name, ...words, ...groups.flat()];
}

/** One small change to an argv, of the kinds that people try. */
function mutated(rng: Rng, argv: readonly string[]): string[] {
  const words = [...argv];
  const at = rng.below(words.length);
  const word = words[at]!;
  switch (rng.below(14)) {
    case 0:
      words.splice(at, 1);
      break;
    case 1:
      words.splice(at, 0, word);
      break;
    case 2:
      words.splice(1 + at, 0, one(rng, VALUES));
      break;
    case 3:
      words.splice(1 + at, 0, one(rng, DASHES));
      break;
    case 4:
      words.splice(1 + at, 0, '--');
      break;
    case 5:
      words[at] = word.slice(0, -1);
      break;
    case 6:
      words[at] = word + one(rng, ['x', '/', '=', ' ', '/..', '0', '\u202e', '\n', '\u0000']);
      break;
    case 7:
      words[at] = one(rng, ['-', '--', '+', '/', ' ', '0']) + word;
      break;
    case 8:
      words[at] = rng.below(2) === 0 ? word.toUpperCase() : word.toLowerCase();
      break;
    case 9:
      words[at] = '';
      break;
    case 10:
      words.splice(at, 2, `${word}=${words[at + 1] ?? ''}`);
      break;
    case 11:
      words.splice(at, 2, word + (words[at + 1] ?? ''));
      break;
    case 12:
      rng.shuffle(words);
      break;
    default:
      if (rng.below(20) === 0) words.push(...Array.from({ length: 64 - rng.below(6) }, () => word));
      else words[at] = one(rng, VALUES);
  }
  return words;
}

function randomArgv(rng: Rng): string[] {
  const name = one(rng, PROGRAMS);
  const program =
    rng.below(6) === 0 ? one(rng, [`/usr/bin/${name}`, `/bin/${name}`, name.toUpperCase()]) : name;
  const word = (): string => {
    const kind = rng.below(8);
    if (kind < 3) return one(rng, DASHES);
    if (kind === 3) return `${one(rng, DASHES)}=${one(rng, VALUES)}`;
    return kind === 4 && rng.below(2) === 0 ? '--' : one(rng, VALUES);
  };
  return [program, ...Array.from({ length: rng.below(5) }, word)];
}

/** A request to a policy: most fit one of its commands, or nearly. */
export function randomRequest(rng: Rng, policy: RawPolicy): RawRequest {
  const commands = policy.rules.flatMap((rule) => rule.commands ?? []);
  let argv = commands.length === 0 || rng.below(8) === 0 ? randomArgv(rng) : fitting(rng, one(rng, commands));
  for (let changes = [0, 0, 0, 0, 1, 1, 2][rng.below(7)]!; changes > 0 && argv.length > 0; changes--) {
    argv = mutated(rng, argv);
  }
  if (!/^[A-Za-z0-9._+/][A-Za-z0-9._+/-]*$/.test(argv[0] ?? '')) argv[0] = one(rng, PROGRAMS);
  const names = [...PEOPLE, 'mallory', '__proto__', 'toString', 'group:sre'];
  return {
    operator: rng.below(16) > 0 ? one(rng, PEOPLE) : rng.below(4) === 0 ? undefined : one(rng, names),
    node: rng.below(5) > 0 ? one(rng, NAMES) : undefined,
    tags: one(rng, TAGS),
    argv,
    approvers: Array.from({ length: [0, 1, 2, 3][rng.below(4)]! }, () => one(rng, names)),
    unixMs: rng.below(5) > 0 ? 0 : one(rng, MOMENTS),
  };
}
