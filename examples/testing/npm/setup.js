// The `globalSetup` of Vitest and of Playwright: one broker for all worker processes, which inherit the environment.

import { Broker } from './index.js';

export default async function setup() {
  if (process.env.PUSHER_TEST_URL) return;
  const broker = await Broker.start();
  process.env.PUSHER_TEST_URL = broker.url;
  process.env.PUSHER_TEST_TOKEN = broker.token;
  return async () => {
    delete process.env.PUSHER_TEST_URL;
    delete process.env.PUSHER_TEST_TOKEN;
    await broker.stop();
  };
}
