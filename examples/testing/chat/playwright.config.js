import { defineConfig } from '@playwright/test';

export default defineConfig({
  testDir: 'tests',
  // One broker for all workers, unless `heliostat exec` has started one already.
  globalSetup: 'heliostat-testing/playwright-setup',
  fullyParallel: true,
  // For 5,000 tests, `--reporter=dot` says enough.
  reporter: 'list',
  timeout: 60_000,
  // Deadlines, for busy machines: nothing waits longer than it must.
  expect: { timeout: 20_000 },
  use: {
    launchOptions: {
      // Any Chromium; without it, the one that Playwright has installed.
      executablePath: process.env.CHROMIUM,
      args: process.getuid?.() === 0 ? ['--no-sandbox'] : [],
    },
  },
});
