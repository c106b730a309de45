import { currentScreen, type SessionState } from './state.ts';

/** Where a key has its meaning. A screen's own keys, then those of its kind, then those of everywhere. */
export type Context =
  | 'always'
  | 'everywhere'
  | 'list'
  | 'text'
  | 'targets'
  | 'targets text'
  | 'command'
  | 'run'
  | 'groups'
  | 'diff'
  | 'pager'
  | 'search'
  | 'runs'
  | 'members'
  | 'monitor'
  | 'help'
  | 'confirm'
  | 'yes or no'
  | 'save'
  | 'prompt'
  | 'history';

export interface Binding {
  readonly action: string;
  /** As `keyName` spells them. */
  readonly keys: readonly string[];
  readonly context: Context;
  /** One or two words, for the key line; '' keeps it out of there. */
  readonly label: string;
  /** What it does, for the help and the documents. */
  readonly help: string;
  /** Why it does nothing at the moment, undefined when it does. */
  readonly blocked?: (state: SessionState) => string | undefined;
}

const noRun = (state: SessionState): string | undefined =>
  state.run === undefined ? 'no run to look at' : undefined;
const notLive = (state: SessionState): string | undefined =>
  state.run?.isLive !== true || state.run.run.phase === 'ended' ? 'nothing runs' : undefined;
const noGroups = (state: SessionState): string | undefined =>
  (state.run?.groups.length ?? 0) < 2 ? 'there is nothing to compare: fewer than two groups' : undefined;
const isOffline = (state: SessionState): string | undefined =>
  state.link === 'lost' ? 'the agent is gone' : undefined;

function bind(
  context: Context,
  action: string,
  keys: string,
  label: string,
  help: string,
  blocked?: Binding['blocked'],
): Binding {
  const list = keys.split(' ');
  return blocked === undefined
    ? { context, action, keys: list, label, help }
    : { context, action, keys: list, label, help, blocked };
}

/**
 * Every key of the session. Dispatch, the key line, the help and docs/keys.md are made from this table. Upper case is
 * the stronger act; no function keys, no Alt, nothing that only some terminals send.
 */
