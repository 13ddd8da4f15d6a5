// The console, used as a person would: what was refused, what was sent, a webhook again, a connection closed, a film, a history.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import PusherServer from 'pusher';
import { WebSocket } from 'ws';
import { APP, startBroker } from './broker.mjs';
import { openBrowser, openPage, screenshot, shown } from './browser.mjs';
import { cleanup } from './cleanup.mjs';
import { serve } from './serve.mjs';

const TOKEN = 'a-token-of-the-tests';
const VIEWS = ['overview', 'live', 'channels', 'connections', 'users', 'send', 'webhooks', 'pipe', 'why', 'nodes', 'settings'];
const DESK = { viewport: { width: 1280, height: 860 } };
const PHONE = { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true };
const NAME = `<img src=x onerror=globalThis.isFooled=1>${'🪞'.repeat(40)}`;
const CHANNELS = [
  '[[apps.channels]]', 'pattern = "*-film"', 'delivery = "video"', 'publishers = ["ann"]',
  '[[apps.channels]]', 'pattern = "kept-*"', 'history = { events = 100 }',
];
const EVENT = '<img src=x onerror=globalThis.isFooled=1>🪞';
const LONG_NAME = `<b onclick=globalThis.isFooled=1>${'🪞'.repeat(80)}`;
const MEMBER = '🪞'.repeat(30);
const RULES = [
  '[[apps.pipe]]', 'from = "news"', `event = ${JSON.stringify(EVENT)}`, 'to = ["copies", "archive"]', 'as = "copied"', 'source = ["client", "http"]',
  '[[apps.pipe]]', 'from = "*"', `event = ${JSON.stringify(LONG_NAME)}`, 'to = "mirror-of-*"', 'source = ["http"]', `where = { html = ${JSON.stringify(NAME)} }`,
];

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

  await console.getByRole('button', { name: 'Node', exact: true }).click();
  await shown(console, '.code .payload', new RegExp(`port: ${broker.port}, useTLS: false`));

  await shown(live, '.entries .words', /headline on news/);
  await shown(live, '.entries .reach', /^→ 1$/);
  await live.locator('.opener').first().click();
  assert.match(await live.textContent('.payload'), /"title": "<b>It works<\/b>"/);
  // The next one is compared with it.
  await backend(broker).trigger('news', 'headline', { title: 'another' });
  await live.waitForFunction(() => document.querySelectorAll('.entry').length === 2);
  await live.locator('.opener').first().click();
  await live.getByRole('button', { name: 'Compare with the one before' }).first().click();
  assert.ok(await live.locator('.payload-head').first().evaluate((head) => head.scrollHeight <= head.clientHeight), 'the button is shown whole');
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
  await shown(console, '#view', /is not here/);
});

// What a camera films, each rendition of it, and how late its viewers are; live while the page is open.
// Proves: console.
test('a film is watched from the console', async (t) => {
  const { broker, browser } = await setUp(t, null, CHANNELS);
  const [camera, viewer] = await Promise.all([wire(t, broker), wire(t, broker)]);
  await camera.subscribe('presence-film', 'ann');
  await viewer.subscribe('presence-film', 'ben');
  let sequence = 0;
  const film = setInterval(() => {
    for (const [rendition, size] of [['full', 12_000], ['small', 2500]]) camera.film('presence-film', 'client-camera', sequence, rendition, size);
    sequence += 1;
  }, 50);
  t.after(() => clearInterval(film));
  await eachForm(browser, async (context, form, { viewport }) => {
    const console = await openPage(t, context, `${broker.admin}/console/#/channels/presence-film`, { forgive: /404/ });
    await shown(console, '.renditions', /full.*[kM]bit\/s, .*frames\/s/s);
    const said = await shown(console, '.renditions', /Key frame [^·]* ago, .*after the one before/);
    assert.match(said, /640 × 360/);
    assert.match(said, /320 × 180/);
    assert.match(said, /vp8/);
    assert.match(await console.textContent('.track'), new RegExp(`Filmed by ${camera.socketId.replace('.', '\\.')} \\(ann\\)`));
    assert.match(await shown(console, '.bands', /1 viewer(?!s)/), /up to 50 ms/);
    // It moves by itself.
    const before = await console.textContent('.renditions');
    await console.waitForFunction((text) => document.querySelector('.renditions').textContent !== text, before);
    await console.locator('details summary').click();
    await shown(console, '.panel details td', new RegExp(viewer.socketId.replace('.', '\\.')));
    await judge(console, 'channel', viewport.width);
    await screenshot(console, `console-film-${form}`);
  });
  clearInterval(film);
});

