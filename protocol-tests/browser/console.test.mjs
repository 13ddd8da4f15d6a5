// The console, used as a person would: what was refused, what was sent, a webhook again, a connection closed.

import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import PusherServer from 'pusher';
import { APP, startBroker } from './broker.mjs';
import { openBrowser, openPage, screenshot, shown } from './browser.mjs';
import { cleanup } from './cleanup.mjs';
import { serve } from './serve.mjs';

const TOKEN = 'a-token-of-the-tests';
const VIEWS = ['overview', 'live', 'channels', 'connections', 'users', 'send', 'webhooks', 'pipe', 'why', 'nodes', 'settings'];
const DESK = { viewport: { width: 1280, height: 860 } };
const PHONE = { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true };
const NAME = `<img src=x onerror=globalThis.isFooled=1>${'🪞'.repeat(40)}`;
const EVENT = '<img src=x onerror=globalThis.isFooled=1>🪞';

// Somebody wonders why a private channel fails: the console says it in a sentence, without a word of documentation.
// Proves: console.
test('a refused subscription is understood', async (t) => {
  const { broker, console, app } = await setUp(t);
  const page = await app();
  // The page asked its backend before it lost its connection: what it was given is signed for the socket before.
  const before = await page.evaluate(() => globalThis.pusher.connection.socket_id);
  const refused = backend(broker).authorizeChannel(before, 'private-orders').auth;
  await page.evaluate((auth) => {
    globalThis.auth = auth;
    globalThis.pusher.disconnect();
    globalThis.pusher.connect();
  }, refused);
  await page.waitForFunction((old) => globalThis.pusher.connection.state === 'connected' && globalThis.pusher.connection.socket_id !== old, before);
  await console.goto(`${broker.admin}/console/#/why`);
  await shown(console, '#view .light', /^Live$/);
  await page.evaluate(() => { globalThis.pusher.subscribe('private-orders'); });
  const cause = await shown(console, '.entry.bad .cause', new RegExp(before.replace('.', '\\.')));
  assert.doesNotMatch(cause, new RegExp(APP.secret));
  await console.fill('form input[placeholder="private-room"]', 'private-orders');
  await console.fill('form input[placeholder="123.456"]', await page.evaluate(() => globalThis.pusher.connection.socket_id));
  await console.fill('form textarea >> nth=0', JSON.stringify({ auth: refused }));
  await console.getByRole('button', { name: 'Examine' }).click();
  await shown(console, '.verdict', /^It is not right/);
  await shown(console, '.why .cause', new RegExp(before.replace('.', '\\.')));
  await screenshot(console, 'console-why-refused');
});

// Proves: console.
test('an event is sent, arrives in a page, and is seen in the feed', async (t) => {
  const { broker, console, app } = await setUp(t);
  const page = await app();
  await page.evaluate(() => {
    globalThis.heard = [];
    globalThis.pusher.subscribe('news').bind('headline', (data) => globalThis.heard.push(data));
  });
  await page.waitForFunction(() => globalThis.pusher.channel('news').subscribed);
  const live = await openPage(t, console.context(), `${broker.admin}/console/#/live?kinds=events`);
  await shown(live, '#view .light', /^Live$/);

  await console.goto(`${broker.admin}/console/#/send?channel=news&event=headline`);
  await console.locator('textarea:visible').fill('{"title":"<b>It works</b>"}');
  await console.locator('form .primary').click();
  await shown(console, '.big', /^Received by 1 connection$/);
  await page.waitForFunction(() => globalThis.heard.length === 1);
  assert.deepEqual(await page.evaluate(() => globalThis.heard[0]), { title: '<b>It works</b>' });

  await shown(live, '.entries .words', /headline on news/);
  await shown(live, '.entries .reach', /^→ 1$/);
  await live.locator('.opener').first().click();
  assert.match(await live.textContent('.payload'), /"title": "<b>It works<\/b>"/);
  // The next one is compared with it.
  await backend(broker).trigger('news', 'headline', { title: 'another' });
  await live.waitForFunction(() => document.querySelectorAll('.entry').length === 2);
  await live.locator('.opener').first().click();
  await live.getByRole('button', { name: 'Compare with the one before' }).first().click();
  assert.match(await live.textContent('.diff.new'), /another/);
  await screenshot(live, 'console-live-diff');

  // A misspelt name: nobody hears it, and the console knows who was meant.
  await console.locator('form input:visible').first().fill('newz');
  await console.locator('form .primary').click();
  await shown(console, '.big', /^Nobody received it$/);
  await shown(console, '.aside-note', /news/);
});

