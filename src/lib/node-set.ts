import { naturalOrder } from './natural-order.ts';

/** A name as text around one number: the one that is folded. */
interface Parts {
  readonly before: string;
  readonly digits: string;
  readonly after: string;
}

const PLAIN_NAME = /^[\w.:@+-]+$/;

/**
 * Names as ClusterShell writes them: `db1,web[01-08,10]`. Runs of numbers are folded, zero padding is kept and kept
 * apart, duplicates count once, the order is the natural one. Of several numbers in a name the last one is folded. A name that
 * could be mistaken for a set stands in quotes.
 */
export function foldNames(names: readonly string[]): string {
  const all = [...new Set(names)].map(partsOf);
  const around = ({ before, after }: Parts): string => `${before}\u0000${after}`;
  // 01 to 09 and 10 to 12 are one run when there are padded ones of that width; 9 and 10 are one when there are none.
  const padded = new Set(all.filter(isPadded).map((parts) => `${around(parts)}\u0000${parts.digits.length}`));
  const groups = new Map<string, { parts: Parts; digits: string[] }>();
  for (const parts of all) {
    const padding = `${around(parts)}\u0000${parts.digits.length}`;
    const key = parts.digits === '' ? parts.before : padded.has(padding) ? padding : around(parts);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, { parts, digits: [parts.digits] });
    else group.digits.push(parts.digits);
  }
  return [...groups.values()]
    .map(({ parts, digits }) => foldedGroup(parts, digits))
    .sort(naturalOrder)
    .join(',');
}

function isPadded({ digits }: Parts): boolean {
  return digits.length > 1 && digits.startsWith('0');
}

function partsOf(name: string): Parts {
  const match = /^(.*?)(\d{1,15})(\D*)$/.exec(name);
  if (match === null || !PLAIN_NAME.test(name)) return { before: name, digits: '', after: '' };
  const [, before = '', digits = '', after = ''] = match;
  return { before, digits, after };
}

function foldedGroup(parts: Parts, digits: string[]): string {
  const { before, after } = parts;
  const [first = ''] = digits;
  if (first === '') return PLAIN_NAME.test(before) ? before : quoted(before);
  if (digits.length === 1) return before + first + after;
  return `${before}[${foldedNumbers(digits)}]${after}`;
}

function foldedNumbers(digits: string[]): string {
  const sorted = digits.sort((a, b) => Number(a) - Number(b));
  const ranges: string[] = [];
  let start = sorted[0] ?? '';
  let end = start;
  for (const next of [...sorted.slice(1), '']) {
    if (next !== '' && Number(next) === Number(end) + 1) {
      end = next;
      continue;
    }
    ranges.push(start === end ? start : `${start}-${end}`);
    start = next;
    end = next;
  }
  return ranges.join(',');
}

function quoted(name: string): string {
  return `'${name.replaceAll("'", '')}'`;
}
