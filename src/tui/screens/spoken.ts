import { sanitiseText } from '../../lib/sanitise.ts';
import { countOutcomes, OUTCOMES } from '../../run/outcome.ts';
import { currentScreen, type SessionState } from '../model/state.ts';
import { textOf } from '../view/line.ts';
import { draw } from './draw.ts';

/** Where the person is: another place is said whole. */
export function placeOf(state: SessionState): string {
  const run = currentScreen(state) === 'run' ? (state.run?.id ?? '') : '';
  return `${currentScreen(state)} ${run} ${state.overlay?.kind ?? ''}`;
}

/** A screen as lines to be heard: without empty lines, rulers and columns of blanks. */
export function spokenLines(state: SessionState): readonly string[] {
  return draw(state, { ascii: true })
    .lines.map((line) => textOf(line).replace(/-{3,}/g, '').replace(/ {2,}/g, '  ').trim())
    .filter((line) => /[\p{L}\p{N}]/u.test(line));
}

/** What happens by itself, as one sentence; '' when there is nothing to say. */
export function spokenNews(state: SessionState): string {
  const { link, linkReason, notice } = state;
  if (link === 'lost') return sanitiseText(`the agent is gone: ${linkReason}`);
  const said = notice === undefined ? '' : `${notice.text}. `;
  return sanitiseText(said + targetsNews(state) + verdictNews(state) + runNews(state)).trim();
}

function targetsNews(state: SessionState): string {
  if (currentScreen(state) !== 'targets') return '';
  const { problem, matched, suspect } = state.targets;
  if (problem !== '') return problem;
  const alive = state.members.filter(({ status }) => status === 'alive').length;
  const doubtful = suspect.length === 0 ? '' : `, ${suspect.length} suspect`;
  return `${matched.length} of ${alive} living nodes match${doubtful}`;
}

function verdictNews(state: SessionState): string {
  if (currentScreen(state) !== 'command') return '';
  const { verdict } = state.command;
  if (verdict.kind === 'refused') return `not a command: ${verdict.reason}`;
  if (verdict.kind !== 'known') return '';
  const groups = verdict.groups.map(({ verdict: word, names, rule, reason }) =>
    [word, 'on', names.length, rule === '' ? '' : `by rule ${rule}`, reason]
      .filter((part) => part !== '')
      .join(' '),
  );
  return `${groups.join('; ')}. :enter runs it`;
}

function runNews({ run: view }: SessionState): string {
  if (view === undefined || !view.isLive) return '';
  const counts = countOutcomes(view.run);
  const words = OUTCOMES.filter((outcome) => counts[outcome] > 0).map(
    (outcome) => `${counts[outcome]} ${outcome}`,
  );
  const { size } = view.run.targets;
  const how = view.run.phase === 'ended' ? 'the run has ended' : `${size - view.run.open} of ${size} done`;
  return `${how}: ${words.reverse().join(', ')}`;
}
