import type { SelectionFlags } from '../asker/select.ts';
import { FanoutError } from '../lib/errors.ts';
import { type ColourChoice, isAttended, wantsColours } from './terminals.ts';

export interface UiOptions extends SelectionFlags {
  readonly identity?: string;
  readonly rpcAddr?: string;
  readonly ascii?: boolean;
  readonly screenReader?: boolean;
  readonly color: string;
}

/** The interactive session. Nothing of Ink is loaded before it is certain that there is a terminal. */
export async function ui(options: UiOptions): Promise<number> {
  if (!isAttended()) {
    throw new FanoutError('USAGE', 'the session needs a terminal at both ends', {
      hint: 'In scripts, name the command: fanout "uptime" --tag role=web. (CI counts as no terminal.)',
    });
  }
  if (!['auto', 'always', 'never'].includes(options.color)) {
    throw new FanoutError('USAGE', `--color ${options.color}: not auto, always or never`);
  }
  const selector = await selectionOf(options);
  const hasColours = wantsColours(options.color as ColourChoice, true);
  const isSpoken =
    options.screenReader === true || process.env.INK_SCREEN_READER === 'true' || process.env.TERM === 'dumb';
  const { personHere } = await import('./passphrase-terminal.ts');
  const { runSession } = await import('../tui/session.ts');
  return runSession({
    selector,
    hasColours,
    ascii: options.ascii === true,
    isSpoken,
    ...personHere(),
    ...(options.identity === undefined ? {} : { identity: options.identity }),
    ...(options.rpcAddr === undefined ? {} : { rpcAddr: options.rpcAddr }),
  });
}

/** The selection to begin with. Most begin with none, and then nothing has to be loaded for it. */
async function selectionOf(options: UiOptions): Promise<string> {
  const { tag, node, nodes, exclude, select } = options;
  if ([tag, node, nodes, exclude, select].every((flag) => flag === undefined)) return '';
  const { selectorFrom } = await import('../asker/select.ts');
  const { selectorText } = await import('../policy/selector.ts');
  return selectorText(selectorFrom(options));
}
