import type { Terminals } from '../report/renderers.ts';

export type ColourChoice = 'auto' | 'always' | 'never';

/** Whether colours are wanted: the flag, then NO_COLOR, then FORCE_COLOR, then what the terminal is. */
export function wantsColours(choice: ColourChoice, isTerminal: boolean): boolean {
  if (choice !== 'auto') return choice === 'always';
  const { NO_COLOR, FORCE_COLOR, TERM } = process.env;
  if (NO_COLOR !== undefined && NO_COLOR !== '') return false;
  if (FORCE_COLOR !== undefined && FORCE_COLOR !== '') return FORCE_COLOR !== '0' && FORCE_COLOR !== 'false';
  return isTerminal && TERM !== 'dumb';
}

/** How this process's own output looks. */
export function terminals(choice: ColourChoice): Terminals {
  const { stdout, stderr } = process;
  return {
    stdout: stdout.isTTY === true,
    stderr: stderr.isTTY === true,
    colours: wantsColours(choice, stdout.isTTY === true),
  };
}

/** Whether somebody sits there who can be asked: a terminal at both ends, and no build machine. */
export function isAttended(): boolean {
  const { CI } = process.env;
  const isBuild = CI !== undefined && CI !== '' && CI !== 'false';
  return process.stdin.isTTY === true && process.stdout.isTTY === true && !isBuild;
}

/** The same, and the terminal can do more than print. */
export function isInteractive(): boolean {
  return isAttended() && process.env.TERM !== 'dumb';
}
