import type { Command } from 'commander';
import { savedSelections } from '../asker/saved-selections.ts';
import { naturalOrder } from '../lib/natural-order.ts';
import type { MemberRecord } from '../rpc/members.ts';
import { bashWords } from './bash-words.ts';
import { type Offer, type Place, placeOf } from './completion-place.ts';

/** Longer than that nobody waits after Tab. */
const ANSWER_MS = 1500;

/**
 * What may be offered of names and tags. Anybody in the cluster can choose those, and they end up in the command line of a
 * shell and on its screen: characters that no shell reads as anything but themselves, and no flag of ours.
 */
const NAME = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/;
const TAG_VALUE = /^[A-Za-z0-9_./][A-Za-z0-9_.:@/+-]{0,254}$/;
/** Of what was typed before, it is repeated in every offer. */
const PREFIX = /^[A-Za-z0-9._,@=!-]*$/;

/**
 * `fanout complete SHELL -- WORDS`: prints what could stand in the place of the last word, for the scripts of `fanout
 * completion`: a line that says what it is, then a line each. Says nothing when anything is wrong: there is nobody to read it.
 */
export async function complete(program: Command, shell: string, rest: readonly string[]): Promise<number> {
  // Whatever still waits then, such as for an agent that does not answer, is not worth waiting for.
  setTimeout(() => process.exit(0), ANSWER_MS).unref();
  try {
    const { words, kept } = shell === 'bash' ? bashLine(rest) : { words: rest, kept: 0 };
    const word = words.at(-1) ?? '';
    const place = placeOf(program, words);
    if (place.kind === 'files' || place.kind === 'directories') {
      process.stdout.write(`${place.kind}\n`);
      return 0;
    }
    if (!PREFIX.test(place.prefix)) return 0;
    const offers = await offersAt(place, word.slice(place.prefix.length));
    const lines = offers
      .map((offer) => ({ ...offer, word: place.prefix + offer.word }))
      .filter((offer) => offer.word.startsWith(word))
      .map((offer) => line(offer, shell, kept));
    process.stdout.write(['words\n', ...lines].join(''));
  } catch {
    // No agent, a broken file, a word that commander does not know: then there is nothing to offer.
  }
  return 0;
}

/** The rest of a command line of bash: COMP_WORDBREAKS, and the line up to the cursor with the command's own name. */
function bashLine([breaks = '', line = '']: readonly string[]): { words: readonly string[]; kept: number } {
  const { words, kept } = bashWords(line, breaks);
  return { words: words.slice(1), kept };
}

/** Bash shows no descriptions. */
function line({ word, about }: Offer, shell: string, kept: number): string {
  if (shell === 'bash') return `${word.slice(kept)}\n`;
  return about === undefined ? `${word}\n` : `${word}\t${about}\n`;
}

async function offersAt(place: Place, text: string): Promise<readonly Offer[]> {
  switch (place.kind) {
    case 'words':
      return place.offers;
    case 'names':
      return namesOf(await membersAt(place)).map((word) => ({ word }));
    case 'sets':
      return setsAt(place, text);
    case 'tags':
      return tagsAt(await membersAt(place), text);
    default:
      return [];
  }
}

async function membersAt({ rpcAddr = process.env.FANOUT_RPC_ADDR, rpcAuth }: Place): Promise<MemberRecord[]> {
  const [{ takeAuthKey }, { withAgent }] = await Promise.all([
    import('../asker/connect.ts'),
    import('./with-agent.ts'),
  ]);
  if (rpcAuth !== undefined) takeAuthKey({ file: rpcAuth });
  const members = await withAgent(rpcAddr === undefined ? {} : { rpcAddr }, (client) => client.members());
  return members.filter(({ status }) => status !== 'left');
}

function namesOf(members: readonly MemberRecord[]): string[] {
  return members
    .map(({ name }) => name)
    .filter((name) => NAME.test(name))
    .sort(naturalOrder);
}

/** A list with commas: its last part is completed. */
async function setsAt(place: Place, text: string): Promise<Offer[]> {
  const before = text.slice(0, text.lastIndexOf(',') + 1);
  if (!PREFIX.test(before)) return [];
  const there = new Set(before.split(','));
  const words = text.slice(before.length).startsWith('@')
    ? [...savedSelections().keys()].map((name) => `@${name}`)
    : namesOf(await membersAt(place));
  return words.filter((word) => !there.has(word)).map((word) => ({ word: before + word }));
}

/** The names of tags, and behind `name=` or `name!=` the values that there are. */
function tagsAt(members: readonly MemberRecord[], text: string): Offer[] {
  const tags = members.flatMap((member) => [...member.tags]).filter(([name]) => NAME.test(name));
  const [, name, operator] = /^([^=!]+)(!?=)/.exec(text) ?? [];
  const words =
    name === undefined
      ? tags.map(([other]) => `${other}=`)
      : tags
          .filter(([other, value]) => other === name && TAG_VALUE.test(value))
          .map(([, value]) => `${name}${operator}${value}`);
  return [...new Set(words)].sort(naturalOrder).map((word) => ({ word }));
}
