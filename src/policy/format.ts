import { isScalar, Lexer, parseDocument, visit } from 'yaml';
import { FanoutError } from '../lib/errors.ts';
import { compilePolicy } from './load.ts';

/** Longest line that a list or mapping in brackets may make before each of its items gets a line. */
const LINE_WIDTH = 110;

/**
 * The text of a policy in its one format: two spaces, double quotes, brackets on one line where they fit. Comments, order
 * and blank lines between entries stay. Throws FanoutError POLICY_INVALID when the text is no sound policy, or when it
 * would not mean the same afterwards.
 */
export function formatPolicy(text: string, file: string): string {
  const before = compilePolicy(text, file);
  const formatted = rewrite(text);
  if (rewrite(formatted) !== formatted) throw unsafe(file, 'the format would not be stable');
  const after = compilePolicy(formatted, file);
  if (JSON.stringify(before.source.value) !== JSON.stringify(after.source.value)) {
    throw unsafe(file, 'it would mean something else');
  }
  if (commentsOf(text).join('\n') !== commentsOf(formatted).join('\n')) {
    throw unsafe(file, 'a comment would be lost or move');
  }
  return formatted;
}

function unsafe(file: string, why: string): FanoutError {
  return new FanoutError('POLICY_INVALID', `${file} cannot be formatted: ${why}`, {
    hint: 'Move the comments onto lines of their own, in front of what they are about.',
  });
}

function rewrite(text: string): string {
  const lines = text.replace(/^\uFEFF/, '').replaceAll('\r\n', '\n');
  const document = parseDocument(lines, { version: '1.2', schema: 'core', strict: true, merge: false });
  visit(document, {
    Scalar: (_, node) => {
      const isPlainText = typeof node.value === 'string' && !/["\\\n]/.test(node.value);
      if (isScalar(node) && node.type === 'QUOTE_SINGLE' && isPlainText) node.type = 'QUOTE_DOUBLE';
    },
  });
  const written = document.toString({
    indent: 2,
    lineWidth: LINE_WIDTH,
    minContentWidth: 0,
    flowCollectionPadding: true,
    trailingComma: true,
  });
  return withoutPadding(written);
}

/** `[a]` instead of `[ a ]`: mappings in brackets keep their blanks, lists do not have them. */
function withoutPadding(text: string): string {
  const tokens = [...new Lexer().lex(text)];
  const isBlank = (token: string | undefined): boolean => token !== undefined && /^ +$/.test(token);
  return tokens
    .filter((token, index) => {
      if (!isBlank(token)) return !isMark(token);
      const isIndent = tokens[index - 1] === '\n';
      return isIndent || (tokens[index - 1] !== '[' && tokens[index + 1] !== ']');
    })
    .join('');
}

/** What the lexer says beside the text: begin of a document, of a scalar. */
function isMark(token: string): boolean {
  return token === '\u0002' || token === '\u0018' || token === '\u001f';
}

function commentsOf(text: string): string[] {
  const lines = text.replace(/^\uFEFF/, '').replaceAll('\r\n', '\n');
  return [...new Lexer().lex(lines)].filter((token) => token.startsWith('#')).map((token) => token.trim());
}
