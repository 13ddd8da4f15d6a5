// Brokers behind nginx, HAProxy and Caddy, each run with the file that docs/operations.md shows. It needs the three
// programs, and so it is no part of the other tests: protocol-tests/run --only proxies.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:https';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import WebSocket from 'ws';
import { startAuthEndpoint } from '../auth-endpoint.mjs';
import { startBroker } from '../broker.mjs';
import { fresh, heard, named, openClient, releases, within } from '../clients.mjs';
import { libraries } from '../libraries.mjs';
import { KINDS, freePort, startPlainProxy, startProxy } from './proxy.mjs';

const PusherServer = createRequire(import.meta.url)('pusher-5');

// The proxies' certificate is made for the test and signed by nobody.
process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0';

const release = releases.at(-1);
const TRANSPORTS = ['ws', 'xhr_streaming', 'xhr_polling'];

/** A message that a proxy keeps back comes with the next heartbeat, after 25 s, or never. */
const AT_ONCE_MS = 5_000;

/** An app whose channels keep a history. */
const REMEMBERING = fileURLToPath(new URL('../recovery.toml', import.meta.url));

/** Sessions of a page's two requests land on the same of two brokers by chance once in 2^12 for all of them. */
const SESSIONS = 12;

/** Where 1.5 % are lost, one of so many is, in 99 of 100 runs; more of them at once use each connection less. */
const PUBLISHES = 300;

/**
 * Heartbeats fifty times as fast as by default, and time-outs of the proxies a thirtieth of what the document has. The
 * time for answers is not cut as short, for the sake of slow machines.
 */
const HASTY = {
  HELIOSTAT_FALLBACK_HEARTBEAT_SECONDS: '0.5',
  HELIOSTAT_FALLBACK_POLL_HOLD_SECONDS: '0.5',
  HELIOSTAT_CONNECTION_PING_AFTER_SECONDS: '0.9',
  HELIOSTAT_CONNECTION_PONG_TIMEOUT_SECONDS: '10',
};
const HASTY_TIMEOUT = '3s';
/** So many come in four of those time-outs. */
const IDLE = { heartbeats: 24, pings: 8 };

const TLS_ONLY = { HELIOSTAT_APP_FORCE_TLS: 'true' };
const BELIEVING = { ...TLS_ONLY, HELIOSTAT_SERVER_TRUSTED_PROXIES: '127.0.0.1' };

/** Where a client comes from that is not to be taken for the proxy. */
const CLIENT = '127.0.0.77';

const OWN_APP = { HELIOSTAT_APP_ID: '77', HELIOSTAT_APP_KEY: 'own-key', HELIOSTAT_APP_SECRET: 'a-secret-of-my-own' };

for (const kind of ['nginx', 'apache']) {
  describe(`behind ${kind} as it is by default`, () => {
    // It passes on that this machine is asked, whoever asks: then there must be nothing to be had.
    // Proves: pages, bad input.
    test(`strangers learn nothing through ${kind}`, async (t) => {
      const asked = (proxy, method, path, body) =>
        fetch(`http://${proxy.host}:${proxy.port}${path}`, { method, body }).then(async (answer) => [answer.status, await answer.text()]);
      const broker = await begin(t, OWN_APP);
      const proxy = await startPlainProxy(t, kind, broker);
      assert.deepEqual(await asked(proxy, 'GET', '/health'), [200, 'ok\n'], 'it does pass requests on');
      const insisting = await begin(t, { ...OWN_APP, HELIOSTAT_DEVELOPMENT: 'true' });
      const before = await startPlainProxy(t, kind, insisting);
      for (const path of ['/', '/settings.js', '/dev/config.json', '/dev/config%2ejson', '/%64ev/config.json']) {
        // What is there, it says to everybody.
        assert.equal((await asked(proxy, 'GET', path))[0], path === '/' ? 200 : 404, path);
        const [status, text] = await asked(before, 'GET', path);
        assert.ok(!text.includes(OWN_APP.HELIOSTAT_APP_SECRET), `${status} ${path}: ${text}`);
      }
      const form = new URLSearchParams({ socket_id: '1.2', channel_name: 'private-encrypted-a' });
      for (const path of ['/dev/auth', '/dev/user-auth', '/dev/user%2Dauth']) {
        assert.equal((await asked(proxy, 'POST', path, form))[0], 404, path);
      }
      assert.equal((await asked(before, 'POST', '/dev/auth', form))[0], 403, 'no key of an encrypted channel');
    });
  });
}

