import { readFileSync } from 'node:fs';

/**
 * Milliseconds of processor time that something takes. Unlike the clock, they do not grow while other tests have the
 * processor: what is dear by its own doing shows, and nothing else.
 */
export function processorMs(work: () => unknown): number {
  const before = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

/** The milliseconds of processor time that a process has taken since it began, its children not counted. */
export function processorMsOf(pid: number | undefined): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  // Linux tells it in hundredths of a second.
  return (Number(fields[11]) + Number(fields[12])) * 10;
}