// What a channel keeps is read page by page, and whoever comes back is seen with what it was sent.
// Proves: console.
test('a history is read, and who came back is seen', async (t) => {
  const { broker, browser } = await setUp(t, null, CHANNELS);
  const name = randomUUID();
  const news = backend(broker);
  const first = await wire(t, broker, name);
  await first.subscribe('kept-news');
  for (let n = 1; n <= 40; n += 1) await news.trigger('kept-news', 'headline', { n });
  await first.heard('headline', 40);
  await first.close();
  await news.trigger('kept-news', 'headline', { n: 41, html: NAME });
  const again = await wire(t, broker, name);
  await again.subscribe('kept-news');
  await eachForm(browser, async (context, form, { viewport }) => {
    const console = await openPage(t, context, `${broker.admin}/console/#/channels/kept-news`, { forgive: /404/ });
    const back = await shown(console, '[aria-label="Who came back"] tbody', /missed nothing/);
    assert.match(back, /\d+ events?, /);
    assert.ok(back.includes(again.socketId) && !back.includes(name.slice(0, 8)), back);
    await shown(console, '[aria-label="History"]', /41 of 100/);
    const rows = console.locator('[aria-label="History"] tbody tr');
    await shown(console, '[aria-label="History"] tbody tr', /"n":41/);
    assert.equal(await rows.count(), 25);
    await console.locator('[aria-label="History"]').getByRole('button', { name: 'Show more' }).click();
    await console.waitForFunction(() => document.querySelectorAll('[aria-label="History"] tbody tr').length === 41);
    assert.match(await rows.last().textContent(), /"n":1}/);
    await judge(console, 'channel', viewport.width);
    await screenshot(console, `console-history-${form}`);
    await console.goto(`${broker.admin}/console/#/connections/${again.socketId}`);
    await shown(console, '[aria-label="Who came back"] tbody', /kept-news/);
    await judge(console, 'connection', viewport.width);
  });
});

// What the files would change is seen, a secret only as another one; then it is done, and what needs a restart is still there.
// Proves: console.
test('a reload is seen before it is done', async (t) => {
  const { console, broker, config } = await setUp(t);
  const before = await readFile(config, 'utf8');
  await writeFile(config, `[connection]\nactivity_timeout_seconds = 77\n${before.replace('client_events = true', 'client_events = false').replace(APP.secret, 'another-secret')}`);
  await console.goto(`${broker.admin}/console/#/settings`);
  await shown(console, '#view [aria-label=Reload]', /client_events.*true.*false.*keys.*another secret.*activity_timeout_seconds.*120.*77/s);
  assert.doesNotMatch(await console.innerText('body'), /another-secret/);
  await screenshot(console, 'console-reload');
  await console.getByRole('button', { name: 'Reload', exact: true }).click();
  await shown(console, '#view [role=status]', /^Reloaded: apps: changed 1/);
  assert.match(await console.innerText('#view [aria-label=Reload]'), /activity_timeout_seconds/);
  assert.doesNotMatch(await console.innerText('#view [aria-label=Reload]'), /client_events/);
  await writeFile(config, `${before}\nsecret = "a-secret-of-the-file`);
  await console.getByRole('button', { name: 'Look again' }).click();
  await shown(console, '.notice', /TOML/);
  assert.doesNotMatch(await console.innerText('body'), /a-secret-of-the-file/);
});

// The pages of development mode lead to the console: whoever follows the link is asked who he is, and sees it.
// Proves: console.
test('the start page leads to the console', async (t) => {
  const broker = await startBroker(t, { args: ['--development', '--admin=127.0.0.1:0'], env: { HELIOSTAT_ADMIN_TOKEN: TOKEN } });
  const browser = await openBrowser(t, { camera: 'none' });
  const context = await browser.newContext({ ...DESK, httpCredentials: { username: 'admin', password: TOKEN } });
  for (const path of ['/', '/stream.html', '/mirror.html']) {
    const page = await openPage(t, context, `${broker.url}${path}`, { forgive: /404|401/ });
    const [console] = await Promise.all([context.waitForEvent('page'), page.getByRole('link', { name: 'Console' }).click()]);
    await shown(console, '#state', /^Ready/);
    assert.equal(new URL(console.url()).origin, await broker.adminUrl());
    await console.close();
    await page.close();
  }
});

