import type { Argument, Command, Option } from 'commander';
import { normaliseGoFlags } from './go-flags.ts';

/** One thing that could stand there, and what it means. */
export interface Offer {
  readonly word: string;
  readonly about?: string;
}

/** What could stand at a place: known words, what the agent or the person's own files know, or what the shell knows. */
type Wanted =
  | { readonly kind: 'words'; readonly offers: readonly Offer[] }
  | { readonly kind: 'names' | 'sets' | 'tags' | 'files' | 'directories' | 'nothing' };

/** The place that is completed: what of the last word stays as it is, and what is wanted behind that. */
export type Place = Wanted & {
  readonly prefix: string;
  /** Values of the flags that say how to reach the agent. */
  readonly rpcAddr: string | undefined;
  readonly rpcAuth: string | undefined;
};

/** Flags whose values are members, by their long names. Those of the agent itself are about a node that is not yet there. */
const MEMBER_FLAGS: Readonly<Record<string, 'names' | 'sets' | 'tags'>> = {
  '--node': 'names',
  '--only': 'names',
  '--nodes': 'sets',
  '--exclude': 'sets',
  '--tag': 'tags',
};

/** What flags and arguments call their values, where that tells something. */
const PLACEHOLDERS: Readonly<Record<string, Wanted['kind'] & ('names' | 'files' | 'directories')>> = {
  file: 'files',
  log: 'files',
  old: 'files',
  new: 'files',
  dir: 'directories',
  node: 'names',
  node2: 'names',
};

const NOTHING: Wanted = { kind: 'nothing' };

/** Where the last of `words` stands. They are what was typed after "fanout", without quotes; `program` knows all commands. */
export function placeOf(program: Command, words: readonly string[]): Place {
  const walk = new Walk(program);
  for (const word of normaliseGoFlags(words.slice(0, -1))) walk.pass(word);
  const [prefix, wanted] = walk.wantedAt(words.at(-1) ?? '');
  return {
    ...wanted,
    prefix,
    rpcAddr: walk.values.get('--rpc-addr'),
    rpcAuth: walk.values.get('--rpc-auth'),
  };
}

/** Reads words as commander would, as far as it matters for what comes next. */
class Walk {
  readonly values = new Map<string, string>();
  private command: Command;
  private positionals = 0;
  /** A flag whose value comes next. */
  private waiting: Option | undefined;
  private state: 'ours' | 'help' | 'theirs' = 'ours';

  constructor(program: Command) {
    this.command = program;
  }

  pass(word: string): void {
    if (this.waiting !== undefined) this.took(this.waiting, word);
    // What comes behind is a program of other machines.
    else if (word === '--') this.state = 'theirs';
    else if (word.startsWith('-') && word.length > 1) this.passFlag(word);
    else this.passPositional(word);
  }

  wantedAt(word: string): [prefix: string, wanted: Wanted] {
    if (this.state === 'theirs') return ['', NOTHING];
    if (this.waiting !== undefined) return ['', this.valueOf(this.waiting)];
    const [flag, value] = splitAt(word, '=');
    if (word.startsWith('--') && value !== undefined) return [`${flag}=`, this.valueOf(this.flagOf(flag))];
    if (/^-[^-]./.test(word)) {
      const short = this.flagOf(word.slice(0, 2));
      return takesValue(short) ? [word.slice(0, 2), this.valueOf(short)] : ['', this.flags()];
    }
    if (word.startsWith('-')) return ['', this.flags()];
    return ['', this.positional()];
  }

  private passFlag(word: string): void {
    const [name, value] = word.startsWith('--') ? splitAt(word, '=') : [word.slice(0, 2), word.slice(2)];
    const option = this.flagOf(name);
    if (takesValue(option)) {
      if (value === undefined || value === '') this.waiting = option;
      else this.took(option, value);
    } else if (!word.startsWith('--') && value !== '') this.passFlag(`-${value}`);
  }

  private took(option: Option, value: string): void {
    this.waiting = undefined;
    if (option.long != null) this.values.set(option.long, value);
  }

  private passPositional(word: string): void {
    const child = this.positionals > 0 ? undefined : this.command.commands.find((sub) => sub.name() === word);
    if (this.state === 'ours' && child !== undefined) this.command = child;
    else if (word === 'help' && this.command.commands.length > 0 && this.positionals === 0)
      this.state = 'help';
    else this.positionals++;
  }

  private flagOf(name: string): Option | undefined {
    return this.command.options.find(({ long, short }) => long === name || short === name);
  }

  private flags(): Wanted {
    const offers = this.command
      .createHelp()
      .visibleOptions(this.command)
      .flatMap(({ long, short, description }) =>
        [long, short].flatMap((word) => (word == null ? [] : [{ word, about: description }])),
      );
    return { kind: 'words', offers };
  }

  private positional(): Wanted {
    const isFirst = this.positionals === 0;
    const children = isFirst ? this.command.createHelp().visibleCommands(this.command) : [];
    if (this.state === 'help' || children.length > 0) {
      return {
        kind: 'words',
        offers: children.map((child) => ({
          word: child.name(),
          about: child.summary() || child.description(),
        })),
      };
    }
    const { registeredArguments: all } = this.command;
    const last = all.at(-1);
    const argument = all[this.positionals] ?? (last?.variadic === true ? last : undefined);
    return argument === undefined ? NOTHING : wantedBy(argument.name(), argument);
  }

  private valueOf(option: Option | undefined): Wanted {
    if (!takesValue(option)) return NOTHING;
    const placeholder = /[<[]([^<>[\]]*)[\]>]$/.exec(option.flags)?.[1] ?? '';
    const members = this.command.name() === 'agent' ? undefined : MEMBER_FLAGS[option.long ?? ''];
    return members === undefined ? wantedBy(placeholder, option) : { kind: members };
  }
}

function wantedBy(placeholder: string, { argChoices }: Option | Argument): Wanted {
  if (argChoices !== undefined) return { kind: 'words', offers: argChoices.map((word) => ({ word })) };
  const kind = Object.hasOwn(PLACEHOLDERS, placeholder) ? PLACEHOLDERS[placeholder] : undefined;
  return kind === undefined ? NOTHING : { kind };
}

function takesValue(option: Option | undefined): option is Option {
  return option !== undefined && (option.required || option.optional);
}

function splitAt(word: string, separator: string): [before: string, after: string | undefined] {
  const at = word.indexOf(separator);
  return at < 0 ? [word, undefined] : [word.slice(0, at), word.slice(at + 1)];
}
