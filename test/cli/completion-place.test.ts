import type { Command, Option } from 'commander';
import { describe, expect, test } from 'vitest';
import { placeOf } from '../../src/cli/completion-place.ts';
import { loadProgram } from '../../src/cli/main.ts';

describe('what could stand at a place of the command line', () => {
  const program = loadProgram(undefined, undefined, async () => {});

  const at = (...words: string[]) => placeOf(program, words);
  function wordsAt(...words: string[]): string[] {
    const place = at(...words);
    return place.kind === 'words' ? place.offers.map(({ word }) => word) : [`(${place.kind})`];
  }

  test('commands, with what they are for, but none that is hidden', () => {
    const place = at('');
    expect(place.kind === 'words' && place.offers).toContainEqual({
      word: 'members',
      about: 'list the members of the cluster',
    });
    expect(wordsAt('')).not.toContain('complete');
    expect(wordsAt('help', '')).toEqual(wordsAt(''));
    expect(wordsAt('policy', '')).toEqual(['explain', 'check', 'diff', 'fmt', 'schema', 'help']);
    expect(wordsAt('known-nodes', '')).toContain('forget');
  });

  test('each command, flag and choice that commander knows is offered, and nothing that it hides', () => {
    const walk = (command: Command, words: readonly string[]): void => {
      const help = command.createHelp();
      const flags = help.visibleOptions(command).flatMap(({ long, short }) => [long, short]);
      expect(wordsAt(...words, '-')).toEqual(flags.filter((flag) => flag != null));
      const children = help.visibleCommands(command);
      if (children.length > 0) expect(wordsAt(...words, '')).toEqual(children.map((child) => child.name()));
      for (const option of command.options.filter(({ argChoices }) => argChoices !== undefined)) {
        for (const flag of [option.long, option.short].filter((name) => name != null))
          expect(wordsAt(...words, flag, '')).toEqual(option.argChoices);
        expect(at(...words, `${option.long}=`)).toMatchObject({ kind: 'words', prefix: `${option.long}=` });
      }
      for (const child of children.filter((known) => command.commands.includes(known)))
        walk(child, [...words, child.name()]);
    };
    walk(program, []);
  });

  test('every flag that takes a file or a folder says so', () => {
    const all = (command: Command): Option[] => [...command.options, ...command.commands.flatMap(all)];
    const told = new Set(all(program).map(({ flags }) => /<(.*)>/.exec(flags)?.[1]));
    // A flag with another word for such a value would be completed as nothing.
    for (const word of told) if (word !== undefined) expect(word).not.toMatch(/path|folder|directory/);
    expect(at('-i', '').kind).toBe('files');
    expect(at('agent', '--config-file=').kind).toBe('files');
    expect(at('-o', '').kind).toBe('directories');
    expect(at('request', '-o', '').kind).toBe('files');
    expect(at('policy', 'diff', 'a', '').kind).toBe('files');
    expect(at('policy', 'check', 'a', 'b', '').kind).toBe('files');
  });

  test('members where members are named, but not for the agent itself', () => {
    expect(at('--node', '').kind).toBe('names');
    expect(at('members', '--node=')).toMatchObject({ kind: 'names', prefix: '--node=' });
    expect(at('-w', '').kind).toBe('sets');
    expect(at('-wweb')).toMatchObject({ kind: 'sets', prefix: '-w' });
    expect(at('-byx', 'web').kind).toBe('sets');
    expect(at('--tag', '').kind).toBe('tags');
    expect(at('members', '-tag', 'x', '--exclude', '').kind).toBe('sets');
    expect(at('rtt', 'a', '').kind).toBe('names');
    expect(at('force-leave', '').kind).toBe('names');
    expect(at('agent', '--node', '').kind).toBe('nothing');
    expect(at('agent', '--tag', '').kind).toBe('nothing');
  });

  test('the flags before say how to reach the agent', () => {
    const place = at('members', '--rpc-addr', '127.0.0.1:1', '--rpc-auth=/key', '--node', '');
    expect(place).toMatchObject({ rpcAddr: '127.0.0.1:1', rpcAuth: '/key' });
  });

  test('nothing in a command for other machines, and nothing that fanout does not know', () => {
    expect(at('--', 'ps', '').kind).toBe('nothing');
    expect(at('--', '--').kind).toBe('nothing');
    expect(at('--timeout', '').kind).toBe('nothing');
    expect(at('--nonsense', '').kind).toBe('words');
    expect(at('--nonsense=').kind).toBe('nothing');
    expect(at('ps ax', '').kind).toBe('nothing');
    expect(at('help', 'members', '').kind).toBe('words');
  });
});