// Whatever names and payloads say is text; nothing of it runs, and no view is wider than the screen.
// Proves: console.
test('every view fits, is named, and believes nobody', async (t) => {
  const { broker, browser, app, config } = await setUp(t, null, RULES);
  const page = await app();
  // A rule that matched and sent, one that matched but for the payload, a member of as many emoji as may be, and files that have changed.
  await backend(broker).trigger('news', EVENT, { html: NAME });
  await backend(broker).trigger('news', LONG_NAME, { html: 'another' });
  const member = await wire(t, broker);
  await member.subscribe('presence-room', MEMBER);
  await writeFile(config, `${(await readFile(config, 'utf8')).replace(EVENT, LONG_NAME)}\n[[apps.channels]]\npattern = "kept-*"\nhistory = { events = 10 }\n`);
  await page.evaluate((name) => {
    globalThis.pusher.subscribe('news');
    globalThis.pusher.subscribe('private-😀');
    globalThis.pusher.bind_global(() => {});
    globalThis.name = name;
  }, NAME);
  await page.waitForFunction(() => globalThis.pusher.channel('news').subscribed);
  await eachForm(browser, async (context, form, { viewport }) => {
    const console = await openPage(t, context, `${broker.admin}/console/`, { forgive: /404/ });
    await shown(console, '#state', /^Ready/);
    for (const view of [...VIEWS, 'channels/presence-room']) {
      await console.goto(`${broker.admin}/console/#/${view}`);
      await shown(console, '#views [aria-current]', /./);
      assert.equal(await console.locator('h1').count(), 1, view);
      if (view === 'live') {
        await shown(console, '#view .light', /^Live$/);
        await backend(broker).trigger('news', EVENT, { html: NAME });
        await console.locator('.opener').first().click();
      }
      if (view === 'pipe') await shown(console, '[aria-label="Rule 2"] .lasts', /Dropped last.*the payload has not/s);
      if (view === 'settings') await shown(console, '.change', /Channels|channels|pipe/);
      if (view === 'send') assert.equal(await console.locator('[aria-label="The last ones"]').evaluate(distanceFromParent), 0, 'an answer that has not come takes room');
      if (view === 'channels/presence-room') await shown(console, '#view', /(🪞){30}/);
      await judge(console, view, viewport.width);
      await screenshot(console, `console-${view.replaceAll('/', '-')}-${form}`);
    }
    assert.equal(await console.evaluate(() => globalThis.isFooled), undefined);
  });
});

/** How far below the top of what it stands in something begins. */
function distanceFromParent(element) {
  return element.getBoundingClientRect().top - element.parentElement.getBoundingClientRect().top;
}

/** On a desk and on a phone, by day and by night. */
async function eachForm(browser, look) {
  for (const [form, options] of Object.entries({ desk: DESK, phone: PHONE })) {
    for (const colorScheme of ['light', 'dark']) {
      const context = await browser.newContext({ ...options, httpCredentials: { username: 'admin', password: TOKEN }, colorScheme });
      await look(context, `${form}-${colorScheme}`, options);
      await context.close();
    }
  }
}

