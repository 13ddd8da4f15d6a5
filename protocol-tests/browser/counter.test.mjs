// The page of examples/counter: its network is pulled out and put back, again and again, and it misses nothing.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import Pusher from 'pusher';
import { APP, startBroker } from './broker.mjs';
import { number, openBrowser, openPage, screenshot, shown } from './browser.mjs';
import { cleanup } from './cleanup.mjs';
import { serve } from './serve.mjs';
import { openLine } from '../clients/node/line.mjs';

const COUNTER = fileURLToPath(new URL('../../examples/counter/', import.meta.url));
const LIBRARY = new URL('node_modules/pusher-js/dist/web/pusher.min.js', import.meta.url);

/** So many numbers are published while the network is away, each time. */
const MEANWHILE = 20;

/** What happens to the network: how it goes, and how it comes back. */
const ACCIDENTS = {
  'its line is cut': { out: ({ line }) => line.cutAndHold(), back: ({ line }) => line.restore() },
  'its line swallows everything, and comes back': { out: ({ line }) => line.hold(), back: ({ line }) => line.restore() },
  'the browser is offline': { out: cutAndOffline, back: onlineAgain },
  'its line is cut in the midst of a frame': { out: cutInTheMidst, back: whole },
};


// Proves: recovery, pages.
test('a counter misses nothing while its network is pulled out and put back', async (t) => {
  const broker = await startBroker(t, { args: ['--config', `${COUNTER}heliostat.toml`] });
  const line = await openLine(broker);
  cleanup(t, () => line.close());
  const context = await (await openBrowser(t)).newContext();
  await context.route('https://js.pusher.com/**', async (route) => {
    await route.fulfill({ contentType: 'text/javascript', body: await readFile(LIBRARY, 'utf8') });
  });
  const origin = await serve(t, { folder: COUNTER, pages: { '/': await readFile(`${COUNTER}index.html`, 'utf8') } });
  const page = await openPage(t, context, `${origin}/?host=${line.host}&port=${line.port}`, { forgive: /WebSocket|ERR_/ });
  await shown(page, '#state', /^connected$/);

  const backend = new Pusher({ appId: APP.id, ...APP, host: broker.host, port: String(broker.port), useTLS: false });
  let published = 0;
  const publish = async (count) => {
    for (let more = 0; more < count; more++) await backend.trigger('counter', 'count', { n: (published += 1) });
  };
  await page.waitForFunction(() => globalThis.Pusher.instances[0].channel('counter').subscribed);
  await publish(1);
  await shown(page, '#count', /^1$/);
  for (let round = 0; round < 2; round++) {
    for (const [what, { out, back }] of Object.entries(ACCIDENTS)) {
      await t.test(`${what}, round ${round + 1}`, async () => {
        await line.acknowledged();
        await out({ line, context });
        await publish(MEANWHILE);
        await back({ line, context });
        await publish(1);
        await shown(page, '#count', new RegExp(`^${published}$`));
        assert.equal(await number(page, '#missed'), 0);
        assert.equal(await page.textContent('#note'), '');
      });
    }
  }
  assert.ok(await number(page, '#connections') >= 5);
  assert.ok(await number(page, '#replayed') >= 5 * MEANWHILE);
  await screenshot(page, 'counter');
});

/** The developer tools' switch alone would leave a WebSocket that stands as it is. */
async function cutAndOffline({ line, context }) {
  await context.setOffline(true);
  line.cutAndHold();
}

async function onlineAgain({ line, context }) {
  line.restore();
  await context.setOffline(false);
}

/** It is cut when the next events are on it, so nobody waits for that yet. */
function cutInTheMidst({ line }) {
  line.midst = line.cutAfter(777);
}

async function whole({ line }) {
  await line.midst;
  line.restore();
}
