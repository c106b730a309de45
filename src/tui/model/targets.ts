import { FanoutError } from '../../lib/errors.ts';
import { naturalOrder } from '../../lib/natural-order.ts';
import { exactText, matchesSelector, type Selector, selectorText } from '../../policy/selector.ts';
import { parseSelector } from '../../policy/selector-parser.ts';
import { reconsider, withCommand } from './command.ts';
import { GO_ACTIONS, show } from './go.ts';
import { LIST_START, settleList } from './list.ts';
import { notice, type Step, stay } from './messages.ts';
import type { MemberView, SessionState, TagRow, TargetsState } from './state.ts';
import { fieldOf, type TextField } from './text-field.ts';

/** A cluster where each node has a tag of its own must not fill the screen's memory. */
const TAG_ROWS_MAX = 5000;

/** Reads the text of the selection again, after it or the members have changed. */
export function select(state: SessionState): SessionState {
  const { targets, members } = state;
  const read = readSelection(targets.field.text, targets.saved);
  if ('problem' in read) return withTargets(state, { problem: read.problem });
  const { selector } = read;
  const matching = members.filter((member) => matchesSelector(selector, member));
  const alive = matching.filter(({ status }) => status === 'alive');
  return withTargets(state, {
    problem: '',
    selector: selectorText(selector),
    matched: alive.map(({ name }) => name),
    gone: matching.filter(({ status }) => status !== 'alive').map(({ name }) => name),
    suspect: alive.filter(({ isSuspect }) => isSuspect).map(({ name }) => name),
    nodes: settleList(targets.nodes, matching.length, Number.MAX_SAFE_INTEGER),
  });
}

/** Takes over a new list of members: in natural order, with the tags counted. */
export function membersChanged(state: SessionState, members: readonly MemberView[]): SessionState {
  // What they have said of themselves stays until they say something else.
  const about = new Map(state.members.map((member) => [member.name, member.about]));
  const sorted = members
    .map((member) => ({ ...member, about: member.about ?? about.get(member.name) }))
    .sort((a, b) => naturalOrder(a.name, b.name));
  const tagRows = countTags(sorted);
  const targets = { ...state.targets, tagRows };
  return select({ ...state, members: sorted, targets });
}

/** The members that the selection names, dead ones as well, in natural order. */
export function selectedMembers(state: SessionState): readonly MemberView[] {
  const wanted = new Set([...state.targets.matched, ...state.targets.gone]);
  return state.members.filter(({ name }) => wanted.has(name));
}

export function setTargetsText(state: SessionState, field: TextField): SessionState {
  return select(withTargets(state, { field, tags: state.targets.tags }));
}

type Read = { readonly selector: Selector } | { readonly problem: string };

function readSelection(text: string, saved: TargetsState['saved']): Read {
  try {
    const selector = parseSelector(text, {
      saved: (name) => saved.find((selection) => selection.name === name)?.text,
    });
    return { selector };
  } catch (error) {
    if (!(error instanceof FanoutError)) throw error;
    // The first line says what is wrong; the picture of the place comes after it.
    return { problem: error.message.split('\n')[0] ?? '' };
  }
}

function countTags(members: readonly MemberView[]): TagRow[] {
  const counts = new Map<string, TagRow>();
  for (const { status, tags } of members) {
    if (status !== 'alive') continue;
    for (const [name, value] of tags) {
      const key = `${name}=${value}`;
      counts.set(key, { name, value, count: (counts.get(key)?.count ?? 0) + 1 });
    }
  }
  return [...counts.values()]
    .sort((a, b) => naturalOrder(a.name, b.name) || b.count - a.count || naturalOrder(a.value, b.value))
    .slice(0, TAG_ROWS_MAX);
}

function withTargets(state: SessionState, changes: Partial<TargetsState>): SessionState {
  return { ...state, targets: { ...state.targets, ...changes } };
}