/** Once a view has what it asks the broker for: nothing speaks against it, it fits, all that one operates is named, and it says nothing that is no word. */
async function judge(console, view, width) {
  await console.waitForLoadState('networkidle');
  assert.equal(await console.locator('.notice').count(), 0, `${view}: ${await console.locator('.notice').allTextContents()}`);
  const needed = await console.evaluate(() => document.documentElement.scrollWidth);
  assert.ok(needed <= width, `${view} needs ${needed} pixels`);
  const nameless = await console.evaluate(() => [...document.querySelectorAll('button, select, input, textarea, a')]
    .filter((element) => element.checkVisibility() && !(element.getAttribute('aria-label') || element.labels?.[0]?.textContent || element.textContent).trim())
    .map((element) => element.outerHTML));
  assert.deepEqual(nameless, [], view);
  assert.doesNotMatch(await console.innerText('body'), /undefined|NaN|Invalid Date|\[object/, view);
}

/** A client without a browser, which may have a name, and films by itself. */
async function wire(t, { host, port }, name = null) {
  const socket = new WebSocket(`ws://${host}:${port}${name ? `/r/${name}` : ''}/app/${APP.key}?protocol=7&client=js&version=8.4.0&binary=1`);
  const heard = [];
  const waiting = [];
  socket.on('message', (data, isBinary) => {
    if (isBinary) return;
    heard.push(JSON.parse(data));
    for (const look of [...waiting]) look();
  });
  // The broker may end before it.
  socket.on('error', () => {});
  cleanup(t, () => socket.close());
  const until = (what, find) => new Promise((resolve, reject) => {
    const deadline = setTimeout(() => reject(new Error(`${what} did not come: ${JSON.stringify(heard.slice(-3))}`)), 20_000);
    const look = () => {
      const found = find(heard);
      if (!found) return;
      clearTimeout(deadline);
      waiting.splice(waiting.indexOf(look), 1);
      resolve(found);
    };
    waiting.push(look);
    look();
  });
  const greeting = await until('a greeting', (all) => all.find(({ event }) => event === 'pusher:connection_established'));
  const socketId = JSON.parse(greeting.data).socket_id;
  return {
    socketId,
    async subscribe(channel, user = null) {
      const signed = user ? backend({ host, port }).authorizeChannel(socketId, channel, { user_id: user }) : {};
      socket.send(JSON.stringify({ event: 'pusher:subscribe', data: { channel, ...signed } }));
      await until(`the subscription to ${channel}`, (all) => all.find((message) => message.event === 'pusher_internal:subscription_succeeded' && message.channel === channel));
    },
    heard: (event, count) => until(`${count} of ${event}`, (all) => all.filter((message) => message.event === event).length >= count),
    close: () => new Promise((resolve) => {
      socket.once('close', resolve);
      socket.close();
    }),
    /** A message of a track: the first of each ten is a key frame. */
    film(channel, event, sequence, rendition, size) {
      const isKey = sequence % 10 === 0;
      const config = rendition === 'full' ? { codec: 'vp8', codedWidth: 640, codedHeight: 360 } : { codec: 'vp8', codedWidth: 320, codedHeight: 180 };
      const members = { sequence, timestamp: sequence * 50_000, rendition, ...(isKey ? { key: true, config } : {}) };
      const texts = [channel, event, 'video/webcodecs', '', JSON.stringify(members)].map((text) => Buffer.from(text));
      const lengths = Buffer.alloc(2 * texts.length);
      texts.forEach((text, index) => lengths.writeUInt16BE(text.length, 2 * index));
      socket.send(Buffer.concat([Buffer.from([1, 0]), lengths, ...texts, Buffer.alloc(size, 0x5a)]));
    },
  };
}

/** A broker with an admin listener, the console open in a browser, and a way to open pages of an app. */
async function setUp(t, hooks = null, ofApp = []) {
  const folder = await mkdtemp(join(tmpdir(), 'protocol-tests-console-'));
  cleanup(t, () => rm(folder, { recursive: true }));
  const config = join(folder, 'heliostat.toml');
  await writeFile(config, [
    '[admin]', 'enabled = true', 'port = 0', `token = "${TOKEN}"`,
    '[[apps]]', `id = "${APP.id}"`, `key = "${APP.key}"`, `secret = "${APP.secret}"`, 'client_events = true',
    ...(hooks ? ['[[apps.webhooks]]', `url = "${hooks.url}"`] : []), ...ofApp, '',
  ].join('\n'));
  const broker = await startBroker(t, { args: ['--config', config] });
  broker.admin = await broker.adminUrl();
  const browser = await openBrowser(t, { camera: 'none' });
  const context = await browser.newContext({ ...DESK, httpCredentials: { username: 'admin', password: TOKEN } });
  const console = await openPage(t, context, `${broker.admin}/console/`, { forgive: /404|422/ });
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
  return { broker, browser, console, app, config };
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
