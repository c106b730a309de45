import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Sanitiser, safeJson, sanitiseText } from '../../src/lib/sanitise.ts';

const ESC = '\u001b';
/** What must never reach a terminal once every colour was taken out. */
const HARMFUL =
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff\u{e0000}-\u{e0fff}]/u;

/** The clean text of UTF-8 bytes, given in chunks. */
function cleaned(chunks: readonly Uint8Array[], colours: boolean): string {
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  const sanitiser = new Sanitiser(colours);
  let text = '';
  for (const chunk of chunks) text += sanitiser.push(decoder.decode(chunk, { stream: true }));
  return text + sanitiser.push(decoder.decode()) + sanitiser.end();
}

const clean = (text: string | Uint8Array, colours = true): string => cleaned([Buffer.from(text)], colours);
const byteByByte = (bytes: Uint8Array, colours: boolean): string =>
  cleaned(
    Array.from(bytes, (byte) => Uint8Array.of(byte)),
    colours,
  );

/** What is wrong with clean text, or undefined when it is as it must be. */
function breach(text: string): string | undefined {
  const bare = text.replace(/\u001b\[[0-9;]*m/g, '');
  const harmful = HARMFUL.exec(bare);
  if (harmful !== null) return `U+${harmful[0].codePointAt(0)!.toString(16)} in ${JSON.stringify(text)}`;
  for (const line of text.split('\n')) {
    const colours = line.match(/\u001b\[[0-9;]*m/g) ?? [];
    if (colours.length > 0 && colours.at(-1) !== `${ESC}[0m`)
      return `a colour goes on after ${JSON.stringify(line)}`;
    for (const colour of colours) {
      // The numbers of a colour of its own (38;5;8) are no attributes.
      const attributes = colour
        .slice(2, -1)
        .replace(/[34]8;(5;\d+|2;\d+;\d+;\d+)/g, '39')
        .split(';');
      if (attributes.some((code) => [4, 5, 6, 7, 8].includes(Number(code))))
        return `attribute in ${JSON.stringify(colour)}`;
    }
  }
  return undefined;
}

/** Each attack, and what is left of it with colours on. */
const ATTACKS: Readonly<Record<string, readonly [attack: string | Uint8Array, left: string]>> = {
  'OSC 52 writes the clipboard (BEL)': [`a${ESC}]52;c;ZXZpbA==\u0007b`, 'a\u241b]52;c;ZXZpbA==\u2407b'],
  'OSC 52 writes the clipboard (ST)': [`a${ESC}]52;c;ZXZpbA==${ESC}\\b`, 'a\u241b]52;c;ZXZpbA==\u241b\\b'],
  'OSC 52 asks for the clipboard': [`a${ESC}]52;c;?\u0007b`, 'a\u241b]52;c;?\u2407b'],
  'OSC 0 sets the title': [`a${ESC}]0;root@db\u0007b`, 'a\u241b]0;root@db\u2407b'],
  'OSC 2 sets the title': [`a${ESC}]2;rm -rf\u0007b`, 'a\u241b]2;rm -rf\u2407b'],
  'CSI 21t types the title back in': [`a${ESC}[21tb`, 'a\u241b[21tb'],
  'OSC 4 changes the palette': [`a${ESC}]4;1;#000000\u0007b`, 'a\u241b]4;1;#000000\u2407b'],
  'OSC 7 changes the directory': [`a${ESC}]7;file://evil/\u0007b`, 'a\u241b]7;file://evil/\u2407b'],
  'OSC 8 hides where a link goes': [
    `${ESC}]8;;http://evil\u0007bank${ESC}]8;;\u0007`,
    '\u241b]8;;http://evil\u2407bank\u241b]8;;\u2407',
  ],
  'OSC 9 notifies': [`a${ESC}]9;you won\u0007b`, 'a\u241b]9;you won\u2407b'],
  'OSC 10 asks for the colour': [`a${ESC}]10;?\u0007b`, 'a\u241b]10;?\u2407b'],
  'OSC 50 changes the font': [`a${ESC}]50;evil\u0007b`, 'a\u241b]50;evil\u2407b'],
  'OSC 99 notifies (kitty)': [`a${ESC}]99;;hi${ESC}\\b`, 'a\u241b]99;;hi\u241b\\b'],
  'OSC 133 marks a prompt': [`a${ESC}]133;A\u0007b`, 'a\u241b]133;A\u2407b'],
  'OSC 777 notifies (rxvt)': [`a${ESC}]777;notify;a;b\u0007c`, 'a\u241b]777;notify;a;b\u2407c'],
  'OSC 1337 writes a file (iTerm2)': [
    `a${ESC}]1337;File=name=eA==:eA==\u0007b`,
    'a\u241b]1337;File=name=eA==:eA==\u2407b',
  ],
  'OSC without an end swallows no other line': [`a${ESC}]0;never\nb`, 'a\u241b]0;never\nb'],
  'OSC ended by CAN': [`a${ESC}]0;x\u0018b`, 'a\u241b]0;x\u2418b'],
  'OSC ended by SUB': [`a${ESC}]0;x\u001ab`, 'a\u241b]0;x\u241ab'],
  'OSC ended by the start of another sequence': [`a${ESC}]0;x${ESC}[31mb`, `a\u241b]0;x${ESC}[31mb${ESC}[0m`],
  'OSC within OSC': [`a${ESC}]0;${ESC}]52;c;eA==\u0007b`, 'a\u241b]0;\u241b]52;c;eA==\u2407b'],
  'DCS DECRQSS asks for settings': [`a${ESC}P$qm${ESC}\\b`, 'a\u241bP$qm\u241b\\b'],
  'DCS XTGETTCAP asks for capabilities': [`a${ESC}P+q544e${ESC}\\b`, 'a\u241bP+q544e\u241b\\b'],
  'DCS sixel eats memory': [`a${ESC}Pq#0;2;0;0;0~-${ESC}\\b`, 'a\u241bPq#0;2;0;0;0~-\u241b\\b'],
  'DCS without an end': [`a${ESC}Pq~~~~\nb`, 'a\u241bPq~~~~\nb'],
  'DECUDK programs a key': [`a${ESC}P0;1|17/6c730d${ESC}\\b`, 'a\u241bP0;1|17/6c730d\u241b\\b'],
  'APC of kitty shows a picture': [`a${ESC}_Gf=100;AAAA${ESC}\\b`, 'a\u241b_Gf=100;AAAA\u241b\\b'],
  PM: [`a${ESC}^secret${ESC}\\b`, 'a\u241b^secret\u241b\\b'],
  SOS: [`a${ESC}Xsecret${ESC}\\b`, 'a\u241bXsecret\u241b\\b'],
  'DA asks who the terminal is': [`a${ESC}[cb`, 'a\u241b[cb'],
  'secondary DA': [`a${ESC}[>cb`, 'a\u241b[>cb'],
  'DSR asks where the cursor is': [`a${ESC}[6nb`, 'a\u241b[6nb'],
  'ENQ asks for the answerback': ['a\u0005b', 'a\u2405b'],
  DECID: [`a${ESC}Zb`, 'a\u241bZb'],
  'cursor up and overwrite': [`bad\n${ESC}[1A${ESC}[2Kgood`, 'bad\n\u241b[1A\u241b[2Kgood'],
  'cursor home': [`a${ESC}[Hb`, 'a\u241b[Hb'],
  'cursor column': [`a${ESC}[1Gb`, 'a\u241b[1Gb'],
  'save and restore the cursor': [`a${ESC}7b${ESC}8c`, 'a\u241b7b\u241b8c'],
  'erase the screen': [`a${ESC}[2Jb`, 'a\u241b[2Jb'],
  'erase the scrollback': [`a${ESC}[3Jb`, 'a\u241b[3Jb'],
  'erase the line': [`a${ESC}[Kb`, 'a\u241b[Kb'],
  'alternate screen': [`a${ESC}[?1049hb`, 'a\u241b[?1049hb'],
  'scroll region': [`a${ESC}[1;1rb`, 'a\u241b[1;1rb'],
  'insert lines': [`a${ESC}[5Lb`, 'a\u241b[5Lb'],
  'mouse on': [`a${ESC}[?1003hb`, 'a\u241b[?1003hb'],
  'bracketed paste off': [`a${ESC}[?2004lb`, 'a\u241b[?2004lb'],
  'cursor hidden': [`a${ESC}[?25lb`, 'a\u241b[?25lb'],
  'print the screen': [`a${ESC}[0ib`, 'a\u241b[0ib'],
  'repeat a character without end': [`a${ESC}[99999999bc`, 'a\u241b[99999999bc'],
  'reset (RIS)': [`a${ESC}cb`, 'a\u241bcb'],
  'soft reset (DECSTR)': [`a${ESC}[!pb`, 'a\u241b[!pb'],
  'fill with E (DECALN)': [`a${ESC}#8b`, 'a\u241b#8b'],
  'line drawing charset': [`a${ESC}(0b`, 'a\u241b(0b'],
  'charset whose name is a bracket': [`a${ESC}([b`, 'a\u241b([b'],
  'SO and SI shift the charset': ['a\u000eb\u000fc', 'a\u240eb\u240fc'],
  'reverse index': [`a${ESC}Mb`, 'a\u241bMb'],
  'a sequence cut by LF': [`a${ESC}[12\nb`, 'a\u241b[12\nb'],
  'a sequence that never ends': [`a${ESC}[1;2;3`, 'a\u241b[1;2;3'],
  'ESC at the end': [`a${ESC}`, 'a\u241b'],
  'two ESC': [`a${ESC}${ESC}[2Jb`, 'a\u241b\u241b[2Jb'],
  'CR overwrites': ['failed\rok    ', 'failed\u240dok    '],
  'CR at the end': ['a\r', 'a\u240d'],
  'CR LF is an end of line': ['a\r\nb', 'a\nb'],
  'CR CR LF': ['a\r\r\nb', 'a\u240d\nb'],
  'BS overwrites': ['no\b\byes', 'no\u2408\u2408yes'],
  DEL: ['a\u007fb', 'a\u2421b'],
  BEL: ['a\u0007b', 'a\u2407b'],
  'VT and FF move': ['a\u000bb\u000cc', 'a\u240bb\u240cc'],
  NUL: ['a\u0000b', 'a\u2400b'],
  XOFF: ['a\u0013b', 'a\u2413b'],
  'C1 CSI as a character': ['a\u009b2Jb', 'a\ufffd2Jb'],
  'C1 OSC as a character': ['a\u009d0;x\u009cb', 'a\ufffd0;x\ufffdb'],
  'C1 DCS as a character': ['a\u0090q\u009cb', 'a\ufffdq\ufffdb'],
  'C1 NEL as a character': ['a\u0085b', 'a\ufffdb'],
  'C1 CSI as one byte': [Uint8Array.of(0x61, 0x9b, 0x32, 0x4a), 'a\ufffd2J'],
  'C1 OSC as one byte': [Uint8Array.of(0x61, 0x9d, 0x30, 0x3b), 'a\ufffd0;'],
  'ESC as an overlong sequence': [Uint8Array.of(0x61, 0xc0, 0x9b, 0x5b), 'a\ufffd\ufffd['],
  'bidi override': ['a\u202eb', 'a\u27e8U+202E\u27e9b'],
  'bidi isolate': ['a\u2067b\u2069', 'a\u27e8U+2067\u27e9b\u27e8U+2069\u27e9'],
  'bidi marks': ['\u200e\u200f\u061c', '\u27e8U+200E\u27e9\u27e8U+200F\u27e9\u27e8U+061C\u27e9'],
  'zero-width characters': [
    'a\u200bb\u200cc\u2060d',
    'a\u27e8U+200B\u27e9b\u27e8U+200C\u27e9c\u27e8U+2060\u27e9d',
  ],
  'byte order mark': ['\ufeffa', '\u27e8U+FEFF\u27e9a'],
  'tag characters': ['a\u{e0041}b', 'a\u27e8U+E0041\u27e9b'],
  'variation selectors that carry data': ['a\u{e0100}b', 'a\u27e8U+E0100\u27e9b'],
  'Hangul filler': ['a\u3164b', 'a\u27e8U+3164\u27e9b'],
  annotation: ['\ufff9a\ufffa', '\u27e8U+FFF9\u27e9a\u27e8U+FFFA\u27e9'],
  'line and paragraph separator': ['a\u2028b\u2029c', 'a\u27e8U+2028\u27e9b\u27e8U+2029\u27e9c'],
  'soft hyphen': ['a\u00adb', 'a\u27e8U+00AD\u27e9b'],
  'SGR 8 hides': [`a${ESC}[8msecret`, 'asecret'],
  'SGR 8 among others': [`a${ESC}[1;8;31mb`, `a${ESC}[1;31mb${ESC}[0m`],
  'SGR 08 hides': [`a${ESC}[008mb`, 'ab'],
  'SGR 8 behind a colour that takes no more': [`${ESC}[38;5;1;8ma`, `${ESC}[38;5;1ma${ESC}[0m`],
  'SGR 8 behind a broken colour': [`${ESC}[38;9;8ma`, 'a'],
  'SGR 4:8 hides where colons are taken for semicolons': [`${ESC}[4:8ma`, 'a'],
  'SGR 264 hides where numbers are bytes': [`${ESC}[264ma`, 'a'],
  'SGR colour with a number too large': [`${ESC}[38;5;256ma`, 'a'],
  'SGR underline imitates our labels': [`${ESC}[4mweb2: ok`, 'web2: ok'],
  'SGR inverse and blink': [`${ESC}[5;7ma`, 'a'],
  'SGR with a private mark': [`${ESC}[>4;2ma`, '\u241b[>4;2ma'],
  'SGR of a thousand numbers': [`${ESC}[${'1;'.repeat(1000)}31ma`, `\u241b[${'1;'.repeat(1000)}31ma`],
  'SGR that stays on after its line': [`${ESC}[31ma\nb`, `${ESC}[31ma${ESC}[0m\nb`],
  'a line that imitates a label': ['x\nweb2: ok', 'x\nweb2: ok'],
};

describe('an attack leaves nothing harmful', () => {
  test('and at least fifty are tried', () => expect(Object.keys(ATTACKS).length).toBeGreaterThan(50));

  test.each(Object.entries(ATTACKS))('%s', (_name, [attack, left]) => {
    const bytes = Buffer.from(attack);
    expect(clean(bytes)).toBe(left);
    expect(breach(clean(bytes))).toBe(undefined);
    expect(byteByByte(bytes, true)).toBe(left);
    expect(byteByByte(bytes, false)).toBe(clean(bytes, false));
    expect(clean(bytes, false)).not.toContain(ESC);
    expect(sanitiseText(bytes.toString())).not.toMatch(/[\u0000-\u001f\u007f-\u009f]/);
  });
});

describe('what is harmless stays as it is', () => {
  test.each([
    ['plain text', 'total 12\n-rw-r--r-- 1 root\troot'],
    ['other scripts', 'Grüße, 世界, مرحبا, Ελλάδα\n'],
    ['emoji and their selector', '⚠\ufe0f 🎉'],
    ['box drawing and private icons', '└── \ue0b0'],
    ['combining marks', 'e\u0301'],
  ])('%s', (_name, text) => expect(clean(text)).toBe(text));

  test.each([
    ['1;31', '1;31'],
    ['38;5;8', '38;5;8'],
    ['48;2;8;8;8', '48;2;8;8;8'],
    ['38:5:200', '38;5;200'],
    ['38:2::1:2:3', '38;2;1;2;3'],
    ['', '0'],
    ['97;104', '97;104'],
  ])('the colour %j passes as %j', (given, passed) => {
    expect(clean(`a${ESC}[${given}mb`)).toBe(`a${ESC}[${passed}mb${ESC}[0m`);
    expect(clean(`a${ESC}[${given}mb`, false)).toBe('ab');
  });
});

/** Strings made of what matters to a terminal, and random bytes. */
const hostile = fc.oneof(
  fc
    .array(
      fc.constantFrom(
        ESC,
        '[',
        ']',
        'P',
        '_',
        '^',
        'X',
        '\\',
        ';',
        ':',
        'm',
        '8',
        '38',
        '5',
        '31',
        '0',
        '4',
        '?',
        '(',
        ' ',
        'a',
        'é',
        '世',
        '\n',
        '\r',
        '\t',
        '\b',
        '\u0007',
        '\u0018',
        '\u001a',
        '\u007f',
        '\u0085',
        '\u009b',
        '\u009c',
        '\u009d',
        '\u202e',
        '\u200b',
        '\ufeff',
        '\u{e0041}',
        '🎉',
        `${ESC}[`,
        `${ESC}]`,
        `${ESC}[31m`,
        `${ESC}[0m`,
      ),
      { maxLength: 24, size: 'max' },
    )
    .map((parts) => Buffer.from(parts.join(''))),
  fc.uint8Array({ maxLength: 40, size: 'max' }).map((bytes) => Buffer.from(bytes)),
);

test('200,000 random inputs keep the promise, and the same whole and byte by byte', () => {
  fc.assert(
    fc.property(hostile, fc.boolean(), (bytes, colours) => {
      const text = cleaned([bytes], colours);
      const wrong = breach(text) ?? (!colours && text.includes(ESC) ? 'a colour' : undefined);
      if (wrong !== undefined) throw new Error(wrong);
      if (byteByByte(bytes, colours) !== text) throw new Error('differs byte by byte');
    }),
    { numRuns: 200_000 },
  );
}, 120_000);

test('the check itself finds what it must', () => {
  for (const bad of [
    '\r',
    '\u009b',
    '\u202e',
    `${ESC}]0;`,
    `${ESC}[8m${ESC}[0m`,
    `${ESC}[31mx`,
    `${ESC}[1;4mx${ESC}[0m`,
  ]) {
    expect(breach(bad), JSON.stringify(bad)).not.toBe(undefined);
  }
  expect(breach(`${ESC}[38;5;8mx${ESC}[0m\n`)).toBe(undefined);
});

test('a sequence without end takes no memory', () => {
  const sanitiser = new Sanitiser(true);
  expect(sanitiser.push(`${ESC}]0;`)).toBe('\u241b]0;');
  const chunk = 'x'.repeat(65_536);
  for (let i = 0; i < 100; i++) expect(sanitiser.push(chunk)).toBe(chunk);
  expect(sanitiser.push(`${ESC}[`)).toBe('');
  const digits = '1'.repeat(65_536);
  expect(sanitiser.push(digits)).toBe(`\u241b[${digits}`);
  for (let i = 0; i < 100; i++) expect(sanitiser.push(digits)).toBe(digits);
  expect(sanitiser.push('mok')).toBe('mok');
});

describe('short texts', () => {
  test('are one line without anything that moves', () => {
    expect(sanitiseText(`web1\n${ESC}[31mdb\t1\u202e`)).toBe('web1 db 1\u27e8U+202E\u27e9');
  });

  test('as JSON they parse to the same, and show nothing to obey', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 30 }), (text) => {
        const json = safeJson({ text });
        expect(JSON.parse(json)).toEqual({ text });
        expect(breach(json)).toBe(undefined);
        expect(json).not.toMatch(/[\n\t\u001b]/);
      }),
      { numRuns: 3000 },
    );
    expect(safeJson(`\u{e0041}\u009b`)).toBe('"\\udb40\\udc41\\u009b"');
  });
});
