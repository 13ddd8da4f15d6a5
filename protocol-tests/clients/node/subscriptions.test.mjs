// Channels, the right to join them, and leaving them.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fresh } from './clients.mjs';
import { everyPair } from './matrix.mjs';
import { shown } from './record.mjs';

everyPair('subscriptions', (stage) => {
  // Proves: 66, 67.
  test('a public channel is joined without a signature', async (t) => {
    const client = await stage.open(t);
    const channel = await client.subscribe(fresh('news'));
    assert.equal(channel.subscribed, true);
    shown(stage.release, 'public');
  });

  // Proves: 69.
  test('a private channel is joined with the signature of the server library', async (t) => {
    const client = await stage.open(t);
    const channel = await client.subscribe(fresh('private-room'));
    assert.equal(channel.subscribed, true);
    shown(stage.release, 'private');
    shown(stage.library, 'authorize');
  });

  // Proves: 70, 76, 89.
  test('a signature with one digit changed is refused and the connection stays', async (t) => {
    const client = await stage.open(t, { member: { tamper: '1' } });
    const name = fresh('private-room');
    const refused = await client.refusedSubscription(name);
    assert.equal(refused.type, 'AuthError');
    assert.equal(refused.status, 401);
    const expected = `Invalid signature: Expected HMAC SHA256 hex digest of ${client.socketId}:${name}, but got `;
    assert.ok(refused.error.startsWith(expected), refused.error);
    await client.until(() => client.errors.length > 0, 'the error of the connection');
    await client.subscribe(fresh('news'));
    assert.equal(client.pusher.channel(name).subscribed, false);
    assert.equal(client.state, 'connected');
    shown(stage.release, 'bad auth');
  });

  // Proves: clients.
  test('an auth endpoint that says no keeps the channel closed without asking the broker', async (t) => {
    const client = await stage.open(t, { member: { refuse: '403' } });
    await client.refusedSubscription(fresh('private-room'));
    await client.subscribe(fresh('news'));
    assert.deepEqual(client.errors, []);
  });

  // Proves: 82, 84.
  test('after leaving a channel nothing of it arrives, until it is joined again', async (t) => {
    const name = fresh('private-room');
    const leaver = await stage.open(t);
    const stayer = await stage.open(t);
    await leaver.subscribe(name);
    await stayer.subscribe(name);

    leaver.pusher.unsubscribe(name);
    // Frames of one connection are answered in order, so the leaving has been dealt with when this is.
    await leaver.subscribe(fresh('news'));
    await stage.library.trigger(name, 'missed', { n: 1 });
    await stayer.received('missed', name);

    await leaver.subscribe(name);
    await stage.library.trigger(name, 'seen', { n: 2 });
    await leaver.received('seen', name);
    assert.deepEqual(leaver.eventsOn(name), ['seen']);
    assert.deepEqual(leaver.errors, []);
    shown(stage.release, 'unsubscribe');
  });

  // Proves: 59, 63.
  test('every allowed character may stand in a name, and case counts', async (t) => {
    const client = await stage.open(t);
    const name = `${fresh('Foo-bar')}_1234@=,.;`;
    const lower = name.toLowerCase();
    await client.subscribe(name);
    await client.subscribe(lower);
    await stage.library.trigger(name, 'upper', {});
    await stage.library.trigger(lower, 'lower', {});
    await client.received('upper', name);
    await client.received('lower', lower);
    assert.deepEqual(client.eventsOn(name), ['upper']);
    assert.deepEqual(client.eventsOn(lower), ['lower']);
  });
});
