// permessage-deflate, off unless configured: clients that offer it get their broadcasts compressed, once for all.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, describe, test } from 'node:test';
import WebSocket from 'ws';
import { external, startBroker } from './broker.mjs';
import { libraries } from './libraries.mjs';

/** Compressible, as payloads of JSON are, and well above what is worth compressing. */
const PRICES = Array.from({ length: 150 }, (_, n) => ({ id: n, name: `item ${n}`, price: n * 1.25, tags: ['a', 'b'] }));

const options = { skip: external && 'it needs a broker with other settings' };

describe('compression', options, () => {
  let broker;
  before(async () => (broker = await startBroker({ env: { HELIOSTAT_CONNECTION_COMPRESSION: 'true' } })));
  after(() => broker?.stop());

  // Proves: clients.
  test('a broadcast is smaller for who takes it compressed, and the same for everybody', async (t) => {
    const deflating = await subscriber(t, broker, 'prices', { perMessageDeflate: true });
    const plain = await subscriber(t, broker, 'prices', { perMessageDeflate: false });
    assert.match(deflating.socket.extensions, /permessage-deflate/);
    assert.equal(plain.socket.extensions, '');
    const server = libraries.at(-1).connect(broker);
    const before = [deflating, plain].map(({ socket }) => socket._socket.bytesRead);
    const updates = [deflating, plain].map((client) => client.next('update'));
    await server.trigger('prices', 'update', PRICES.slice(0, 100));
    const heard = await Promise.all(updates);
    heard.forEach((message) => assert.deepEqual(JSON.parse(message.data), PRICES.slice(0, 100)));
    const [small, large] = [deflating, plain].map(({ socket }, n) => socket._socket.bytesRead - before[n]);
    assert.ok(small * 2 < large, `${small} bytes compressed, ${large} plain`);
  });

  // Proves: clients.
  test('compressed messages of clients are understood', async (t) => {
    const sender = await subscriber(t, broker, 'stream', { perMessageDeflate: { threshold: 0 } });
    const mirror = await subscriber(t, broker, 'mirror', { perMessageDeflate: true });
    for (let n = 0; n < 5; n++) {
      sender.socket.send(JSON.stringify({ event: 'frame', channel: 'stream', data: { n, prices: PRICES } }));
      assert.deepEqual(JSON.parse((await mirror.next('frame')).data), { n, prices: PRICES });
    }
    sender.socket.send(JSON.stringify({ event: 'pusher:ping', data: {} }));
    await sender.next('pusher:pong');
  });
});

describe('without compression', options, () => {
  // Proves: clients.
  test('nobody is promised any', async (t) => {
    const broker = await startBroker();
    t.after(() => broker.stop());
    const { socket } = await subscriber(t, broker, 'prices', { perMessageDeflate: true });
    assert.equal(socket.extensions, '');
  });
});

/** A raw client, subscribed to a public channel; `next(event)` resolves with the next message of that name. */
async function subscriber(t, broker, channel, settings) {
  const socket = new WebSocket(`ws://${broker.host}:${broker.port}/app/${broker.key}?protocol=7`, settings);
  const waiting = new Map();
  const next = (event) => new Promise((resolve) => waiting.set(event, resolve));
  socket.on('message', (text) => {
    const message = JSON.parse(text);
    waiting.get(message.event)?.(message);
    waiting.delete(message.event);
  });
  t.after(() => socket.terminate());
  const succeeded = next('pusher_internal:subscription_succeeded');
  await once(socket, 'open');
  socket.send(JSON.stringify({ event: 'pusher:subscribe', data: { channel } }));
  await succeeded;
  return { socket, next };
}
