// One broker for all workers.

import { defineConfig } from '@playwright/test';
import { common } from './common';

export default defineConfig(common, { globalSetup: 'heliostat-testing/playwright-setup' });