// Proves: console.
test('a webhook is sent again by hand', async (t) => {
  const hooks = await endpoint(t);
  const { broker, console, app } = await setUp(t, hooks);
  const page = await app();
  await page.evaluate(() => { globalThis.pusher.subscribe('news'); });
  await hooks.came(1);
  await console.goto(`${broker.admin}/console/#/webhooks`);
  await shown(console, '.attempts strong', /^200$/);
  await console.getByRole('button', { name: 'Replay' }).first().click();
  await hooks.came(2);
  const [first, again] = hooks.requests;
  assert.deepEqual(JSON.parse(again.body).events, JSON.parse(first.body).events);
  assert.equal(again.headers['x-heliostat-replay'], '1');
  assert.equal(again.headers['x-pusher-key'], APP.key);
  await shown(console, '#toast', /^Answered 200/);
});

// Proves: console.
test('a connection is looked at and closed', async (t) => {
  const { broker, console, app } = await setUp(t);
  const page = await app();
  await page.evaluate(() => {
    globalThis.codes = [];
    globalThis.pusher.connection.bind('error', ({ error }) => globalThis.codes.push(error?.data?.code));
    globalThis.pusher.subscribe('news');
  });
  await page.waitForFunction(() => globalThis.pusher.channel('news').subscribed);
  const socketId = await page.evaluate(() => globalThis.pusher.connection.socket_id);
  await console.goto(`${broker.admin}/console/#/channels`);
  await console.getByRole('link', { name: 'news' }).click();
  await console.getByRole('link', { name: socketId }).click();
  await shown(console, '.facts', /js 8\./);
  await shown(console, '.tags', /news/);
  await console.fill('input[type=number]', '4001');
  await console.getByRole('button', { name: 'Close', exact: true }).click();
  await page.waitForFunction(() => globalThis.codes.includes(4001));
  await shown(console, '#view', /is not at this node/);
});

// Whatever names and payloads say is text; nothing of it runs, and no view is wider than the screen.
// Proves: console.
test('every view fits, is named, and believes nobody', async (t) => {
  const { broker, browser, app } = await setUp(t);
  const page = await app();
  await page.evaluate((name) => {
    globalThis.pusher.subscribe('news');
    globalThis.pusher.subscribe('private-😀');
    globalThis.pusher.bind_global(() => {});
    globalThis.name = name;
  }, NAME);
  await page.waitForFunction(() => globalThis.pusher.channel('news').subscribed);
  const credentials = { httpCredentials: { username: 'admin', password: TOKEN } };
  for (const [form, options] of Object.entries({ desk: DESK, phone: PHONE })) {
    for (const colorScheme of ['light', 'dark']) {
      const context = await browser.newContext({ ...options, ...credentials, colorScheme });
      const console = await openPage(t, context, `${broker.admin}/console/`, { forgive: /404/ });
      await shown(console, '#state', /^Ready/);
      for (const view of VIEWS) {
        await console.goto(`${broker.admin}/console/#/${view}`);
        await shown(console, '#views [aria-current]', /./);
        assert.equal(await console.locator('h1').count(), 1, view);
        if (view === 'live') {
          await shown(console, '#view .light', /^Live$/);
          await backend(broker).trigger('news', EVENT, { html: NAME });
          await console.locator('.opener').first().click();
        }
        // What a view asks the broker for is there.
        await console.waitForLoadState('networkidle');
        assert.equal(await console.locator('.notice').count(), 0, `${view}: ${await console.locator('.notice').allTextContents()}`);
        const needed = await console.evaluate(() => document.documentElement.scrollWidth);
        assert.ok(needed <= options.viewport.width, `${view} needs ${needed} pixels`);
        const nameless = await console.evaluate(() => [...document.querySelectorAll('button, select, input, textarea, a')]
          .filter((element) => element.checkVisibility() && !(element.getAttribute('aria-label') || element.labels?.[0]?.textContent || element.textContent).trim())
          .map((element) => element.outerHTML));
        assert.deepEqual(nameless, [], view);
        await screenshot(console, `console-${view}-${form}-${colorScheme}`);
      }
      assert.equal(await console.evaluate(() => globalThis.isFooled), undefined);
      await context.close();
    }
  }
});