describe('behind nginx that upgrades everything', () => {
  // Requests that are no upgrades come with "Connection: upgrade" over connections that nginx keeps: one that ends after its
  // answer without a word costs the next request on it, which nginx answers with 502.
  // Proves: clients, 210.
  test('nginx loses no request', async (t) => {
    const broker = await begin(t, OWN_APP);
    const own = { ...broker, appId: '77', key: 'own-key', secret: OWN_APP.HELIOSTAT_APP_SECRET };
    const proxy = await startPlainProxy(t, 'upgrading-nginx', broker);
    const socket = new WebSocket(`ws://${proxy.host}:${proxy.port}/app/${own.key}?protocol=7`);
    t.after(() => socket.terminate());
    await within(once(socket, 'message'), 'a greeting');
    const server = new PusherServer({ ...own, ...proxy, useTLS: false });
    const failed = [];
    for (let n = 0; n < PUBLISHES; n++) {
      await server.trigger('news', 'greet', { n }).catch((error) => failed.push(error.status ?? error));
    }
    assert.deepEqual(failed, []);
  });
});

for (const header of ['send-proxy', 'send-proxy-v2']) {
  describe(`behind HAProxy with ${header}`, () => {
    // Proves: clients.
    test(`${header} tells the client's address`, async (t) => {
      const folder = await mkdtemp(join(tmpdir(), 'heliostat-proxied-'));
      t.after(() => rm(folder, { recursive: true }));
      const [config, port] = [join(folder, 'heliostat.toml'), await freePort()];
      await writeFile(config, `
        [server]
        trusted_proxies = ["127.0.0.1"]
        [[server.listeners]]
        address = "127.0.0.1:${port}"
        proxy_protocol = true
        [[apps]]
        id = "1001"
        key = "app-key"
        secret = "app-secret"`);
      const broker = await startBroker({ args: ['--config', config] });
      t.after(() => broker.stop());
      const proxy = await startPlainProxy(t, header, { ...broker, port });
      await assertNamed(t, `ws://${proxy.host}:${proxy.port}`, broker);
      const greeted = new WebSocket(`ws://${proxy.host}:${proxy.port}/app/${broker.key}?protocol=7`);
      t.after(() => greeted.terminate());
      await within(once(greeted, 'message'), 'a greeting');
    });
  });
}