export const BINDINGS: readonly Binding[] = [
  bind('targets text', 'targets.to-command', 'enter', 'command', 'go on to the command'),
  bind('targets text', 'targets.to-tags', 'tab down', 'tags', 'go to the tags'),
  bind('targets text', 'targets.to-nodes', 'backtab', '', 'go to the nodes'),
  bind('targets text', 'targets.clear', 'escape', 'clear', 'empty the text; when it is empty, leave'),

  bind(
    'targets',
    'targets.toggle',
    'space',
    'take',
    'take this tag or node into the selection, or out of it',
  ),
  bind('targets', 'targets.exclude', '!', 'not', 'exclude this tag or node, or no longer'),
  bind('targets', 'targets.to-command', 'enter', 'command', 'go on to the command'),
  bind('targets', 'targets.next', 'tab', 'column', 'go to the next column'),
  bind('targets', 'targets.previous', 'backtab', '', 'go to the column before'),
  bind('targets', 'targets.to-text', '/', 'text', 'edit the selection as text'),
  bind('targets', 'targets.save', 's', 'save', 'save the selection under a name'),
  bind('targets', 'targets.saved', '1 2 3 4 5 6 7 8 9', '', 'take a saved selection'),
  bind('targets', 'targets.empty', 'x', 'clear', 'empty the selection: everybody'),

  bind('command', 'command.run', 'enter', 'run', 'run the command'),
  bind(
    'command',
    'command.complete',
    'tab',
    'complete',
    'complete the program; among the options: the next one',
  ),
  bind('command', 'command.older', 'up', '', 'bring up the command before'),
  bind('command', 'command.newer', 'down', '', 'bring up the command after'),
  bind('command', 'command.history', 'ctrl-r', 'history', 'search the history'),
  bind(
    'command',
    'command.options',
    'ctrl-o',
    'options',
    'edit timeout and rolling options, or the command again',
  ),
  bind('command', 'command.ask', 'ctrl-p', 'ask', 'ask the nodes whether they would run it', isOffline),
  bind('command', 'command.targets', 'ctrl-t', 'targets', 'change the targets'),
  bind('command', 'go.back', 'escape', 'back', 'go back'),

  bind('run', 'run.output', 'enter', 'output', 'show all output of this node'),
  bind('run', 'run.groups', 'g', 'groups', 'fold identical answers'),
  bind('run', 'run.diff', 'd', 'diff', "compare this node's answer with the reference", noGroups),
  bind('run', 'run.search', '/', 'search', 'search in all outputs'),
  bind('run', 'run.filter', 'f', 'filter', 'show only failed, denied, silent, running, ok'),
  bind('run', 'run.sort', 'o', 'order', 'sort by worst, name, time, exit code, size'),
  bind('run', 'run.hide-ok', 'h', 'hide ok', 'hide those that returned 0, or show them'),
  bind('run', 'run.update', 'u', '', 'bring the rows into order again'),
  bind('run', 'run.cancel', 'c', 'stop', 'stop the run: kill what runs on every node', notLive),
  bind('run', 'run.cancel-node', 'x', 'stop one', 'stop the command on this node', notLive),
  bind('run', 'run.extend', '+', '', 'give it ten seconds more', notLive),
  bind('run', 'run.cut', '-', '', 'give it ten seconds less', notLive),
  bind('run', 'run.again', 'r', 'again', 'run the same again (goes to the command line)'),
  bind(
    'run',
    'run.again-failed',
    'R',
    'failed again',
    'run it again where it failed (goes to the command line)',
  ),
  bind('run', 'run.save', 's', 'save', 'save the answers to a file or a folder'),
  bind('run', 'go.targets', 't', '', 'choose other targets'),
  bind('run', 'run.command', ':', '', 'type another command for the same targets'),

  bind('groups', 'groups.output', 'enter', 'output', 'show the output of the first node of the group'),
  bind('groups', 'groups.diff', 'd', 'diff', 'compare the group with the reference', noGroups),
  bind('groups', 'groups.reference', 'b', 'reference', 'make this group the reference'),
  bind('groups', 'groups.again', 'R', 'again', 'run it again on this group (goes to the command line)'),
  bind('groups', 'run.search', '/', 'search', 'search in all outputs'),
  bind('groups', 'run.save', 's', 'save', 'save the answers to a file or a folder'),

  bind('diff', 'diff.next', 'n', 'next', 'compare the next group'),
  bind('diff', 'diff.previous', 'p', 'previous', 'compare the group before'),
  bind('diff', 'diff.up', 'up k', '', 'one line up'),
  bind('diff', 'diff.down', 'down j', '', 'one line down'),
  bind('diff', 'diff.page-up', 'pageup ctrl-u', '', 'one page up'),
  bind('diff', 'diff.page-down', 'pagedown ctrl-d space', '', 'one page down'),

  bind('pager', 'pager.up', 'up k', '', 'one line up'),
  bind('pager', 'pager.down', 'down j', '', 'one line down'),
  bind('pager', 'pager.page-up', 'pageup ctrl-u', '', 'one page up'),
  bind('pager', 'pager.page-down', 'pagedown ctrl-d space', '', 'one page down'),
  bind('pager', 'pager.first', 'home', '', 'to the start'),
  bind('pager', 'pager.last', 'end G', 'end', 'to the end, and follow what comes'),
  bind('pager', 'pager.left', 'left', '', 'show what is further left'),
  bind('pager', 'pager.right', 'right', '', 'show what is further right'),
  bind('pager', 'pager.wrap', 'w', 'wrap', 'wrap long lines, or cut them'),
  bind('pager', 'pager.find', '/', 'search', 'search in this output'),
  bind('pager', 'pager.next-hit', 'n', 'next', 'to the next hit'),
  bind('pager', 'pager.previous-hit', 'N', '', 'to the hit before'),
  bind('pager', 'pager.next-node', 'tab ]', 'node', 'the output of the next node'),
  bind('pager', 'pager.previous-node', 'backtab [', '', 'the output of the node before'),
  bind('pager', 'pager.open', 'v', '$PAGER', 'open it in $PAGER'),

  bind('search', 'search.open', 'enter', 'open', 'show the output at the first hit'),
  bind('search', 'run.search', '/', 'search', 'search for something else'),

  bind('runs', 'runs.open', 'enter', 'open', 'look at that run'),
  bind('runs', 'runs.again', 'r', 'again', 'take its command and targets (goes to the command line)'),

  bind('members', 'members.filter', '/', 'filter', 'show only members that match a selection'),
  bind('members', 'members.take', 'enter', 'take', 'take this member as the target'),
  bind('members', 'members.about', 'a', 'ask', 'ask the agents for their version and policy', isOffline),

  bind('monitor', 'monitor.level', 'l', 'log level', "show the agent's log as well: off, warn, info, debug"),
  bind('monitor', 'monitor.pause', 'space', 'pause', 'stand still, or go on'),
  bind('monitor', 'monitor.up', 'up k', '', 'one line back'),
  bind('monitor', 'monitor.down', 'down j', '', 'one line forward'),
  bind('monitor', 'monitor.page-up', 'pageup ctrl-u', '', 'one page back'),
  bind('monitor', 'monitor.page-down', 'pagedown ctrl-d', '', 'one page forward'),

  bind('help', 'help.close', 'escape q ? enter', 'close', 'close the help'),

  bind('confirm', 'confirm.answer', 'enter', 'answer', 'run it, when the number is right'),
  bind('confirm', 'confirm.no', 'escape', 'do not run', 'run nothing'),

  bind('yes or no', 'overlay.yes', 'y', 'yes', 'do it'),
  bind('yes or no', 'overlay.no', 'n escape q', 'no', 'do not'),

  bind('save', 'save.format', 'tab', 'format', 'text, one file per node, JSON, NDJSON, CSV'),
  bind('save', 'save.done', 'enter', 'save', 'write it, readable by you alone'),
  bind('save', 'overlay.no', 'escape', 'close', 'do not save'),

  bind('prompt', 'prompt.done', 'enter', 'done', 'take what is typed'),
  bind('prompt', 'overlay.no', 'escape', 'close', 'leave it as it was'),

  bind('history', 'history.take', 'enter', 'edit', 'bring it to the command line'),
  bind('history', 'history.up', 'up ctrl-p', '', 'newer'),
  bind('history', 'history.down', 'down ctrl-r', 'older', 'older'),
  bind('history', 'overlay.no', 'escape', 'close', 'leave the command as it was'),

  bind('text', 'text.left', 'left ctrl-b', '', 'one character left'),
  bind('text', 'text.right', 'right ctrl-f', '', 'one character right'),
  bind('text', 'text.home', 'home ctrl-a', '', 'to the start of the line'),
  bind('text', 'text.end', 'end ctrl-e', '', 'to the end of the line'),
  bind('text', 'text.backspace', 'backspace', '', 'delete the character before the cursor'),
  bind('text', 'text.delete', 'delete ctrl-d', '', 'delete the character under the cursor'),
  bind('text', 'text.kill-word', 'ctrl-w', '', 'delete the word before the cursor'),
  bind('text', 'text.kill-start', 'ctrl-u', '', 'delete to the start of the line'),
  bind('text', 'text.kill-end', 'ctrl-k', '', 'delete to the end of the line'),

  bind('list', 'list.up', 'up k', '', 'one row up'),
  bind('list', 'list.down', 'down j', '', 'one row down'),
  bind('list', 'list.page-up', 'pageup ctrl-u', '', 'one page up'),
  bind('list', 'list.page-down', 'pagedown ctrl-d', '', 'one page down'),
  bind('list', 'list.first', 'home', '', 'to the first row'),
  bind('list', 'list.last', 'end G', '', 'to the last row'),

  bind('everywhere', 'help.open', '?', 'help', 'show the keys that work here'),
  bind('everywhere', 'go.back', 'q escape', 'back', 'go back; at the first screen, leave'),
  bind('everywhere', 'go.members', 'M', 'members', 'the members of the cluster'),
  bind('everywhere', 'go.runs', 'L', 'last runs', 'the runs of before'),
  bind('everywhere', 'go.monitor', 'E', 'events', 'events and queries in the cluster, as they come'),
  bind('everywhere', 'go.run', 'V', '', 'view the last run', noRun),

  bind('always', 'go.interrupt', 'ctrl-c', '', 'stop the run; twice in two seconds: leave'),
  bind('always', 'go.suspend', 'ctrl-z', '', 'suspend the session; fg brings it back'),
  bind('always', 'go.redraw', 'ctrl-l', '', 'draw the screen again'),
];

