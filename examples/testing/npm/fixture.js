// What the fixtures of Vitest and of Playwright have in common.

import { Broker } from './index.js';

let opened;
let users = 0;

/**
 * Lends the broker of this worker, which is stopped when nobody uses it any more. A runner may have several at once:
 * Vitest makes the fixtures of a worker anew for each `test` that is extended.
 */
export async function lendBroker(use) {
  users += 1;
  let broker;
  try {
    broker = await (opened ??= Broker.open());
    await use(broker);
  } finally {
    users -= 1;
    if (users === 0) {
      opened = undefined;
      await broker?.stop();
    }
  }
}

export function createApp(broker, settings, webhooks) {
  return broker.createApp(webhooks ? { settings, webhooks } : { settings });
}

/** For the report of a test that failed. */
export async function whatTheBrokerSaw(app) {
  try {
    return `What the broker saw of app ${app.id}:\n${(await app.timeline()) || '  nothing'}`;
  } catch (error) {
    return `What the broker saw is not known: ${error.message}`;
  }
}

/** A test may have deleted its app itself. */
export async function deleteApp(app) {
  await app.delete().catch((error) => {
    if (error.status !== 404) throw error;
  });
}
