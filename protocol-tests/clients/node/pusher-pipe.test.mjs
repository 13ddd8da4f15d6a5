// The npm package `pusher-pipe` of 2011 and 2012, its own code untouched, as a backend of a running broker.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import { connect, createServer } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { external, startBroker } from './broker.mjs';
import { DEADLINE_MS, openClient, releases } from './clients.mjs';

const require = createRequire(import.meta.url);
const CONFIG = fileURLToPath(new URL('no-rules.toml', import.meta.url));
const PICTURE = `data:image/webp;base64,${'QUJD'.repeat(15_000)}`;

/** The browser of most tests; what it sends is what its oldest release sent. */
const browser = releases.at(-1);

const packages = [
  // Release 0.0.6 never subscribes: it is told everything.
  { name: 'pusher-pipe-0.0.6', subscribes: false, codesErrors: false },
  { name: 'pusher-pipe-0.0.10', subscribes: true, codesErrors: true },
];

const options = { skip: external && 'the server named by PUSHER_HOST may have no pipe' };

for (const { name, subscribes, codesErrors } of packages) {
  describe(name, options, () => {
    let broker;
    before(async () => (broker = await startBroker({ args: ['--config', CONFIG] })));
    after(() => broker?.stop());

    /** A pipe client that is connected, and subscribed to both groups if it can be. */
    async function connected(t, port = broker.port) {
      const client = require(name).createClient({
        app_id: broker.appId, key: broker.key, secret: broker.secret, host: broker.host, port,
      });
      // Without a handler an error ends the process.
      client.on('error', (error) => client.emit('told', error));
      if (subscribes) client.subscribe(['socket_message', 'socket_existence']);
      t.after(() => client.disconnect());
      client.connect();
      await heard(client, 'connected');
      assert.match(client.connection_id, /^\d+\.\d+$/);
      if (subscribes) await called((done) => client.subscribe(['socket_message'], done));
      return client;
    }

    // Proves: 244, 245, 247, 248, 250, 253, 258, 260.
    test('the experiment: frames of a public channel go to the mirror', async (t) => {
      const client = await connected(t);
      const page = await openClient(t, browser, broker).connected();
      const mirror = await openClient(t, browser, broker).connected();
      await page.subscribe('stream');
      await mirror.subscribe('mirror');
      client.channel('stream').on('event:frame', (socketId, { n, dataUrl }) => {
        assert.equal(socketId, page.socketId);
        client.channel('mirror').trigger('frame', { message: 'Sending frame', n, dataUrl });
      });
      const FRAMES = 20;
      for (let n = 0; n < FRAMES; n++) page.pusher.send_event('frame', { n, dataUrl: PICTURE }, 'stream');
      const frames = await mirror.received('frame', 'mirror', FRAMES);
      frames.forEach(({ data }, n) => assert.deepEqual(data, { message: 'Sending frame', n, dataUrl: PICTURE }));
      assert.deepEqual(page.errors, []);
    });

    // Proves: 251, 254, 255, 249.
    test('the back channel: a browser asks and is answered, and is seen to come and go', async (t) => {
      const client = await connected(t);
      const opened = heard(client.sockets, 'open');
      const page = openClient(t, browser, broker);
      const [socketId] = await opened;
      await page.connected();
      assert.equal(socketId, page.socketId);
      const asked = heard(client.sockets, 'event:pusher-auth-request');
      page.pusher.send_event('pusher-auth-request', { request_id: 7 });
      assert.deepEqual(await asked, [socketId, { request_id: 7 }]);
      const answer = { request_id: 7, status: 'success' };
      await called((done) => client.socket(socketId).trigger('pusher-auth-response', answer, done));
      const [{ data }] = await page.received('pusher-auth-response', undefined);
      assert.deepEqual(data, answer);
      const closed = heard(client.sockets, 'close');
      page.close();
      assert.deepEqual(await closed, [socketId]);
    });

    // Proves: 249, 252, 253.
    test('callbacks are called, with the error where there is one', async (t) => {
      const client = await connected(t);
      const page = await openClient(t, browser, broker).connected();
      const other = await openClient(t, browser, broker).connected();
      await page.subscribe('room');
      await other.subscribe('room');
      assert.deepEqual(await called((done) => client.channel('room').trigger('e', { n: 1 }, done)), {});
      assert.deepEqual(await called((done) => client.channel('room').trigger('e', { n: 2 }, page.socketId, done)), {});
      await other.received('e', 'room', 2);
      await called((done) => client.channel('room').trigger('last', {}, done));
      await page.received('last', 'room');
      assert.deepEqual(page.eventsOn('room'), ['e', 'last']);
      const refusals = [
        [4210, (done) => client.channel('room').trigger('pusher:e', {}, done)],
        [4211, (done) => client.socket('1.1').trigger('e', {}, done)],
        [4212, (done) => client.channel('no room').trigger('e', {}, done)],
      ];
      for (const [code, call] of refusals) {
        const error = await called(call).then(() => assert.fail(`no error ${code}`), (reason) => reason);
        // The older release hands on the error as it came, the newer one makes an Error of it.
        assert.equal(codesErrors ? error.errno : error.code, code);
        assert.ok(error.message.length > 10);
      }
    });
  });
}

