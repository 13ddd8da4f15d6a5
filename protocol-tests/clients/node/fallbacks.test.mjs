// pusher-js without WebSockets: its XHR transports, each on its own.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { startAuthEndpoint } from './auth-endpoint.mjs';
import { external, startBroker } from './broker.mjs';
import { errorCode, fresh, heard, openClient, releases } from './clients.mjs';
import { libraries } from './libraries.mjs';

/** Idle times that are short enough for a test to outlast them several times. */
const QUICK = {
  HELIOSTAT_FALLBACK_HEARTBEAT_SECONDS: '0.3',
  HELIOSTAT_FALLBACK_POLL_HOLD_SECONDS: '0.3',
  HELIOSTAT_CONNECTION_PING_AFTER_SECONDS: '0.6',
  HELIOSTAT_CONNECTION_PONG_TIMEOUT_SECONDS: '10',
  HELIOSTAT_CONNECTION_ACTIVITY_TIMEOUT_SECONDS: '1',
};

/** Several heartbeats, holds of polls, and activity time-outs. */
const SILENCE_MS = 4_000;

const [{ connect }] = libraries;

describe('without WebSockets', { concurrency: 4 }, () => {
  let broker;
  let auth;
  let library;
  before(async () => {
    broker = await startBroker({ env: QUICK });
    library = connect(broker);
    auth = await startAuthEndpoint(library);
  });
  after(async () => {
    await auth?.stop();
    await broker?.stop();
  });

  for (const release of releases) {
    for (const transport of ['xhr_streaming', 'xhr_polling']) {
      const open = (t, options) =>
        openClient(t, release, broker, { auth, enabledTransports: [transport], ...options }).connected();

      describe(`pusher-js ${release.major} over ${transport}`, () => {
        // Proves: 230, 232, 234, 237.
        test('subscribes to every kind of channel and is told of events', async (t) => {
          const client = await open(t, { member: { user_id: 'ann' } });
          assert.equal(client.pusher.connection.connection.transport.name, transport);
          for (const prefix of ['news', 'private-news', 'presence-news']) {
            const name = fresh(prefix);
            const channel = await client.subscribe(name);
            const hears = heard(channel, 'headline');
            await library.trigger(name, 'headline', { text: 'héllo \u2028 "quoted"' });
            assert.deepEqual((await hears.next())[0], { text: 'héllo \u2028 "quoted"' });
            if (prefix.startsWith('presence')) assert.deepEqual([...Object.keys(channel.members.members)], ['ann']);
          }
        });

        // Proves: 113, 118, 232.
        test('talks with a client on a WebSocket, both ways', async (t) => {
          const name = fresh('presence-room');
          const ann = await open(t, { member: { user_id: 'ann' } });
          const bob = await openClient(t, release, broker, { auth, member: { user_id: 'bob' } }).connected();
          const annsChannel = await ann.subscribe(name);
          const bobsChannel = await bob.subscribe(name);
          const annHears = heard(annsChannel, 'client-typing');
          const bobHears = heard(bobsChannel, 'client-typing');
          annsChannel.trigger('client-typing', { by: 'ann' });
          assert.deepEqual((await bobHears.next())[0], { by: 'ann' });
          bobsChannel.trigger('client-typing', { by: 'bob' });
          assert.deepEqual((await annHears.next())[0], { by: 'bob' });
          ann.close();
          await bob.received('pusher_internal:member_removed', name);
        });

        // Proves: 43, 233.
        test('stays connected through silence, with heartbeats both ways', { skip: external }, async (t) => {
          const client = await open(t);
          const name = fresh('news');
          const hears = heard(await client.subscribe(name), 'tick');
          const { socketId } = client;
          const disturbed = () => client.state !== 'connected' || client.errors.length > 0;
          await assert.rejects(client.until(disturbed, 'the end of the silence', SILENCE_MS), /waited \d+ ms/);
          await library.trigger(name, 'tick', {});
          await hears.next();
          assert.equal(client.socketId, socketId);
        });

        // Proves: 236.
        test('is refused with a key that no app has', async (t) => {
          const client = openClient(t, release, broker, { key: 'nobody', enabledTransports: [transport] });
          await client.until(() => client.errors.length > 0, 'the refusal');
          assert.equal(errorCode(client.errors[0]), 4001);
        });
      });
    }
  }
});
