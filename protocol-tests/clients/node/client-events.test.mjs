// What pages say to each other through `channel.trigger`.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { errorCode, fresh, heard } from './clients.mjs';
import { everyPair } from './matrix.mjs';
import { shown } from './record.mjs';

/** More than the 10,240 bytes a client event may have, in one string. */
const TOO_LONG = 'x'.repeat(10_241);

everyPair('client events', (stage) => {
  // Proves: 113, 114, 116, 119.
  test('two pages talk both ways on a private channel, without hearing themselves', async (t) => {
    const name = fresh('private-room');
    const ann = await stage.open(t);
    const bob = await stage.open(t);
    const annsChannel = await ann.subscribe(name);
    const bobsChannel = await bob.subscribe(name);
    const annHears = heard(annsChannel, 'client-typing');
    const bobHears = heard(bobsChannel, 'client-typing');

    assert.equal(annsChannel.trigger('client-typing', { by: 'ann' }), true);
    assert.deepEqual((await bobHears.next())[0], { by: 'ann' });
    assert.equal(bobsChannel.trigger('client-typing', { by: 'bob' }), true);
    assert.deepEqual((await annHears.next())[0], { by: 'bob' });

    assert.deepEqual(ann.eventsOn(name), ['client-typing']);
    assert.deepEqual(bob.eventsOn(name), ['client-typing']);
    const [frame] = await bob.received('client-typing', name);
    assert.equal(frame.user_id, undefined);
    shown(stage.release, 'client events');
  });

  // Proves: 115, 118.
  test('on a presence channel the broker says who sent it, to the same user elsewhere too', async (t) => {
    const name = fresh('presence-room');
    const ann = await stage.open(t, { member: { user_id: 'ann' } });
    const annElsewhere = await stage.open(t, { member: { user_id: 'ann' } });
    const bob = await stage.open(t, { member: { user_id: 'bob' } });
    const annsChannel = await ann.subscribe(name);
    const readers = [
      heard(await annElsewhere.subscribe(name), 'client-wave'),
      heard(await bob.subscribe(name), 'client-wave'),
    ];
    annsChannel.trigger('client-wave', 'hello');
    for (const reader of readers) {
      const [data, metadata] = await reader.next();
      assert.equal(data, 'hello');
      if (stage.release.tellsSender) assert.equal(metadata.user_id, 'ann');
    }
    const [frame] = await bob.received('client-wave', name);
    assert.equal(frame.user_id, 'ann');
  });

  // Proves: 121.
  test('on a public channel they are refused', async (t) => {
    const client = await stage.open(t);
    const channel = await client.subscribe(fresh('news'));
    channel.trigger('client-typing', {});
    const [refused] = await client.received('pusher:error', undefined);
    assert.equal(refused.data.code, null);
    assert.equal(refused.data.message, 'Client event rejected - only supported on private and presence channels');
    await client.subscribe(fresh('news'));
    assert.equal(client.state, 'connected');
  });

  // Proves: 127.
  test('one over 10,240 bytes is refused with 4301 and the connection stays', async (t) => {
    const name = fresh('private-room');
    const sender = await stage.open(t);
    const reader = await stage.open(t);
    const channel = await sender.subscribe(name);
    await reader.subscribe(name);
    channel.trigger('client-picture', TOO_LONG);
    await sender.until(() => sender.errors.length > 0, 'the error of the connection');
    assert.equal(errorCode(sender.errors[0]), 4301);
    channel.trigger('client-after', {});
    await reader.received('client-after', name);
    assert.deepEqual(reader.eventsOn(name), ['client-after']);
    assert.equal(sender.state, 'connected');
    shown(stage.release, 'payload too large');
  });

  // Proves: 124.
  test('a burst beyond ten a second is cut with 4301 and the connection stays', async (t) => {
    const name = fresh('private-room');
    const sender = await stage.open(t);
    const reader = await stage.open(t);
    const channel = await sender.subscribe(name);
    await reader.subscribe(name);
    for (let n = 0; n < 30; n++) channel.trigger('client-move', { n });
    await sender.until(() => sender.errors.length >= 10, 'the excess events to be refused');
    assert.deepEqual([...new Set(sender.errors.map(errorCode))], [4301]);
    await reader.received('client-move', name, 10);
    assert.equal(sender.state, 'connected');
  });
});