describe('pusher-pipe-0.0.10 after a restart', options, () => {
  // The broker is reached through a door, as behind any proxy: while it is away, connections are cut.
  // Proves: 248, 250.
  test('comes back by itself and hears again', async (t) => {
    let broker = await startBroker({ args: ['--config', CONFIG] });
    const door = await openDoor(t, () => broker?.port);
    const client = require('pusher-pipe-0.0.10').createClient({
      app_id: broker.appId, key: broker.key, secret: broker.secret, host: '127.0.0.1', port: door,
    });
    const told = [];
    client.on('error', (error) => told.push(error.errno));
    client.subscribe(['socket_message']);
    t.after(() => client.disconnect());
    client.connect();
    await heard(client, 'connected');
    const first = client.connection_id;

    const stopped = broker;
    broker = null;
    await stopped.stop();
    assert.deepEqual(told, [4200], 'the broker says that it goes');
    broker = await startBroker({ args: ['--config', CONFIG] });
    t.after(() => broker.stop());
    await heard(client, 'connected');
    assert.notEqual(client.connection_id, first);

    const page = await openClient(t, browser, broker).connected();
    await page.subscribe('stream');
    const frame = heard(client.channel('stream'), 'event:frame');
    page.pusher.send_event('frame', { n: 1 }, 'stream');
    assert.deepEqual(await frame, [page.socketId, { n: 1 }]);
  });
});

/** What comes with the next such event, within the deadline. */
async function heard(emitter, event) {
  return once(emitter, event, { signal: AbortSignal.timeout(DEADLINE_MS) });
}

/** What `call` hands its callback; rejects with the error if it is handed one. */
function called(call) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('the callback was not called')), DEADLINE_MS);
    call((error, result) => {
      clearTimeout(timer);
      if (error) reject(error);
      else resolve(result);
    });
  });
}

/** A port that leads to wherever the broker is now; nowhere, and connections to it are cut. */
async function openDoor(t, port) {
  const open = new Set();
  const server = createServer((socket) => {
    const target = port();
    open.add(socket.on('close', () => open.delete(socket)).on('error', () => {}));
    if (!target) {
      socket.destroy();
      return;
    }
    const inner = connect(target, '127.0.0.1').on('error', () => socket.destroy()).on('close', () => socket.destroy());
    socket.on('close', () => inner.destroy());
    socket.pipe(inner).pipe(socket);
  });
  await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  t.after(() => {
    server.close();
    open.forEach((socket) => socket.destroy());
  });
  return server.address().port;
}
