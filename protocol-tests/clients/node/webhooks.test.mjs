// What the server library's own validator makes of the broker's webhooks.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { after, before, describe, test } from 'node:test';
import { startAuthEndpoint } from './auth-endpoint.mjs';
import { external, startBroker } from './broker.mjs';
import { fresh, openClient, releases, within } from './clients.mjs';
import { libraries } from './libraries.mjs';
import { shown } from './record.mjs';

/** Removals are held back for three seconds; here for less, so that the tests need not wait. */
const SETTINGS = {
  HELIOSTAT_APP_SUBSCRIPTION_COUNT: 'true',
  HELIOSTAT_APP_WEBHOOK_DELIVERY_REMOVAL_DELAY_SECONDS: '0.2',
};

/** The backend's endpoint: requests as an HTTP server hands them over, with `rawBody`, one after another. */
async function startEndpoint() {
  const requests = [];
  let wake = () => {};
  const server = createServer(async (request, response) => {
    let rawBody = '';
    for await (const chunk of request.setEncoding('utf8')) rawBody += chunk;
    requests.push({ headers: request.headers, rawBody });
    wake();
    response.writeHead(204).end();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${server.address().port}/webhooks`,
    async next() {
      while (requests.length === 0) await within(new Promise((resolve) => (wake = resolve)), 'a webhook');
      return requests.shift();
    },
    stop() {
      server.close();
      server.closeAllConnections();
    },
  };
}

for (const { major, connect } of libraries) {
  describe(`webhooks with server library ${major}`, { skip: external && 'it needs a broker of its own' }, () => {
    let endpoint;
    let broker;
    let library;
    let auth;
    before(async () => {
      endpoint = await startEndpoint();
      broker = await startBroker({ env: { ...SETTINGS, HELIOSTAT_APP_WEBHOOK_URL: endpoint.url } });
      library = connect(broker);
      auth = await startAuthEndpoint(library);
    });
    after(async () => {
      await auth?.stop();
      await broker?.stop();
      endpoint?.stop();
    });

    /** The events of the next webhooks, each found valid, until one is `last`. */
    const eventsUntil = async (last) => {
      const events = [];
      do {
        const webhook = library.pusher.webhook(await endpoint.next());
        assert.ok(webhook.isValid());
        assert.ok(Math.abs(webhook.getTime() - Date.now()) < 60_000, `it is of ${webhook.getTime()}`);
        assert.equal(webhook.getEvents().length, 1);
        // The library hands on what heliostat adds to an event.
        const [{ id, ...event }] = webhook.getEvents();
        assert.match(id, /^[0-9a-f]{32}$/);
        events.push(event);
      } while (!(events.at(-1).name === last.name && events.at(-1).channel === last.channel));
      return events;
    };

    // Proves: 212, 213, 214, 215, 218, 219, 221, 223.
    test('are valid and say what happened', async (t) => {
      const room = fresh('presence-room');
      const client = await openClient(t, releases.at(-1), broker, { auth, member: { user_id: 'ünï' } }).connected();
      const channel = await client.subscribe(room);
      await eventsUntil({ name: 'member_added', channel: room });
      channel.trigger('client-wave', { to: 'all "of" you ✓' });
      const [wave] = await eventsUntil({ name: 'client_event', channel: room });
      assert.deepEqual(wave, {
        name: 'client_event',
        channel: room,
        event: 'client-wave',
        data: '{"to":"all \\"of\\" you ✓"}',
        socket_id: client.socketId,
        user_id: 'ünï',
      });
      client.close();
      const left = await eventsUntil({ name: 'channel_vacated', channel: room });
      assert.deepEqual(left, [
        { name: 'member_removed', channel: room, user_id: 'ünï' },
        { name: 'channel_vacated', channel: room },
      ]);
    });

    // Proves: 225, 226.
    test('tell counts and cache misses', async (t) => {
      const room = fresh('cache-room');
      const client = await openClient(t, releases.at(-1), broker).connected();
      await client.subscribe(room);
      const events = [
        ...(await eventsUntil({ name: 'cache_miss', channel: room })),
        ...(await eventsUntil({ name: 'channel_vacated', channel: (client.close(), room) })),
      ];
      assert.deepEqual(events, [
        { name: 'channel_occupied', channel: room },
        { name: 'subscription_count', channel: room, subscription_count: 1 },
        { name: 'cache_miss', channel: room },
        { name: 'subscription_count', channel: room, subscription_count: 0 },
        { name: 'channel_vacated', channel: room },
      ]);
    });

    // Proves: clients.
    test('are not valid with another body, signature, key or secret', async (t) => {
      const client = await openClient(t, releases.at(-1), broker).connected();
      await client.subscribe(fresh('room'));
      const { headers, rawBody } = await endpoint.next();
      const isValid = (request, other = library) => other.pusher.webhook(request).isValid();
      assert.ok(isValid({ headers, rawBody }));
      assert.ok(!isValid({ headers, rawBody: `${rawBody} ` }));
      assert.ok(!isValid({ headers: { ...headers, 'x-pusher-signature': '0'.repeat(64) }, rawBody }));
      assert.ok(!isValid({ headers: { ...headers, 'x-pusher-key': 'other' }, rawBody }));
      assert.ok(!isValid({ headers, rawBody }, connect(broker, { secret: 'other' })));
      shown(library, 'webhook');
    });
  });
}