for (const kind of Object.keys(KINDS)) {
  describe(`behind ${kind}`, { concurrency: 4 }, () => {
    // Over TLS, which the app insists on and the broker believes the proxy; on three workers, so that the requests of a
    // session come to any of them.
    // Proves: clients.
    test(`${kind} passes WebSockets and streams on as they come`, async (t) => {
      const broker = await begin(t, { ...BELIEVING, HELIOSTAT_SERVER_WORKERS: '3' });
      const proxy = await startProxy(t, kind, [broker]);
      const auth = await startAuthEndpoint(libraries.at(-1).connect(broker));
      t.after(() => auth.stop());
      const room = fresh('private-room');
      const clients = await Promise.all(TRANSPORTS.map(async (transport) => {
        const client = await open(t, proxy, broker, transport, { auth });
        return { client, channel: await client.subscribe(room) };
      }));
      const server = backend(proxy, broker);
      for (const data of [{ n: 1 }, { text: 'x'.repeat(9_000) }, { n: 3 }]) {
        const hear = clients.map(({ channel }) => heard(channel, 'greet').next());
        await server.trigger(room, 'greet', data);
        for (const [received] of await within(Promise.all(hear), 'an event at once', undefined, AT_ONCE_MS)) {
          assert.deepEqual(received, data);
        }
      }
      for (const { channel: from } of clients) {
        const others = clients.filter(({ channel }) => channel !== from);
        const hear = others.map(({ channel }) => heard(channel, 'client-wave').next());
        from.trigger('client-wave', { from: from.pusher.connection.socket_id });
        await within(Promise.all(hear), 'a client event at once', undefined, AT_ONCE_MS);
      }
      for (const { client } of clients) assert.deepEqual(client.errors, []);
    });

    // Every kind of response that goes on: its first frame is there while nothing ends it.
    // Proves: clients.
    test(`${kind} keeps no stream of SockJS back`, async (t) => {
      const broker = await begin(t, BELIEVING);
      const proxy = await startProxy(t, kind, [broker]);
      for (const [method, wish] of [['POST', 'xhr_streaming'], ['GET', 'eventsource'], ['GET', 'htmlfile?c=parent.f']]) {
        const session = sockjs(t, proxy);
        const stream = await session.stream(method, wish);
        await stream.until(/(^|\n|data: |")o("\);|\r?)\n/);
        assert.equal(await session.send({ path: `/app/${broker.key}?protocol=7&client=js&version=8.6.0` }), 204);
        await stream.until(/connection_established/);
        assert.equal(await session.send({ event: 'pusher:subscribe', data: { channel: 'news' } }), 204);
        await stream.until(/subscription_succeeded/);
        await backend(proxy, broker).trigger('news', 'greet', { over: wish });
        await stream.until(/greet/);
      }
    });

    // A broker that does not trust the proxy refuses what the proxy says came over TLS.
    // Proves: clients.
    test(`${kind} says that it was TLS, and is believed only where the broker is told to`, async (t) => {
      for (const [env, code] of [[BELIEVING, null], [TLS_ONLY, 4000]]) {
        const broker = await begin(t, env);
        const proxy = await startProxy(t, kind, [broker]);
        const socket = new WebSocket(`wss://${proxy.host}:${proxy.port}/app/${broker.key}?protocol=7`);
        t.after(() => socket.terminate());
        const closed = once(socket, 'close').then(([closeCode]) => closeCode);
        const greeted = once(socket, 'message').then(() => null);
        assert.equal(await within(Promise.race([closed, greeted]), 'an answer'), code);
      }
    });

    // What the client claims to be goes before what the proxy adds, and counts for nothing.
    // Proves: clients.
    test(`${kind} tells the client's address`, async (t) => {
      const broker = await begin(t, BELIEVING);
      const proxy = await startProxy(t, kind, [broker]);
      await assertNamed(t, `wss://${proxy.host}:${proxy.port}`, broker, { 'X-Forwarded-For': '192.0.2.1' });
    });

    // Four of the proxy's time-outs pass with nothing but what the broker and the clients send to stay alive.
    // Proves: clients.
    test(`${kind} lets idle connections be`, async (t) => {
      const broker = await begin(t, HASTY);
      const proxy = await startProxy(t, kind, [broker], { timeout: HASTY_TIMEOUT });
      const socket = new WebSocket(`wss://${proxy.host}:${proxy.port}/app/${broker.key}?protocol=7`);
      t.after(() => socket.terminate());
      let pings = 0;
      const pinged = new Promise((resolve, reject) => {
        socket.on('ping', () => { if (++pings === IDLE.pings) resolve(); });
        socket.on('close', (code) => reject(new Error(`closed with ${code} after ${pings} pings`)));
        socket.on('error', reject);
      });
      await Promise.all([
        within(pinged, 'the pings', () => `${pings} came`, 60_000),
        ...['xhr_streaming', 'xhr_polling'].map(async (transport) => {
          const client = await open(t, proxy, broker, transport);
          const socketId = client.socketId;
          const name = fresh('news');
          const greets = heard(await client.subscribe(name), 'greet');
          let heartbeats = 0;
          await within(new Promise((resolve) => {
            client.pusher.connection.connection.bind('activity', () => {
              heartbeats += 1;
              // A stream's client answers each, and is told that it was heard.
              if (heartbeats === (transport === 'xhr_streaming' ? 2 : 1) * IDLE.heartbeats) resolve();
            });
          }), 'the heartbeats', () => `${heartbeats} came over ${transport}; states ${client.states}`, 60_000);
          await backend(proxy, broker).trigger(name, 'greet', { to: transport });
          assert.deepEqual((await greets.next())[0], { to: transport });
          assert.equal(client.socketId, socketId);
          assert.deepEqual(client.errors, []);
        }),
      ]);
    });

    // Two brokers that know nothing of each other: a session whose requests came to both would not stand.
    // Proves: clients.
    test(`${kind} keeps the requests of a session at one of two brokers`, async (t) => {
      const brokers = [await begin(t, BELIEVING), await begin(t, BELIEVING)];
      const proxy = await startProxy(t, kind, brokers);
      const name = fresh('session');
      await Promise.all(TRANSPORTS.flatMap((transport) => Array.from({ length: SESSIONS }, async (_, n) => {
        // Every other one has a name, which stands in front of its paths.
        const client = await open(t, proxy, brokers[0], transport, n % 2 ? named(release, proxy) : {});
        await client.subscribe(`${name}-${transport}-${n}`);
        await client.subscribe(`${name}-${transport}-${n}-again`);
        assert.deepEqual(client.errors, []);
      })));
      for (let n = 0; n < SESSIONS; n++) {
        const session = sockjs(t, proxy);
        const stream = await session.stream('GET', 'eventsource');
        await stream.until(/data: o/);
        assert.equal(await session.send({ path: `/app/${brokers[0].key}?protocol=7` }), 204);
        await stream.until(/connection_established/);
        assert.equal(await session.send({ event: 'pusher:subscribe', data: { channel: `${name}-sockjs-${n}` } }), 204);
        await stream.until(/subscription_succeeded/);
      }
      const occupied = await Promise.all(brokers.map(async (broker) => {
        const { body } = await libraries.at(-1).connect(broker).get('/channels', { filter_by_prefix: name });
        return Object.keys(JSON.parse(body).channels);
      }));
      assert.equal(occupied.flat().length, SESSIONS * (2 * TRANSPORTS.length + 1));
      for (const transport of [...TRANSPORTS, 'sockjs']) {
        const shares = occupied.map((channels) => channels.filter((channel) => channel.includes(transport)).length);
        assert.ok(shares.every((share) => share > 0), `${transport}: the brokers have ${shares} of the channels`);
      }
    });

    // Of two brokers that know nothing of each other only the one that a client was at knows what it has missed.
    // Proves: clients, recovery.
    test(`${kind} brings a client with a name back to the same of two brokers`, async (t) => {
      const brokers = await Promise.all([1, 2].map(() => begin(t, BELIEVING, ['--config', REMEMBERING])));
      const proxy = await startProxy(t, kind, brokers);
      const name = fresh('news');
      const publish = (n) => Promise.all(brokers.map((broker) => libraries.at(-1).connect(broker).trigger(name, 'count', { n })));
      const clients = await Promise.all(Array.from({ length: SESSIONS }, async () => {
        const client = await open(t, proxy, brokers[0], 'ws', named(release, proxy));
        await client.subscribe(name);
        // What comes before the answer to this has been acknowledged before.
        await client.subscribe(fresh('afterwards'));
        return client;
      }));
      clients.forEach((client) => client.close());
      await publish(1);
      await Promise.all(clients.map(async (client) => {
        client.pusher.connect();
        const [, { data }] = await client.received('pusher:resumed', name, 2);
        assert.deepEqual(data, { complete: true, events: 1 });
      }));
    });
  });
}

