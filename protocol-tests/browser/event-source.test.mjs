// An EventSource whose line is cut: the browser comes back by itself, and is sent what it missed.

import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import Pusher from 'pusher';
import { APP, startBroker } from './broker.mjs';
import { openBrowser, openPage } from './browser.mjs';
import { cleanup } from './cleanup.mjs';
import { forwarder } from './forwarder.mjs';

const CONFIG = `
[[apps]]
id = "${APP.id}"
key = "${APP.key}"
secret = "${APP.secret}"
http_streams = true
[[apps.channels]]
pattern = "orders"
history = { events = 10 }
`;
/** What the browser says on the console about a line that was cut, and about the icon that nobody has. */
const CUT = /ERR_INCOMPLETE_CHUNKED_ENCODING|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE|404/;

// Nothing is done for it: the browser sends the last id that it has, and the page hears what it would have heard.
// Proves: recovery.
test('an EventSource that is cut off misses nothing', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'event-source-'));
  cleanup(t, () => rm(folder, { recursive: true }));
  const config = join(folder, 'heliostat.toml');
  await writeFile(config, CONFIG);
  const broker = await startBroker(t, { args: ['--config', config] });
  const line = await forwarder(t, broker);
  const { host, port } = broker;
  const server = new Pusher({ appId: APP.id, key: APP.key, secret: APP.secret, host, port, useTLS: false });
  const publish = async (numbers) => {
    for (const number of numbers) await server.trigger('orders', 'placed', { number });
  };
  await publish([1, 2, 3]);

  const context = await (await openBrowser(t)).newContext();
  const page = await openPage(t, context, `${line.url}/health`, { forgive: CUT });
  await page.evaluate((url) => {
    window.heard = [];
    window.opened = 0;
    const source = new EventSource(url);
    source.onopen = () => { window.opened += 1; };
    source.addEventListener('placed', ({ data }) => window.heard.push(JSON.parse(data).number));
    source.addEventListener('pusher:resumed', ({ data }) => window.heard.push(JSON.parse(data)));
  }, `${line.url}/apps/${APP.id}/channels/orders/sse?rewind_events=2`);
  const hears = async (expected) => {
    await page.waitForFunction((count) => window.heard.length >= count, expected.length);
    assert.deepEqual(await page.evaluate('window.heard'), expected);
  };
  const begun = [2, 3, { complete: true, events: 2 }];
  await hears(begun);
  await publish([4]);
  await hears([...begun, 4]);

  line.cut();
  await publish([5, 6]);
  const back = [...begun, 4, 5, 6, { complete: true, events: 2 }];
  await hears(back);
  await publish([7]);
  await hears([...back, 7]);

  // More than the history has is not sent in part; the URL asks for the last two then, and they are not taken for all.
  line.cut();
  await publish([...Array(11).keys()].map((n) => n + 10));
  await hears([...back, 7, 19, 20, { complete: false, events: 2 }]);
});
