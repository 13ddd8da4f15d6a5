// What fails on purpose, with Vitest's own deadline: a wait must lose its patience before Vitest does.

import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: { include: ['vitest/failing.ts'], globalSetup: 'heliostat-testing/vitest-setup' },
});
