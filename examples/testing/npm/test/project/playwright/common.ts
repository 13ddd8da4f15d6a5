// What all runs have in common: a Chromium that is there already, and two workers.

import { defineConfig } from '@playwright/test';

export const common = defineConfig({
  testDir: '.',
  testMatch: '*.spec.ts',
  outputDir: '../test-results',
  fullyParallel: true,
  workers: 2,
  reporter: 'list',
  use: {
    launchOptions: {
      executablePath: process.env.PROTOCOL_TESTS_CHROMIUM,
      args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run'],
    },
  },
});
