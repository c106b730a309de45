/**
 * The one place where bytes of a node become text for a terminal. What a terminal would obey is shown instead; colours
 * alone pass, and only when they are on. Afterwards the text holds no control character but LF, TAB and the ESC of a colour
 * sequence, and nothing that is invisible or turns the direction of writing.
 */

/** Ends every colour and attribute. */
export const SGR_RESET = '\u001b[0m';

/** Longest parameter text of a colour sequence. Real ones take 20; what is longer is shown, so that little is ever held back. */
const SGR_PARAMETERS_MAX = 64;

/**
 * Control, format, surrogate, line and paragraph separator and other invisible characters (Trojan source, zero-width text,
 * tags, fillers). The two variation selectors that choose between text and emoji are too common to spell out.
 */
const HIDDEN = '(?![\\ufe0e\\ufe0f])[\\p{Cc}\\p{Cf}\\p{Cs}\\p{Zl}\\p{Zp}\\p{DI}]';
const UNSAFE_IN_LINE = new RegExp(HIDDEN, 'gu');
const UNSAFE_IN_TEXT = new RegExp(`(?![\\n\\t])${HIDDEN}`, 'gu');
/** Most output is this, and then there is nothing to do. */
const UNSAFE_OR_FOREIGN = /[^\n\t\x20-\x7e]/;
const SGR = new RegExp(`\\u001b\\[([0-9;:]{0,${SGR_PARAMETERS_MAX}})m`, 'y');
const SGR_BEGINNING = new RegExp(`\\u001b(\\[[0-9;:]{0,${SGR_PARAMETERS_MAX}})?$`, 'y');

/** Cleans one stream of a node, chunk by chunk. How the stream is cut into chunks makes no difference. */
export class Sanitiser {
  private readonly colours: boolean;
  /** Not fatal: what is no UTF-8 becomes U+FFFD, and with it every 8-bit control character. */
  private readonly decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  /** A CR, or the beginning of a colour sequence, whose meaning hangs on what comes next. */
  private held = '';
  private isStyled = false;

  /** Without `colours`, colour sequences are left out. */
  constructor(options: { colours: boolean }) {
    this.colours = options.colours;
  }

  /** The clean text of the next bytes. Lines end with LF, and colours end before it. */
  push(bytes: Uint8Array): string {
    return this.clean(this.decoder.decode(bytes, { stream: true }), false);
  }

  /** What was held back, once the stream has ended. */
  end(): string {
    const rest = this.clean(this.decoder.decode(), true);
    if (!this.isStyled) return rest;
    this.isStyled = false;
    return rest + SGR_RESET;
  }

  private clean(chunk: string, isLast: boolean): string {
    const input = this.held + chunk;
    this.held = '';
    if (!this.isStyled && !UNSAFE_OR_FOREIGN.test(input)) return input;
    let output = '';
    let from = 0;
    UNSAFE_IN_TEXT.lastIndex = 0;
    for (let match = UNSAFE_IN_TEXT.exec(input); match !== null; match = UNSAFE_IN_TEXT.exec(input)) {
      const at = match.index;
      output += this.plain(input.slice(from, at));
      if (!isLast && isUndecided(input, at)) {
        this.held = input.slice(at);
        return output;
      }
      const [shown, end] = this.unsafe(input, at, match[0]);
      output += shown;
      from = end;
      UNSAFE_IN_TEXT.lastIndex = end;
    }
    return output + this.plain(input.slice(from));
  }

  /** Text without anything unsafe. A colour ends with its line, so that it reaches neither our labels nor other nodes. */
  private plain(text: string): string {
    if (!this.isStyled) return text;
    const lineEnd = text.indexOf('\n');
    if (lineEnd < 0) return text;
    this.isStyled = false;
    return text.slice(0, lineEnd) + SGR_RESET + text.slice(lineEnd);
  }

  /** What stands for the unsafe character at `at`, and where the text goes on. */
  private unsafe(input: string, at: number, character: string): [shown: string, end: number] {
    if (character === '\r' && input[at + 1] === '\n') return ['', at + 1];
    if (character === '\u001b') {
      SGR.lastIndex = at;
      const sequence = SGR.exec(input);
      if (sequence !== null) return [this.style(sequence[1] ?? ''), SGR.lastIndex];
    }
    return [shownCharacter(character), at + character.length];
  }

