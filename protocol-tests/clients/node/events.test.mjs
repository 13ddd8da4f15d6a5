// What the application publishes with its server library reaches the handlers of its pages.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fresh, heard } from './clients.mjs';
import { everyPair } from './matrix.mjs';

everyPair('published events', (stage) => {
  // Proves: 178, 55, 56.
  test('data arrives as it was published, whatever its type', async (t) => {
    const client = await stage.open(t);
    const name = fresh('news');
    const greets = heard(await client.subscribe(name), 'greet');
    for (const data of [{ hi: 1, nested: { list: [1, 'two', null] } }, 'plain text', 'ünïcode 🎥', [], 42.5, true]) {
      const { status, body } = await stage.library.trigger(name, 'greet', data);
      assert.equal(status, 200);
      assert.equal(body, '{}');
      const [received] = await greets.next();
      assert.deepEqual(received, data);
    }
  });

  // Proves: 178, 182.
  test('one event for several channels arrives once on each', async (t) => {
    const client = await stage.open(t);
    const [one, two, three] = [fresh('news'), fresh('private-room'), fresh('news')];
    for (const name of [one, two, three]) await client.subscribe(name);
    await stage.library.trigger([one, two, three, one], 'greet', { hi: 1 });
    await stage.library.trigger([one, two, three], 'last', {});
    for (const name of [one, two, three]) {
      await client.received('last', name);
      assert.deepEqual(client.eventsOn(name), ['greet', 'last']);
    }
  });

  // Proves: 193, 194.
  test('a batch of ten arrives in its order', async (t) => {
    const client = await stage.open(t);
    const name = fresh('news');
    const ticks = heard(await client.subscribe(name), 'tick');
    const batch = Array.from({ length: 10 }, (_, n) => ({ channel: name, name: 'tick', data: { n } }));
    const { status, body } = await stage.library.triggerBatch(batch);
    assert.equal(status, 200);
    assert.equal(body, '{}');
    for (let n = 0; n < 10; n++) assert.deepEqual((await ticks.next())[0], { n });
  });

  // Proves: 183, 54.
  test('the socket id that caused an event is left out, and nobody else', async (t) => {
    const name = fresh('news');
    const author = await stage.open(t);
    const reader = await stage.open(t);
    await author.subscribe(name);
    await reader.subscribe(name);
    await stage.library.trigger(name, 'edited', {}, { socketId: author.socketId });
    await stage.library.triggerBatch([{ channel: name, name: 'edited-again', data: {}, socket_id: author.socketId }]);
    await stage.library.trigger(name, 'for-all', {});
    await reader.received('for-all', name);
    await author.received('for-all', name);
    assert.deepEqual(reader.eventsOn(name), ['edited', 'edited-again', 'for-all']);
    assert.deepEqual(author.eventsOn(name), ['for-all']);
    assert.ok(reader.frames.every((frame) => !('socket_id' in frame)));
  });

  // Proves: clients.
  test('an event name may look like a PHP class', async (t) => {
    const client = await stage.open(t);
    const name = fresh('private-orders');
    const shipped = heard(await client.subscribe(name), 'App\\Events\\OrderShipped');
    await stage.library.trigger(name, 'App\\Events\\OrderShipped', { order: 7 });
    assert.deepEqual((await shipped.next())[0], { order: 7 });
  });

  // Proves: 129.
  test('a client- name that the backend publishes is an ordinary event, for every subscriber', async (t) => {
    const client = await stage.open(t);
    const name = fresh('private-room');
    const typing = heard(await client.subscribe(name), 'client-typing');
    await stage.library.trigger(name, 'client-typing', { on: true });
    assert.deepEqual((await typing.next())[0], { on: true });
  });
});
