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
