import { type SelectionFlags, selectorFrom } from '../asker/select.ts';
import { FanoutError } from '../lib/errors.ts';
import { selectorText } from '../policy/selector.ts';
import { type ColourChoice, isInteractive, wantsColours } from './terminals.ts';

export interface UiOptions extends SelectionFlags {
  readonly identity?: string;
  readonly rpcAddr?: string;
  readonly ascii?: boolean;
  readonly color: string;
}

/** The interactive session. Nothing of Ink is loaded before it is certain that there is a terminal. */
export async function ui(options: UiOptions): Promise<number> {
  if (!isInteractive()) {
    throw new FanoutError('USAGE', 'the session needs a terminal at both ends', {
      hint: 'In scripts, name the command: fanout "uptime" --tag role=web. (CI and TERM=dumb count as no terminal.)',
    });
  }
  if (!['auto', 'always', 'never'].includes(options.color)) {
    throw new FanoutError('USAGE', `--color ${options.color}: not auto, always or never`);
  }
  const selector = selectorText(selectorFrom(options));
  const hasColours = wantsColours(options.color as ColourChoice, true);
  const { runSession } = await import('../tui/session.ts');
  return runSession({
    selector,
    hasColours,
    ascii: options.ascii === true,
    ...(options.identity === undefined ? {} : { identity: options.identity }),
    ...(options.rpcAddr === undefined ? {} : { rpcAddr: options.rpcAddr }),
  });
}
