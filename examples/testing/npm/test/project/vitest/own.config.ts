// No global setup: a broker for each worker, or that of the environment.

import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: { include: ['vitest/*.test.ts'], maxWorkers: 3 },
});
