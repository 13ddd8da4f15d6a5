// What the tests share: a chat of each test's own, whose backend is reached by the test's own app.

import { createServer } from 'node:http';
import { expect, test as base } from 'heliostat-testing/playwright';
import Pusher from 'pusher-js';
import { chat } from '../server.js';

export { expect };
export * from 'heliostat-testing';

export const MINUTE_MS = 60_000;
export const ROOM = 'presence-lobby';

/** Describes tests, so often as `REPEAT` says: once, if it says nothing. */
export function suite(name, tests) {
  const times = Number(process.env.REPEAT ?? 1);
  for (let n = 1; n <= times; n += 1) test.describe(times === 1 ? name : `${name}, ${n} of ${times}`, tests);
}

export const test = base.extend({
  // The address of the backend is known before it has an app, so that the app can send it webhooks.
  backend: async ({}, use) => {
    const server = createServer();
    // Nobody's request is to meet the end of a connection that was kept.
    server.keepAliveTimeout = 0;
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    await use({ server, url: `http://127.0.0.1:${server.address().port}` });
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  },

  // The app's clock goes on by itself, too. What a test wants to see before its time is to be further off than any machine is
  // slow.
  pusherSettings: [
    { webhook_delivery: { removal_delay_seconds: 60, retry_first_seconds: 60, timeout_seconds: 60 } },
    { option: true },
  ],

  pusherWebhooks: async ({ backend }, use) => use([{ url: `${backend.url}/webhooks`, events: ['presence'] }]),

  /** How long Pusher may take to answer the backend, which then tries again: long, so that a busy machine does not matter. */
  patienceMs: [20_000, { option: true }],

  /** The backend: `get` and `post` are its HTTP. */
  chat: async ({ backend, patienceMs, pusher }, use) => {
    backend.server.on('request', chat(pusher.serverOptions, patienceMs));
    const call = async (path, options) => (await fetch(`${backend.url}/${path}`, options)).json();
    const headers = { 'Content-Type': 'application/json' };
    await use({
      url: backend.url,
      get: (path) => call(path),
      post: (path, body) => call(path, { method: 'POST', headers, body: JSON.stringify(body) }),
    });
  },

  // Deadlines, for busy machines: nothing waits longer than it must.
  pusher: async ({ pusher }, use) => use(Object.assign(pusher, { timeoutMs: 20_000 })),

  // One tab serves all tests of a worker, one after the other: to open one costs more than a test.
  tab: [
    async ({ browser }, use) => {
      const page = await browser.newPage();
      await use(page);
      await page.close();
    },
    { scope: 'worker' },
  ],

  /** Opens the page as somebody: in the tab, or, where something is to be prepared that would stay, in one of its own. */
  open: async ({ browser, chat, tab }, use) => {
    const own = [];
    await use(async (name, { prepare } = {}) => {
      let page = tab;
      if (prepare) {
        page = await browser.newPage();
        own.push(page);
        await prepare(page);
      }
      await page.goto(`${chat.url}/?name=${name}`);
      return seenAs(page);
    });
    await tab.goto('about:blank');
    await Promise.all(own.map((page) => page.close()));
  },

  /** The same, and waits until the broker has them in the room, and the page what was said before. */
  enter: async ({ open, pusher }, use) => {
    await use(async (name, options) => {
      const visitor = await open(name, options);
      await pusher.until({ type: 'signed_in', user_id: name });
      // Whoever is signed in has a channel of their own, by which notes come. pusher-js subscribes to it only then.
      await pusher.until({ type: 'logged', filter: { type: 'subscribed', channel: `#server-to-user-${name}` } });
      await pusher.until({ type: 'logged', filter: { type: 'subscribed', channel: ROOM, user_id: name } });
      await visitor.state('online');
      await visitor.fetched();
      return visitor;
    });
  },

  /** Has somebody in the room who is no page: that is enough where nobody looks at one, and much cheaper. */
  join: async ({ chat, pusher }, use) => {
    const clients = [];
    await use(async (name) => {
      const client = new Pusher(pusher.key, {
        ...pusher.clientOptions,
        channelAuthorization: {
          customHandler: ({ socketId, channelName }, tell) =>
            chat
              .post('auth', { socket_id: socketId, channel_name: channelName, name })
              .then((said) => tell(null, said), (error) => tell(error, null)),
        },
      });
      clients.push(client);
      client.subscribe(ROOM);
      await pusher.until({ type: 'logged', filter: { type: 'subscribed', channel: ROOM, user_id: name } });
      return client;
    });
    clients.forEach((client) => client.disconnect());
  },
});

/** The page in the words of the tests. */
function seenAs(page) {
  const items = (label) => page.getByLabel(label, { exact: true }).getByRole('listitem');
  return {
    page,
    say: async (text) => {
      await page.getByLabel('Message', { exact: true }).fill(text);
      await page.getByRole('button', { name: 'Send' }).click();
    },
    state: (text) => expect(page.locator('#state')).toHaveText(text),
    topic: (text) => expect(page.locator('#topic')).toHaveText(text),
    fetched: () => expect(page.getByLabel('Messages', { exact: true })).toHaveAttribute('aria-busy', 'false'),
    messages: (texts) => expect(items('Messages')).toHaveText(texts),
    members: (names) => expect(items('Members')).toHaveText(names),
    notes: (texts) => expect(items('Notes')).toHaveText(texts),
  };
}