/** A broker with an admin listener, the console open in a browser, and a way to open pages of an app. */
async function setUp(t, hooks = null) {
  const folder = await mkdtemp(join(tmpdir(), 'protocol-tests-console-'));
  cleanup(t, () => rm(folder, { recursive: true }));
  const config = join(folder, 'heliostat.toml');
  await writeFile(config, [
    '[admin]', 'enabled = true', 'port = 0', `token = "${TOKEN}"`,
    '[[apps]]', `id = "${APP.id}"`, `key = "${APP.key}"`, `secret = "${APP.secret}"`, 'client_events = true',
    ...(hooks ? ['[[apps.webhooks]]', `url = "${hooks.url}"`] : []), '',
  ].join('\n'));
  const broker = await startBroker(t, { args: ['--config', config] });
  broker.admin = await broker.adminUrl();
  const browser = await openBrowser(t, { camera: 'none' });
  const context = await browser.newContext({ ...DESK, httpCredentials: { username: 'admin', password: TOKEN } });
  const console = await openPage(t, context, `${broker.admin}/console/`, { forgive: /404/ });
  await shown(console, '#state', /^Ready/);
  const app = async () => {
    const options = { wsHost: broker.host, wsPort: broker.port, forceTLS: false, enabledTransports: ['ws'], cluster: '' };
    const origin = await serve(t, { pages: { '/': `<!doctype html><script src="/node_modules/pusher-js/dist/web/pusher.js"></script><script>
      var pusher = new Pusher(${JSON.stringify(APP.key)}, { ...${JSON.stringify(options)}, authorizer: () => ({ authorize: (_, told) => told(null, { auth: globalThis.auth }) }) });
    </script>` } });
    const page = await openPage(t, await browser.newContext(), `${origin}/`, { forgive: /favicon|404/ });
    await page.waitForFunction(() => globalThis.pusher.connection.state === 'connected');
    return page;
  };
  return { broker, browser, console, app };
}

function backend({ host, port }) {
  return new PusherServer({ appId: APP.id, key: APP.key, secret: APP.secret, host, port: String(port), useTLS: false });
}

/** An endpoint that takes webhooks, and tells when so many have come. */
async function endpoint(t) {
  const requests = [];
  const waiting = [];
  const server = createServer(async (request, response) => {
    let body = '';
    for await (const part of request) body += part;
    requests.push({ headers: request.headers, body });
    response.end();
    for (const look of waiting) look();
  });
  await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  cleanup(t, () => new Promise((resolve) => {
    server.close(resolve);
    server.closeAllConnections();
  }));
  const came = (count) => new Promise((resolve, reject) => {
    const deadline = setTimeout(() => reject(new Error(`${requests.length} of ${count} webhooks came`)), 20_000);
    const look = () => {
      if (requests.length < count) return;
      clearTimeout(deadline);
      resolve();
    };
    waiting.push(look);
    look();
  });
  return { url: `http://127.0.0.1:${server.address().port}/`, requests, came };
}