const SIMPLE_TERM = /^([\w.-]+)(!?=)([^\s()&|,'"]+(?:,[^\s()&|,'"]+)*)$/;

/**
 * The text with a term added, or taken out where it is there already. The same name with the same sign becomes one term
 * with alternatives; a text that is more than terms joined by "and" is put into parentheses first.
 */
export function toggleTerm(text: string, name: string, sign: '=' | '!=', value: string): string {
  const terms = text.trim() === '' ? [] : text.trim().split(/\s+and\s+/);
  if (!terms.every((term) => SIMPLE_TERM.test(term) || !/\bor\b|\|/i.test(term))) {
    return `(${text.trim()}) and ${name}${sign}${quoted(value)}`;
  }
  const at = terms.findIndex((term) => {
    const match = SIMPLE_TERM.exec(term);
    return match !== null && match[1] === name && match[2] === sign;
  });
  const values = at < 0 ? [] : (SIMPLE_TERM.exec(terms[at] ?? '')?.[3] ?? '').split(',');
  const wanted = quoted(value);
  const left = values.includes(wanted) ? values.filter((other) => other !== wanted) : [...values, wanted];
  const term = left.length === 0 ? [] : [`${name}${sign}${left.join(',')}`];
  if (at < 0) return [...terms, ...term].join(' and ');
  return [...terms.slice(0, at), ...term, ...terms.slice(at + 1)].join(' and ');
}

function quoted(value: string): string {
  return exactText(value) ?? "''";
}

function toggle(state: SessionState, sign: '=' | '!='): Step {
  const { targets } = state;
  const chosen = chosenTerm(state);
  if (chosen === undefined) return stay(state);
  if (exactText(chosen.value) === undefined) {
    return stay(notice(state, 'that is a pattern: it cannot be meant alone', 'bad'));
  }
  const text = toggleTerm(targets.field.text, chosen.name, sign, chosen.value);
  return stay(setTargetsText(state, fieldOf(text)));
}

function chosenTerm(state: SessionState): { name: string; value: string } | undefined {
  const { targets } = state;
  if (targets.focus === 'tags') return targets.tagRows[targets.tags.cursor];
  const member = selectedMembers(state)[targets.nodes.cursor];
  return member === undefined ? undefined : { name: 'node', value: member.name };
}

function focus(state: SessionState, wanted: TargetsState['focus']): Step {
  return stay(withTargets(state, { focus: wanted }));
}

function toCommand(state: SessionState): Step {
  const { problem, matched, gone } = state.targets;
  if (problem !== '') return stay(notice(state, problem, 'bad'));
  if (matched.length === 0) {
    const why =
      gone.length === 0 ? 'no member matches' : `no living member matches, only ${gone.length} that are gone`;
    return stay(notice(state, why, 'bad'));
  }
  return reconsider(show(withCommand(state, { only: undefined }), 'command'));
}

function takeSaved(state: SessionState, key: string): Step {
  const saved = state.targets.saved[Number(key) - 1];
  if (saved === undefined) return stay(notice(state, `there is no saved selection ${key}: s saves one`));
  return stay(setTargetsText(state, fieldOf(`@${saved.name}`)));
}

const FOCUS_ORDER = ['text', 'tags', 'nodes'] as const;

function turn(state: SessionState, by: 1 | -1): Step {
  const at = FOCUS_ORDER.indexOf(state.targets.focus) + by + FOCUS_ORDER.length;
  return focus(state, FOCUS_ORDER[at % FOCUS_ORDER.length] ?? 'text');
}

export const TARGETS_ACTIONS = {
  'targets.to-command': toCommand,
  'targets.to-tags': (state: SessionState): Step => focus(state, 'tags'),
  'targets.to-nodes': (state: SessionState): Step => focus(state, 'nodes'),
  'targets.to-text': (state: SessionState): Step => focus(state, 'text'),
  'targets.next': (state: SessionState): Step => turn(state, 1),
  'targets.previous': (state: SessionState): Step => turn(state, -1),
  'targets.clear': (state: SessionState): Step =>
    state.targets.field.text === '' ? GO_ACTIONS['go.back'](state) : stay(setTargetsText(state, fieldOf(''))),
  'targets.empty': (state: SessionState): Step =>
    stay(withTargets(setTargetsText(state, fieldOf('')), { nodes: LIST_START })),
  'targets.toggle': (state: SessionState): Step => toggle(state, '='),
  'targets.exclude': (state: SessionState): Step => toggle(state, '!='),
  'targets.saved': takeSaved,
  'targets.save': (state: SessionState): Step => {
    if (state.targets.problem !== '') return stay(notice(state, state.targets.problem, 'bad'));
    return stay({ ...state, overlay: { kind: 'save-selection', field: fieldOf('') } });
  },
};
