// The module that brings pusher-js back sooner: when it steps in and when it does not, and that real releases come back.

import assert from 'node:assert/strict';
import { createServer, connect as dial } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { reconnectSooner } from '../../../examples/magic-mirror/reconnect.js';
import { external, startBroker } from './broker.mjs';
import { fresh, openClient, releases } from './clients.mjs';

/** One millisecond less than the module waits at first. */
const NOT_YET_MS = 1499;

/** What the module sees of a pusher-js whose attempts never succeed by themselves. */
class Attempts {
  made = [];
  connection = {
    state: 'initialized',
    bind: (_, listener) => { this.listener = listener; },
  };

  becomes(current) {
    this.connection.state = current;
    this.listener({ current });
  }

  disconnect() {
    this.made.push('disconnect');
    this.becomes('disconnected');
  }

  connect() {
    this.made.push('connect');
    this.becomes('connecting');
  }
}

describe('the module that brings pusher-js back sooner', () => {
  const watched = (t, state = 'initialized') => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const pusher = new Attempts();
    pusher.connection.state = state;
    reconnectSooner(pusher);
    return pusher;
  };

  // Proves: clients.
  test('tries again after 1.5 s without a connection, three times, and then more and more slowly', (t) => {
    const pusher = watched(t);
    pusher.becomes('connecting');
    pusher.becomes('connected');
    pusher.becomes('connecting');
    t.mock.timers.tick(NOT_YET_MS);
    assert.deepEqual(pusher.made, []);
    t.mock.timers.tick(1);
    assert.deepEqual(pusher.made, ['disconnect', 'connect']);
    for (const [index, waitMs] of [1500, 1500, 3000, 6000, 12_000, 15_000, 15_000].entries()) {
      t.mock.timers.tick(waitMs - 1);
      assert.equal(pusher.made.length, 2 * (index + 1), `${waitMs}`);
      // That an attempt has taken long is no new attempt.
      pusher.becomes('unavailable');
      t.mock.timers.tick(1);
      assert.equal(pusher.made.length, 2 * (index + 2), `${waitMs}`);
    }
    pusher.becomes('connected');
    pusher.becomes('connecting');
    t.mock.timers.tick(1500);
    assert.equal(pusher.made.length, 18, 'after a connection it begins anew');
  });

  // Proves: clients.
  test('leaves the first connection to pusher-js, and its fallbacks', (t) => {
    const pusher = watched(t);
    pusher.becomes('connecting');
    t.mock.timers.tick(60_000);
    pusher.becomes('unavailable');
    t.mock.timers.tick(60_000);
    assert.deepEqual(pusher.made, []);
  });

  for (const state of ['disconnected', 'failed', 'connected']) {
    // Proves: clients.
    test(`lets a pusher-js alone that is ${state}`, (t) => {
      const pusher = watched(t, 'connected');
      pusher.becomes('connecting');
      t.mock.timers.tick(NOT_YET_MS);
      pusher.becomes(state);
      t.mock.timers.tick(60_000);
      assert.deepEqual(pusher.made, []);
    });
  }
});

describe('real releases with it', { concurrency: true, skip: external && 'their lines are cut on the way' }, () => {
  let broker;
  before(async () => { broker = await startBroker(); });
  after(() => broker?.stop());

  for (const release of releases.filter(({ major }) => [4, 8].includes(major))) {
    // Left alone, pusher-js would wait longer than any test does.
    // Proves: clients, 87.
    test(`pusher-js ${release.major} comes back after an attempt that failed, and has its channels`, async (t) => {
      const gate = await openGate(t, broker);
      const client = await openClient(t, release, { ...broker, port: gate.port }).connected();
      reconnectSooner(client.pusher);
      const name = fresh('news');
      await client.subscribe(name);
      const before = client.socketId;

      gate.cut(1);
      await client.until(() => client.state === 'connected' && client.socketId !== before, 'the connection to return');
      await client.received('pusher_internal:subscription_succeeded', name, 2);
    });
  }
});

/** A port that hands connections on to the broker, and can cut them all and refuse others. */
async function openGate(t, broker) {
  const sockets = new Set();
  let refuse = () => false;
  const server = createServer((client) => {
    if (refuse()) return client.destroy();
    const onward = dial(broker.port, broker.host);
    for (const [socket, other] of [[client, onward], [onward, client]]) {
      sockets.add(socket);
      socket.on('error', () => {}).on('close', () => {
        sockets.delete(socket);
        other.destroy();
      });
      socket.pipe(other);
    }
    return undefined;
  });
  await new Promise((resolve) => server.listen(0, broker.host, resolve));
  const cut = () => sockets.forEach((socket) => socket.destroy());
  t.after(() => {
    server.close();
    cut();
  });
  return {
    port: server.address().port,
    /** Ends all connections, and so many of those that come next. */
    cut: (refused) => {
      refuse = () => {
        refused -= 1;
        return refused >= 0;
      };
      cut();
    },
  };
}