/** The contexts whose keys are live, the nearest first. */
export function contextsOf(state: SessionState): readonly Context[] {
  switch (state.overlay?.kind) {
    case 'help':
      return ['help', 'list', 'always'];
    case 'confirm':
      return ['confirm', 'text', 'always'];
    case 'quit':
    case 'stop-one':
      return ['yes or no', 'always'];
    case 'save':
      return ['save', 'text', 'always'];
    case 'save-selection':
    case 'find':
    case 'filter-members':
      return ['prompt', 'text', 'always'];
    case 'history':
      return ['history', 'text', 'always'];
    default:
      return contextsOfScreen(state);
  }
}

function contextsOfScreen(state: SessionState): readonly Context[] {
  const screen = currentScreen(state);
  switch (screen) {
    case 'targets':
      if (state.targets.focus === 'text') return ['targets text', 'text', 'always'];
      return ['targets', 'list', 'everywhere', 'always'];
    case 'command':
      return ['command', 'text', 'always'];
    case 'diff':
    case 'pager':
    case 'monitor':
      return [screen, 'everywhere', 'always'];
    default:
      return [screen, 'list', 'everywhere', 'always'];
  }
}

/** The binding of a key in a state, or undefined. */
export function bindingOf(state: SessionState, key: string): Binding | undefined {
  for (const context of contextsOf(state)) {
    const found = BINDINGS.find((binding) => binding.context === context && binding.keys.includes(key));
    if (found !== undefined) return found;
  }
  return undefined;
}

/** The bindings that are live in a state, the nearest first. */
export function liveBindings(state: SessionState): readonly Binding[] {
  return contextsOf(state).flatMap((context) => BINDINGS.filter((binding) => binding.context === context));
}
