// Connecting, staying connected, and being turned away.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { startBroker } from './broker.mjs';
import { errorCode, openClient, releases } from './clients.mjs';
import { shown } from './record.mjs';

describe('connections', () => {
  let broker;
  before(async () => (broker = await startBroker()));
  after(() => broker?.stop());

  for (const release of releases) {
    describe(`pusher-js ${release.major}`, () => {
      // Proves: 1, 3, 4.
      test('connects and learns its socket id and activity timeout', async (t) => {
        const ownLimit = 10_000_000;
        const client = await openClient(t, release, broker, { activityTimeout: ownLimit }).connected();
        assert.match(client.socketId, /^\d+\.\d+$/);
        // The lower of the client's own value and the broker's, in milliseconds.
        const { activityTimeout } = client.pusher.connection;
        assert.ok(activityTimeout > 0 && activityTimeout < ownLimit, `activity timeout ${activityTimeout}`);
        assert.deepEqual(client.errors, []);
        shown(release, 'connection');
      });

      // Proves: 6.
      test('two connections have different socket ids', async (t) => {
        const one = await openClient(t, release, broker).connected();
        const other = await openClient(t, release, broker).connected();
        assert.notEqual(one.socketId, other.socketId);
      });

      // Proves: 36, 43.
      test('its own pings keep an idle connection', async (t) => {
        const client = await openClient(t, release, broker, { activityTimeout: 100, pongTimeout: 5_000 }).connected();
        const socketId = client.socketId;
        await client.received('pusher:pong', undefined, 3);
        assert.equal(client.state, 'connected');
        assert.equal(client.socketId, socketId);
        assert.deepEqual(client.errors, []);
        shown(release, 'ping');
      });

      // Proves: 22, 24.
      test('a key that no app has ends the attempt for good', async (t) => {
        const client = openClient(t, release, broker, { key: 'nobodys-key' });
        await client.until(() => client.state === 'disconnected', 'pusher-js to give up');
        assert.deepEqual([...new Set(client.errors.map(errorCode))], [4001]);
        assert.deepEqual(client.frames, []);
        // A release that means to try again has a timer running, whatever its state says.
        assert.ok(!client.pusher.connection.retryTimer);
        // Nor has it tried again by the time another client has come all the way.
        await openClient(t, release, broker).connected();
        assert.deepEqual(client.states, ['disconnected']);
        shown(release, 'bad key');
      });
    });
  }
});
