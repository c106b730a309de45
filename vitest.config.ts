import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // Agents, sandboxes and real serf processes share two cores: a test that waits for one must not time out because
    // of its neighbours. Tests wait for conditions, never for durations, so a generous limit costs nothing when green.
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // More workers than cores: much of the time goes to waiting for other processes.
    maxWorkers: 4,
    maxConcurrency: 8,
    pool: 'forks',
    // A third of the processor time of small tests went to loading the same modules anew for each file.
    isolate: false,
  },
});
