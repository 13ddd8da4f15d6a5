// Networks that let no WebSocket through: pusher-js in its default configuration falls back by itself.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import PusherServer from 'pusher';
import { APP, startBroker } from './broker.mjs';
import { RELEASES, openStage } from './fallbacks.mjs';
import { forwarder } from './forwarder.mjs';

const closers = [];
/** What outlives a single test. */
const whole = { after: (work) => closers.push(work) };
after(async () => { for (const close of closers.reverse()) await close(); });

let stage;
before(async () => { stage = await openStage(whole); });

const OLDEST = RELEASES.at(0);
const NEWEST = RELEASES.at(-1);

// pusher-js gives WebSockets five seconds before it begins with anything else.
describe('behind a proxy without WebSockets', { concurrency: 4 }, () => {
  for (const release of [OLDEST, NEWEST]) {
    for (const [upgrades, what] of [['refuse', 'refuses upgrades'], ['hang', 'never answers upgrades']]) {
      // Proves: clients.
      test(`pusher-js ${release.version} falls back when the proxy ${what}`, async (t) => {
        const broker = await startBroker(t);
        const proxy = await forwarder(t, broker, upgrades);
        // Each has a page of its own: what failed is remembered by all connections of a page.
        const [ann, bob] = await Promise.all(['ann', 'bob'].map(async (user) => {
          const page = await stage.newPage(t, release);
          const statistics = answered(page, (url) => url.pathname.startsWith('/timeline/'));
          const client = await stage.open(t, release, proxy, {
            page, user, disableStats: false, statsHost: `${proxy.host}:${proxy.port}`,
          });
          await client.connected('xhr_streaming');
          assert.deepEqual((await client.seen()).codes, []);
          // Sent as soon as the connection stands.
          assert.equal(await statistics, 200);
          return client;
        }));
        for (const client of [ann, bob]) {
          await client.subscribe('news', 'greet');
          await client.subscribe('presence-room', 'client-wave');
        }
        await backend(broker).trigger('news', 'greet', { hello: 'all' });
        await Promise.all([ann, bob].map((client) => client.heard('news', 'greet', { hello: 'all' })));
        await ann.trigger('presence-room', 'client-wave', { from: 'ann' });
        await bob.heard('presence-room', 'client-wave', { from: 'ann' });
        await bob.trigger('presence-room', 'client-wave', { from: 'bob' });
        await ann.heard('presence-room', 'client-wave', { from: 'bob' });
      });
    }
  }
});

/** The status of the first answer to a request that fits. */
function answered(page, fits) {
  return page.waitForResponse((response) => fits(new URL(response.url()))).then((response) => response.status());
}

function backend({ host, port }) {
  return new PusherServer({ appId: APP.id, key: APP.key, secret: APP.secret, host, port: String(port), useTLS: false });
}
