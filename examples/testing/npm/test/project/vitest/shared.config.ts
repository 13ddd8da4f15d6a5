// One broker for all workers.

import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: { include: ['vitest/*.test.ts'], maxWorkers: 3, globalSetup: 'heliostat-testing/vitest-setup' },
});
