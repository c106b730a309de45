import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // Agents, sandboxes and real serf processes share two cores: a test that waits for one must not time out because
    // of its neighbours. Tests wait for conditions, never for durations, so a generous limit costs nothing when green.
    testTimeout: 60_000,
    hookTimeout: 60_000,
    maxWorkers: 2,
    pool: 'forks',
  },
});
