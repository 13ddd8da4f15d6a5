// pusher-js in a page, with a name for its connections: what happens to a browser's network and to its pages, and what the
// page has missed then.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import Pusher from 'pusher';
import { APP, startBroker } from './broker.mjs';
import { openBrowser, openPage } from './browser.mjs';
import { cleanup } from './cleanup.mjs';
import { RELEASES, TRANSPORTS, openStage } from './fallbacks.mjs';
import { serve } from './serve.mjs';
import { openLine } from '../clients/node/line.mjs';

const CONFIG = fileURLToPath(new URL('../clients/node/recovery.toml', import.meta.url));
const range = (first, last) => Array.from({ length: last - first + 1 }, (_, index) => first + index);

const COMBINATIONS = RELEASES.flatMap((release) => ['ws', ...TRANSPORTS].map((transport) => ({ release, transport })));

describe('every release over every transport', { concurrency: COMBINATIONS.length }, () => {
  const closers = [];
  const whole = { after: (work) => closers.push(work) };
  after(async () => { for (const close of closers.reverse()) await close(); });
  let stage, broker;
  before(async () => {
    stage = await openStage(whole);
    broker = await startBroker(whole, { args: ['--config', CONFIG] });
  });

  for (const { release, transport } of COMBINATIONS) {
    // Those over a fallback have begun with a WebSocket, and then there are none any more.
    // Proves: recovery.
    test(`pusher-js ${release.version} over ${transport} misses nothing`, async (t) => {
      const line = await openLine(broker);
      cleanup(t, () => line.close());
      const name = `count-${release.version.replaceAll('.', '-')}-${transport}`;
      const path = `/r/${randomUUID()}`;
      const client = await stage.open(t, release, { ...broker, host: line.host, port: line.port }, {
        enabledTransports: ['ws', transport], wsPath: path, httpPath: path,
        // It knows no `wsPath`, and puts the port before the path as it is.
        ...(release.version.startsWith('3') && { wsPort: `${line.port}${path}` }),
      });
      await client.connected('ws');
      await client.subscribe(name, 'count');
      const backend = backendOf(broker);
      await publish(backend, name, 1, 5);
      await client.heard(name, 'count', { n: 5 });
      await line.acknowledged();
      line.refusesWebSockets = transport !== 'ws';
      // A release before 8 gives WebSockets up at the second one that is cut.
      for (const last of transport === 'ws' ? [10] : [10, 15]) {
        const before = await client.socketId();
        line.cutAndHold();
        await publish(backend, name, last - 4, last);
        line.restore();
        // A session of polls may outlive the second gap by itself.
        if (last === 10) await client.another(before);
        await client.heard(name, 'count', { n: last });
        await client.connected(transport);
      }
      const { messages } = await client.seen();
      const on = (event) => messages.filter((message) => message.event === event && message.channel === name).map(({ data }) => data);
      assert.deepEqual([...new Set(on('count').map(({ n }) => n))], range(1, transport === 'ws' ? 10 : 15));
      const [first, ...returns] = on('pusher:resumed').map(({ complete }) => complete);
      assert.equal(first, false);
      assert.ok(returns.length > 0 && returns.every((complete) => complete), `${returns}`);
    });
  }
});

describe('a page that comes back', () => {
  // The fallbacks carry the same name.
  // Proves: recovery.
  test('after WebSockets have gone it comes back over a fallback', async (t) => {
    const { line, page, publish } = await begin(t, { transports: ['ws', 'xhr_streaming', 'xhr_polling'] });
    await publish(1, 5);
    await counted(page, 5);
    await line.acknowledged();
    line.refusesWebSockets = true;
    line.cutAndHold();
    await publish(6, 10);
    line.restore();
    await resumed(page, 2);
    await missedNothing(page, 10);
    const transport = await page.evaluate(() => globalThis.pusher.connection.connection.transport.name);
    assert.match(transport, /^xhr/);
  });

  // Proves: recovery.
  test('a proxy is killed in the midst of a frame', async (t) => {
    const { line, page, publish } = await begin(t);
    await publish(1, 5);
    await counted(page, 5);
    await line.acknowledged();
    // So that it ends within one of the next frames, and each time within another part of it.
    for (const bytes of [1, 2, 40, 90]) {
      const heard = await page.evaluate(() => globalThis.seen.length);
      const told = await page.evaluate(() => globalThis.told.length);
      const last = await page.evaluate(() => Math.max(...globalThis.seen));
      const cut = line.cutAfter(bytes);
      await publish(last + 1, last + 5);
      await cut;
      line.restore();
      await resumed(page, told + 1);
      await counted(page, last + 5);
      assert.ok(await page.evaluate(() => globalThis.seen.length) >= heard + 5);
    }
    await missedNothing(page, 25);
  });

  // What the developer tools call a network condition.
  // Proves: recovery.
  test('the browser is offline for a while', async (t) => {
    const { line, page, publish, context } = await begin(t);
    await publish(1, 3);
    await counted(page, 3);
    await line.acknowledged();
    await context.setOffline(true);
    line.cutAndHold();
    await publish(4, 8);
    line.restore();
    await context.setOffline(false);
    await resumed(page, 2);
    await missedNothing(page, 8);
  });

  // Proves: recovery.
  test('it comes back from another address', async (t) => {
    const { line, page, publish } = await begin(t);
    await publish(1, 3);
    await counted(page, 3);
    await line.acknowledged();
    line.cutAndHold();
    line.localAddress = '127.0.0.99';
    await publish(4, 8);
    line.restore();
    await resumed(page, 2);
    await missedNothing(page, 8);
  });

  // A page that sleeps reads nothing; what is sent to it waits, and what was lost is made up for.
  // Proves: recovery.
  for (const cut of [false, true]) {
    test(`the page is frozen${cut ? ', and its line is cut meanwhile' : ''}`, async (t) => {
      const { line, page, publish, context } = await begin(t);
      await publish(1, 3);
      await counted(page, 3);
      await line.acknowledged();
      const devtools = await context.newCDPSession(page);
      await devtools.send('Page.setWebLifecycleState', { state: 'frozen' });
      await publish(4, 8);
      if (cut) line.cut();
      await publish(9, 12);
      line.restore();
      await devtools.send('Page.setWebLifecycleState', { state: 'active' });
      await publish(13, 13);
      await counted(page, 13);
      await missedNothing(page, 13);
    });
  }

  // Nothing is sent again without a signature that is valid now; with one, everything is.
  // Proves: recovery.
  test('the right to a private channel has expired while it was away, and is asked for anew', async (t) => {
    const { line, page, publish, rights } = await begin(t, { channel: 'private-count' });
    await publish(1, 3);
    await counted(page, 3);
    await line.acknowledged();
    rights.valid = 'second';
    line.cutAndHold();
    await publish(4, 8);
    line.restore();
    await page.waitForFunction(() => globalThis.refused > 0);
    assert.deepEqual(await page.evaluate(() => globalThis.seen), [1, 2, 3]);
    await page.evaluate(() => {
      globalThis.token = 'second';
      globalThis.pusher.subscribe(globalThis.channelName);
    });
    await resumed(page, 2);
    await missedNothing(page, 8);
  });
});