  private style(parameters: string): string {
    if (!this.colours) return '';
    const kept = keptStyle(parameters);
    if (kept === undefined) return '';
    this.isStyled = true;
    return `\u001b[${kept}m`;
  }
}

/** Whether the end of the input decides what the character at `at` means. */
function isUndecided(input: string, at: number): boolean {
  if (input[at] === '\r') return at + 1 === input.length;
  SGR_BEGINNING.lastIndex = at;
  return SGR_BEGINNING.test(input);
}

/** Makes a name, reason or other short text fit for one line of a terminal. */
export function sanitiseText(text: string): string {
  return text.replace(UNSAFE_IN_LINE, shownCharacter);
}

/** JSON of a value, on one line, with everything escaped that a terminal might obey or hide. Parses to the same value. */
export function safeJson(value: unknown): string {
  return JSON.stringify(value).replace(UNSAFE_IN_LINE, (character) => {
    let escaped = '';
    for (let i = 0; i < character.length; i++) {
      escaped += `\\u${character.charCodeAt(i).toString(16).padStart(4, '0')}`;
    }
    return escaped;
  });
}

function shownCharacter(character: string): string {
  const code = character.codePointAt(0) ?? 0;
  if (code < 0x20) return String.fromCharCode(0x2400 + code);
  if (code === 0x7f) return '\u2421';
  // C1 controls and lone surrogates have no picture of their own.
  if (code < 0xa0 || (code >= 0xd800 && code < 0xe000)) return '\ufffd';
  return `\u27e8U+${code.toString(16).toUpperCase().padStart(4, '0')}\u27e9`;
}

/** Attributes that pass as they are: reset, bold, dim, italic, crossed out, and the end of each. */
const ATTRIBUTES = new Set([0, 1, 2, 3, 9, 22, 23, 24, 25, 27, 28, 29, 39, 49, 59]);
/** Most colours and attributes in one sequence. More is no colour, it is an attack on some terminal's parameter list. */
const SGR_ITEMS_MAX = 16;

/**
 * The harmless part of a colour sequence's parameters, in the plain form that every terminal reads alike; undefined when
 * nothing is left. Hidden text (8) goes, and so do blinking, inverse and underline: our own labels are underlined, so
 * that no output can look like one.
 */
function keptStyle(parameters: string): string | undefined {
  if (parameters === '') return '0';
  const items = parameters.split(';');
  const kept: string[] = [];
  for (let i = 0; i < items.length && kept.length < SGR_ITEMS_MAX; i++) {
    const item = items[i] ?? '';
    const code = Number(item.split(':', 1)[0]);
    if (code === 38 || code === 48 || code === 58) {
      const [colour, used] = item.includes(':') ? [colonColour(item), 0] : listedColour(items, i + 1);
      i += used;
      // The rest of the list cannot be told from the colour's own numbers.
      if (colour === undefined) break;
      if (code !== 58) kept.push(`${code};${colour}`);
    } else if (!item.includes(':') && (ATTRIBUTES.has(code) || isBasicColour(code))) {
      kept.push(String(code));
    }
  }
  return kept.length === 0 ? undefined : kept.join(';');
}

function isBasicColour(code: number): boolean {
  return (
    (code >= 30 && code <= 37) ||
    (code >= 40 && code <= 47) ||
    (code >= 90 && code <= 97) ||
    (code >= 100 && code <= 107)
  );
}

/** `5;N` or `2;R;G;B` in the list from `at`, and how many items it takes. */
function listedColour(items: readonly string[], at: number): [colour: string | undefined, used: number] {
  const used = items[at] === '5' ? 2 : 4;
  return [colourOf(items.slice(at, at + used)), used];
}

/** `38:5:N`, `38:2:R:G:B` or, with a colour space, `38:2:S:R:G:B`. */
function colonColour(item: string): string | undefined {
  const [, kind = '', ...numbers] = item.split(':');
  return colourOf([kind, ...(kind === '2' ? numbers.slice(-3) : numbers)]);
}

function colourOf(items: readonly string[]): string | undefined {
  const [kind, ...numbers] = items.map(Number);
  const isFit = numbers.every((number) => number <= 255);
  const length = kind === 5 ? 1 : kind === 2 ? 3 : -1;
  return isFit && numbers.length === length ? [kind, ...numbers].join(';') : undefined;
}
