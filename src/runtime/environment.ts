import { SEARCH_PATH } from './resolve-program.ts';

/**
 * The whole environment of every command. Nothing is inherited from the agent, whose environment may hold secrets, and
 * no variable here can steer a loader or start a program.
 */
export const COMMAND_ENVIRONMENT: Readonly<Record<string, string>> = {
  PATH: SEARCH_PATH.join(':'),
  // Messages in one language on every node, so that equal answers can be grouped.
  LANG: 'C.UTF-8',
  // No personal start-up file is ever read.
  HOME: '/nonexistent',
  // A pager would wait for a key that nobody presses, and some can start programs.
  PAGER: 'cat',
  SYSTEMD_PAGER: 'cat',
  GIT_PAGER: 'cat',
  LESSSECURE: '1',
  TERM: 'dumb',
  GIT_CONFIG_NOSYSTEM: '1',
};
