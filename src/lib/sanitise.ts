/**
 * The one place where text of a node becomes text for a terminal. Colours alone pass, and only when they are on. All else
 * that a terminal would obey or hide is shown: the ESC of a sequence as a picture with the sequence as plain text behind it.
 * Afterwards the text holds no control character but LF, TAB and the ESC of a colour, and nothing invisible or that turns
 * the writing.
 */

/** Ends every colour and attribute. */
const SGR_RESET = '\u001b[0m';

/** Longest parameter text of a colour. Real ones take 20. */
const SGR_PARAMETERS_MAX = 64;

/**
 * Control, format, surrogate, line and paragraph separator and other invisible characters (Trojan source, zero-width text,
 * tags, fillers). The two variation selectors that choose between text and emoji are too common to spell out.
 */
const HIDDEN = '(?![\\ufe0e\\ufe0f])[\\p{Cc}\\p{Cf}\\p{Cs}\\p{Zl}\\p{Zp}\\p{DI}]';
const UNSAFE_IN_LINE = new RegExp(HIDDEN, 'gu');
const UNSAFE_IN_TEXT = new RegExp(`(?![\\n\\t])${HIDDEN}`, 'gu');
/** Most output has none of these, and then there is nothing to do. */
const UNSAFE_OR_FOREIGN = /[^\n\t\x20-\x7e]/;
/** What an ESC looks like that is shown instead of obeyed. */
const ESC_PICTURE = '\u241b';

/** Cleans one stream, chunk by chunk. How the stream is cut into chunks makes no difference. */
export class Sanitiser {
  private readonly colours: boolean;
  private state: 'ground' | 'escape' | 'csi' = 'ground';
  private parameters = '';
  /** A CR is left out before LF and shown otherwise: it waits for what comes next. */
  private hasHeldReturn = false;
  private isStyled = false;

  constructor(colours: boolean) {
    this.colours = colours;
  }

  /** The clean text. Colours end before each LF. */
  push(text: string): string {
    const isPlain = this.state === 'ground' && !this.hasHeldReturn && !this.isStyled;
    if (isPlain && !UNSAFE_OR_FOREIGN.test(text)) return text;
    let output = '';
    let at = 0;
    while (at < text.length) {
      if (this.state === 'ground') {
        const [clean, next] = this.ground(text, at);
        output += clean;
        at = next;
      } else {
        const [yielded, isUsed] = this.sequence(text[at] ?? '');
        output += yielded;
        if (isUsed) at++;
      }
    }
    return output;
  }

  /** What was held back, once the stream has ended. */
  end(): string {
    const begun = this.state === 'csi' ? `${ESC_PICTURE}[${this.parameters}` : ESC_PICTURE;
    const held = (this.hasHeldReturn ? '\u240d' : '') + (this.state === 'ground' ? '' : begun);
    const rest = held + (this.isStyled ? SGR_RESET : '');
    this.hasHeldReturn = false;
    this.isStyled = false;
    this.state = 'ground';
    return rest;
  }

  /** Text up to and with the next unsafe character, and where to go on. */
  private ground(text: string, at: number): [clean: string, next: number] {
    const held = this.hasHeldReturn && text[at] !== '\n' ? '\u240d' : '';
    this.hasHeldReturn = false;
    UNSAFE_IN_TEXT.lastIndex = at;
    const match = UNSAFE_IN_TEXT.exec(text);
    const clean = held + this.plain(text.slice(at, match?.index));
    if (match === null) return [clean, text.length];
    const [character] = match;
    const next = match.index + character.length;
    if (character === '\r') this.hasHeldReturn = true;
    else if (character === '\u001b') this.state = 'escape';
    else return [clean + shownCharacter(character), next];
    return [clean, next];
  }

  /** Text without anything unsafe. A colour ends with its line, so that it reaches neither our labels nor other nodes. */
  private plain(text: string): string {
    const lineEnd = this.isStyled ? text.indexOf('\n') : -1;
    if (lineEnd < 0) return text;
    this.isStyled = false;
    return text.slice(0, lineEnd) + SGR_RESET + text.slice(lineEnd);
  }

  /** One character of what began with ESC: what it yields, and whether it is used up or looked at again as text. */
  private sequence(character: string): [yielded: string, isUsed: boolean] {
    if (this.state === 'escape') {
      this.state = character === '[' ? 'csi' : 'ground';
      this.parameters = '';
      return this.state === 'csi' ? ['', true] : [ESC_PICTURE, false];
    }
    if (character >= ' ' && character <= '?' && this.parameters.length < SGR_PARAMETERS_MAX) {
      this.parameters += character;
      return ['', true];
    }
    this.state = 'ground';
    if (character === 'm' && /^[0-9;:]*$/.test(this.parameters)) return [this.style(), true];
    return [`${ESC_PICTURE}[${this.parameters}`, false];
  }

  /** The colour that came, without what would hide text or imitate our labels; nothing when colours are off. */
  private style(): string {
    const kept = this.colours ? keptStyle(this.parameters) : undefined;
    if (kept === undefined) return '';
    this.isStyled = true;
    return `\u001b[${kept}m`;
  }
}

/** Makes a name, reason or other short text fit for one line of a terminal. */
export function sanitiseText(text: string): string {
  const sanitiser = new Sanitiser(false);
  return (sanitiser.push(text) + sanitiser.end()).replace(/[\n\t]/g, ' ');
}

/** JSON of a value with everything escaped that a terminal might obey or hide. Parses to the same value. On one line, unless indented. */
export function safeJson(value: unknown, indent = 0): string {
  return JSON.stringify(value, null, indent).replace(
    indent === 0 ? UNSAFE_IN_LINE : UNSAFE_IN_TEXT,
    (character) => {
      let escaped = '';
      for (let i = 0; i < character.length; i++) {
        escaped += `\\u${character.charCodeAt(i).toString(16).padStart(4, '0')}`;
      }
      return escaped;
    },
  );
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
  if (parameters.length > SGR_PARAMETERS_MAX) return undefined;
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
