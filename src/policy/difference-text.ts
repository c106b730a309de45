import { shown } from './characters.ts';
import { commandText } from './command-text.ts';
import type { ComparedVerdict, NamedChange, PolicyDifference, VerdictChange } from './difference.ts';

const SIGNS: Readonly<Record<NamedChange['change'], string>> = { added: '+', removed: '-', changed: '~' };

/** Differences for a terminal, without a final line end: what is allowed anew first, then what is not any more. */
export function differenceText({ verdicts, names }: PolicyDifference): string {
  const lines: string[] = [];
  const parts: readonly (readonly [title: string, changes: readonly VerdictChange[]])[] = [
    ['allowed now:', verdicts.filter(({ before, after }) => isTurned(before, after))],
    ['denied now:', verdicts.filter(({ before, after }) => isTurned(after, before))],
    ['in another way:', verdicts.filter(({ before, after }) => before.effect === after.effect)],
  ];
  for (const [title, changes] of parts) {
    if (changes.length === 0) continue;
    lines.push(title, ...grouped(changes), '');
  }
  if (names.length > 0) lines.push('in the file:', ...names.map(namedText), '');
  return lines.slice(0, -1).join('\n');
}

function isTurned(before: ComparedVerdict, after: ComparedVerdict): boolean {
  return before.effect === 'deny' && after.effect === 'allow';
}

/** The same change of the same command once, with all for whom it is so. */
function grouped(changes: readonly VerdictChange[]): string[] {
  const groups = new Map<string, { readonly text: string; readonly whom: string[] }>();
  for (const change of changes) {
    const { command, before, after, from } = change;
    const key = JSON.stringify([command.argv, before, after, from]);
    const text = `${shown(commandText(command.argv))}${from === 'history' ? ' (of your history)' : ''}`;
    const group = groups.get(key) ?? { text: `  ${text}\n      ${changeText(change)}`, whom: [] };
    group.whom.push(askerText(change));
    groups.set(key, group);
  }
  return [...groups.values()].map(({ text, whom }) => `${text}\n      as ${whom.join('; ')}`);
}

function askerText({ command }: VerdictChange): string {
  const { operator, approvers, node, tags } = command;
  const where = [
    ...(node === '' ? [] : [node]),
    ...Object.entries(tags).map(([tag, value]) => `${tag}=${value}`),
  ];
  const approved = approvers.length === 0 ? '' : ` approved by ${approvers.join(', ')}`;
  return shown(`${operator}${approved}${where.length === 0 ? '' : ` on ${where.join(' ')}`}`);
}

function changeText({ before, after, differs }: VerdictChange): string {
  if (before.effect !== after.effect || differs.includes('rule') || differs.includes('code')) {
    const rest =
      before.effect === after.effect ? differs.filter((key) => key !== 'rule' && key !== 'code') : [];
    return `${verdictText(before)} -> ${verdictText(after)}${rest.length === 0 ? '' : `; ${rest.join(', ')}`}`;
  }
  const details = differs.map((key) => `${key} ${valueText(before, key)} -> ${valueText(after, key)}`);
  return `${verdictText(after)}: ${details.join('; ')}`;
}

function verdictText({ effect, rule, code }: ComparedVerdict): string {
  if (effect === 'allow') return `allowed by "${rule}"`;
  return rule === undefined ? `denied (${code})` : `denied by "${rule}"`;
}

function valueText({ surroundings, readOnly, path }: ComparedVerdict, key: string): string {
  const values: Readonly<Record<string, unknown>> = { ...surroundings, readOnly, path };
  const value = values[key];
  return shown(value === undefined ? 'none' : typeof value === 'string' ? value : JSON.stringify(value));
}

function namedText({ kind, name, change, details }: NamedChange): string {
  return `  ${SIGNS[change]} ${kind} ${shown(name)}${details.length === 0 ? '' : `: ${shown(details.join(', '))}`}`;
}