/** A page with a name, subscribed, behind a line of its own. */
async function begin(t, { transports = ['ws'], channel = 'count' } = {}) {
  const broker = await startBroker(t, { args: ['--config', CONFIG] });
  const line = await openLine(broker);
  cleanup(t, () => line.close());
  const backend = backendOf(broker);
  const rights = { valid: 'first' };
  const auth = await authEndpoint(t, backend, rights);
  const origin = await serve(t, { pages: { '/': pageFor({ line, transports, channel, auth }) } });
  const context = await (await openBrowser(t)).newContext();
  const page = await openPage(t, context, `${origin}/`, { forgive: /WebSocket|ERR_|403|Couldn't get auth/ });
  await resumed(page, 1);
  assert.deepEqual(await page.evaluate(() => globalThis.told), [{ complete: false, events: 0 }]);
  return {
    line, page, context, rights,
    publish: (first, last) => publish(backend, channel, first, last),
  };
}

function pageFor({ line, transports, channel, auth }) {
  const options = {
    cluster: 'heliostat', wsHost: line.host, wsPort: line.port, wssPort: line.port, httpHost: line.host, httpPort: line.port,
    httpsPort: line.port, forceTLS: false, enabledTransports: transports, authEndpoint: auth,
  };
  return `<!doctype html><link rel="icon" href="data:,"><script src="/node_modules/pusher-js/dist/web/pusher.js"></script><script>
    var seen = [], told = [], refused = 0, token = 'first', channelName = ${JSON.stringify(channel)};
    var path = '/r/' + crypto.randomUUID();
    var auth = { params: { get token() { return token; } } };
    var pusher = new Pusher(${JSON.stringify(APP.key)}, { ...${JSON.stringify(options)}, wsPath: path, httpPath: path, auth });
    var counter = pusher.subscribe(channelName);
    counter.bind('count', ({ n }) => seen.push(n));
    counter.bind('pusher:resumed', (data) => told.push(data));
    counter.bind('pusher:subscription_error', () => { refused += 1; });
  </script>`;
}

function backendOf(broker) {
  return new Pusher({ appId: APP.id, ...APP, host: broker.host, port: String(broker.port), useTLS: false });
}

async function publish(backend, channel, first, last) {
  for (const n of range(first, last)) await backend.trigger(channel, 'count', { n });
}

/** An auth endpoint that signs for who has the token that is valid at the moment. */
async function authEndpoint(t, backend, rights) {
  const server = createServer(async (request, response) => {
    let body = '';
    for await (const chunk of request.setEncoding('utf8')) body += chunk;
    const form = new URLSearchParams(body);
    const valid = form.get('token') === rights.valid;
    response.writeHead(valid ? 200 : 403, { 'content-type': 'application/json', 'access-control-allow-origin': '*' });
    response.end(valid ? JSON.stringify(backend.authorizeChannel(form.get('socket_id'), form.get('channel_name'))) : 'expired');
  });
  await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  cleanup(t, () => new Promise((resolve) => {
    server.close(resolve);
    server.closeAllConnections();
  }));
  return `http://127.0.0.1:${server.address().port}/`;
}

/** Waits until the page has been told so often what it missed. */
function resumed(page, times) {
  return page.waitForFunction((wanted) => globalThis.told.length >= wanted, times);
}

function counted(page, n) {
  return page.waitForFunction((last) => globalThis.seen.at(-1) === last, n);
}

/** All numbers have come, the first copies in order, and the page was told that nothing is missing. */
async function missedNothing(page, last) {
  const [seen, told] = await page.evaluate(() => [globalThis.seen, globalThis.told]);
  assert.deepEqual([...new Set(seen)], range(1, last), `${seen}`);
  for (const { complete } of told.slice(1)) assert.equal(complete, true);
}
