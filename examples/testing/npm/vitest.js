// Vitest's `test` with an app of its own for each test.

import { test as base } from 'vitest';
import { createApp, deleteApp, lendBroker, whatTheBrokerSaw } from './fixture.js';

export { expect } from 'vitest';

export const test = base.extend({
  pusherSettings: {},
  pusherWebhooks: undefined,
  broker: [({}, use) => lendBroker(use), { scope: 'worker' }],
  pusher: async ({ broker, pusherSettings, pusherWebhooks, task }, use) => {
    const app = await createApp(broker, pusherSettings, pusherWebhooks);
    // Vitest gives up on a test after 5 seconds, and would do so just before a wait has failed with its own message.
    if (task.timeout > 0) app.timeoutMs = Math.min(app.timeoutMs, Math.floor(task.timeout * 0.8));
    await use(app);
    const error = task.result?.state === 'fail' && task.result.errors?.at(-1);
    if (error) error.message += `\n\n${await whatTheBrokerSaw(app)}`;
    await deleteApp(app);
  },
});
