const SHELLS = /^(?:r?bash|d?ash|sh|zsh|[mp]?d?ksh|ksh93|fish|t?csh|yash|rc|es|posh|pwsh)$/;
/** They read a program as shells do. */
const INTERPRETERS = /^(?:python|perl|ruby|node|nodejs|php|lua|tclsh|irb|awk)[\d.]*$/;
/** Programs that start the one behind them. Their own options and numbers are passed over. */
const WRAPPERS =
  /^(?:exec|command|builtin|env|sudo|doas|nice|ionice|nohup|time|timeout|setsid|stdbuf|busybox|toybox|xargs|chroot|setpriv|unshare|nsenter|runuser|flock)$/;
const KEYWORDS = /^(?:[A-Za-z_]\w*=.*|do|then|else|elif|if|while|until|!)$/;
const INPUT = /^(?:-|\/dev\/stdin|\/dev\/fd\/0|\/proc\/self\/fd\/0)$/;
/** Options of shells that take a value of their own. */
const WITH_VALUE = /^(?:[-+][a-zA-Z]*[oO]|--(?:rcfile|init-file))$/;

/**
 * Whether a handler's script hands what it reads to a shell, as `query:ssh=/bin/sh` does: then whoever can send an event
 * runs what they like. It sees what people write, and is no wall: a script can hide a shell in many ways.
 */
export function isBareShell(script: string): boolean {
  // Quotes and backslashes do not change which program it is.
  const plain = script.replace(/\\\n/g, ' ').replace(/['"\\]/g, '');
  return plain.split(/[;&|\n(){}]+/).some((command) => readsProgram(command.trim().split(/\s+/)));
}

function readsProgram(all: readonly string[]): boolean {
  const words = withoutRedirections(all);
  let at = 0;
  while (at < words.length && isBefore(words, at)) at++;
  const program = baseName(words[at] ?? '');
  const args = words.slice(at + 1);
  if (program === '.' || program === 'source') return INPUT.test(args[0] ?? '');
  if (program === 'eval') return /^[$`]/.test(args[0] ?? '');
  if (SHELLS.test(program)) return shellReads(args);
  return INTERPRETERS.test(program) && !args.some((word) => !INPUT.test(word));
}

/** Assignments, keywords, wrappers, and what stands between a wrapper and its program. */
function isBefore(words: readonly string[], at: number): boolean {
  const word = words[at] ?? '';
  if (KEYWORDS.test(word) || WRAPPERS.test(baseName(word))) return true;
  const isBehindWrapper = words.slice(0, at).some((before) => WRAPPERS.test(baseName(before)));
  return isBehindWrapper && !SHELLS.test(baseName(word)) && !INTERPRETERS.test(baseName(word));
}

function shellReads(args: readonly string[]): boolean {
  for (let at = 0; at < args.length; at++) {
    const word = args[at] ?? '';
    if (INPUT.test(word)) return true;
    // A command that comes out of a variable, a substitution or xargs is somebody else's.
    if (/^[-+][a-zA-Z]*c$/.test(word)) return /^(?:$|[$`])/.test(args[at + 1] ?? '');
    if (/^-[a-zA-Z]*s/.test(word)) return true;
    if (WITH_VALUE.test(word)) at++;
    // The name of a script.
    else if (!/^[-+]/.test(word)) return false;
  }
  return true;
}

function withoutRedirections(words: readonly string[]): string[] {
  const kept: string[] = [];
  for (let at = 0; at < words.length; at++) {
    const word = words[at] ?? '';
    if (/^\d*(?:<|>>?)$/.test(word)) at++;
    else if (!/^\d*[<>]/.test(word)) kept.push(word);
  }
  return kept;
}

function baseName(word: string): string {
  return word.slice(word.lastIndexOf('/') + 1);
}
