// Playwright's `test` with an app of its own for each test.

import { writeFile } from 'node:fs/promises';
import { test as base } from '@playwright/test';
import { createApp, deleteApp, lendBroker, whatTheBrokerSaw } from './fixture.js';

export { expect } from '@playwright/test';

export const test = base.extend({
  pusherSettings: [{}, { option: true }],
  pusherWebhooks: [undefined, { option: true }],
  broker: [({}, use) => lendBroker(use), { scope: 'worker' }],
  pusher: async ({ broker, pusherSettings, pusherWebhooks }, use, testInfo) => {
    const app = await createApp(broker, pusherSettings, pusherWebhooks);
    await use(app);
    if (testInfo.status !== testInfo.expectedStatus) {
      const seen = await whatTheBrokerSaw(app);
      const path = testInfo.outputPath('what-the-broker-saw.txt');
      await writeFile(path, seen);
      await testInfo.attach('what the broker saw', { path, contentType: 'text/plain' });
      // Reporters on a terminal show little of attachments, but all of the errors.
      testInfo.errors.push({ message: seen });
    }
    await deleteApp(app);
  },
});
