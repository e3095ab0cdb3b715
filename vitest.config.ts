import { defineConfig } from 'vitest/config';

// unit: no privileges, side by side. integration: the real kernel, one after the other, since each
// test looks for what it leaves behind. types: what the public types allow and refuse.
// In the machine of test/vm everything takes ten times as long: one process for all files of a pass,
// modules as they were translated outside.
const emulated = process.env['CGROUP2_VM'] === '1';
const cached = process.env['MODULE_CACHE'] === '1';
// More than one at once is quicker, and needs LEAK_SCOPE=own: a test sees less of what it leaves behind.
const workers = Number(process.env['TEST_WORKERS'] ?? 1);

export default defineConfig({
  test: {
    projects: [
      { test: { name: 'unit', include: ['test/unit/**/*.test.ts'] } },
      {
        test: {
          name: 'integration',
          include: ['test/integration/**/*.test.ts', 'test/attacks/**/*.test.ts'],
          fileParallelism: workers > 1,
          maxWorkers: workers,
          sequence: { groupOrder: 1 },
          testTimeout: 120_000,
          hookTimeout: 120_000,
          isolate: !emulated,
        },
      },
      {
        test: { name: 'examples', include: ['test/examples.test.ts'], fileParallelism: false },
      },
      {
        test: {
          name: 'types',
          include: [],
          typecheck: { enabled: true, only: true, include: ['test/types/**/*.test-d.ts'] },
        },
      },
    ],
    passWithNoTests: false,
    experimental: { fsModuleCache: cached, fsModuleCachePath: 'build/modules' },
  },
});
