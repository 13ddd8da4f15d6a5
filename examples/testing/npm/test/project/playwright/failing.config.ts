// What fails on purpose.

import { defineConfig } from '@playwright/test';
import { common } from './common';

export default defineConfig(common, { testMatch: 'failing.ts', globalSetup: 'heliostat-testing/playwright-setup' });
