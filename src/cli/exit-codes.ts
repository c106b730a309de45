/** Every exit code of fanout and what it means, as --help and the README list them. */
export const EXIT_CODES: Readonly<Record<number, string>> = {
  0: 'every target ran the command, and it returned 0',
  1: 'somewhere it returned something else, or died of a signal',
  2: 'usage, or a command string that was refused',
  3: 'no living member matches',
  4: 'a target is unreachable, was lost, timed out, or could not start the command',
  5: "a node's policy refused",
  6: 'stopped before all had started: too many failed, or it was not confirmed',
  7: "integrity: a signature did not hold, a node's key has changed, or an audit log was",
  69: 'no agent to talk to',
  70: 'a bug in fanout itself',
  130: 'interrupted',
};
