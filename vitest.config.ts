import { defineConfig } from 'vitest/config';

/** What takes the whole machine: its neighbours would fail, and what it says of them would mean nothing. */
const ALONE = ['test/hostile/floods.test.ts'];

export default defineConfig({
  test: {
    // Agents, sandboxes and real serf processes share two cores: a test that waits for one must not time out because
    // of its neighbours. Tests wait for conditions, never for durations, so a generous limit costs nothing when green.
    testTimeout: 60_000,
    hookTimeout: 60_000,
    maxConcurrency: 8,
    pool: 'forks',
    // A third of the processor time of small tests went to loading the same modules anew for each file.
    isolate: false,
    projects: [
      {
        extends: true,
        test: {
          name: 'side by side',
          include: ['test/**/*.test.ts'],
          exclude: ALONE,
          // More workers than cores: much of the time goes to waiting for other processes.
          maxWorkers: 3,
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: { name: 'alone', include: ALONE, maxWorkers: 1, sequence: { groupOrder: 1 } },
      },
    ],
  },
});