/** The broker logs a client that it refuses, which comes from an address of its own, with that and the proxy's. */
async function assertNamed(t, url, broker, headers = {}) {
  const refused = new WebSocket(`${url}/app/nobody?protocol=7`, { localAddress: CLIENT, headers });
  t.after(() => refused.terminate());
  const [code] = await within(once(refused, 'close'), 'the refusal');
  assert.equal(code, 4001);
  const named = () => broker.log().split('\n').find((line) => line.includes('connection refused') && line.includes('nobody'));
  await within((async () => { while (!named()) await setImmediate(); })(), 'the line of the log', broker.log);
  assert.match(named(), new RegExp(`peer=${CLIENT}(:\\d+)? proxy=127\\.0\\.0\\.1$`));
}

async function begin(t, env, args = []) {
  const broker = await startBroker({ env, args });
  t.after(() => broker.stop());
  return broker;
}

/** A connection of pusher-js through the proxy. */
function open(t, proxy, broker, transport, options) {
  return openClient(t, release, { ...broker, ...proxy }, {
    forceTLS: true, wssPort: proxy.port, httpsPort: proxy.port, enabledTransports: [transport], ...options,
  }).connected();
}

/** The backend's library, which speaks to the broker through the proxy as well. */
function backend(proxy, { appId, key, secret }) {
  return new PusherServer({ appId, key, secret, host: proxy.host, port: proxy.port, useTLS: true });
}

/** A raw session of SockJS: streams that are read as they come, and messages. */
function sockjs(t, { host, port }) {
  const id = Math.random().toString(36).slice(2, 10).padEnd(8, '0');
  const path = `/pusher/123/${id}`;
  return {
    async stream(method, wish) {
      const asked = request({ host, port, method, path: `${path}/${wish}`, agent: false });
      t.after(() => asked.destroy());
      asked.on('error', () => {});
      asked.end();
      const [response] = await within(once(asked, 'response'), `the response to ${wish}`, undefined, AT_ONCE_MS);
      assert.equal(response.statusCode, 200);
      let text = '';
      response.setEncoding('utf8').on('data', (part) => (text += part)).on('error', () => {});
      return {
        async until(pattern) {
          const came = (async () => { while (!pattern.test(text)) await once(response, 'data'); })();
          await within(came, `${pattern} over ${wish}`, () => `${text.length} bytes came, last ${text.slice(-200)}`, AT_ONCE_MS);
        },
      };
    },
    async send(message) {
      const asked = request({
        host, port, method: 'POST', path: `${path}/xhr_send`, headers: { 'content-type': 'text/plain' }, agent: false,
      });
      asked.end(JSON.stringify([JSON.stringify(message)]));
      const [response] = await once(asked, 'response');
      response.resume();
      return response.statusCode;
    },
  };
}
