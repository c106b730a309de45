import { openSync, readdirSync, readFileSync } from 'node:fs';

/** `O_CLOEXEC` in the octal flags of /proc/self/fdinfo. */
const CLOSE_ON_EXEC = 0o2000000;

type Stdio = ('ignore' | 'pipe' | number)[];

let covers: { readonly numbers: readonly number[]; readonly nothing: number } | undefined;

/**
 * Descriptors that the agent's own parent left open would be handed on to every command, and bwrap closes none. Puts
 * /dev/null in their place. What Node opens itself is closed on exec, so one look is enough for the life of the agent.
 */
export function coverInherited(stdio: Stdio): Stdio {
  covers ??= { numbers: inheritedNumbers(), nothing: openSync('/dev/null', 'r') };
  const covered = [...stdio];
  for (const number of covers.numbers) {
    if (number < stdio.length) continue;
    // From 3 on, "ignore" leaves a descriptor as it is.
    while (covered.length < number) covered.push('ignore');
    covered[number] = covers.nothing;
  }
  return covered;
}

function inheritedNumbers(): number[] {
  const numbers: number[] = [];
  for (const name of readdirSync('/proc/self/fdinfo')) {
    const number = Number(name);
    if (number > 2 && isInherited(name)) numbers.push(number);
  }
  return numbers.sort((a, b) => a - b);
}

function isInherited(name: string): boolean {
  let text: string;
  try {
    text = readFileSync(`/proc/self/fdinfo/${name}`, 'utf8');
  } catch {
    // The descriptor of the directory listing itself is gone by now.
    return false;
  }
  const flags = /^flags:\s*([0-7]+)$/m.exec(text)?.[1];
  return flags !== undefined && (Number.parseInt(flags, 8) & CLOSE_ON_EXEC) === 0;
}
