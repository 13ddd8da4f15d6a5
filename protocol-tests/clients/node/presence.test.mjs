// Who is here, who came, who went.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fresh, heard } from './clients.mjs';
import { everyPair } from './matrix.mjs';
import { shown } from './record.mjs';

const ids = (channel) => {
  const found = [];
  channel.members.each(({ id }) => found.push(id));
  return found.sort();
};

everyPair('presence', (stage) => {
  // Proves: 90, 92, 93, 94.
  test('the one who joins finds everybody, itself included', async (t) => {
    const name = fresh('presence-room');
    const ann = await stage.open(t, { member: { user_id: 'ann', name: 'Ann' } });
    await ann.subscribe(name);
    const bob = await stage.open(t, { member: { user_id: 'bob' } });
    const channel = await bob.subscribe(name);
    assert.deepEqual(ids(channel), ['ann', 'bob']);
    assert.equal(channel.members.count, 2);
    assert.equal(channel.members.me.id, 'bob');
    assert.deepEqual(channel.members.get('ann').info, { name: 'Ann' });
  });

  // Proves: 95, 96, 99.
  test('the others hear of a member who comes and goes', async (t) => {
    const name = fresh('presence-room');
    const ann = await stage.open(t, { member: { user_id: 'ann' } });
    const channel = await ann.subscribe(name);
    const added = heard(channel, 'pusher:member_added');
    const removed = heard(channel, 'pusher:member_removed');

    const bob = await stage.open(t, { member: { user_id: 'bob', name: 'Bob' } });
    const bobsChannel = bob.pusher.subscribe(name);
    const bobHearsAdded = heard(bobsChannel, 'pusher:member_added');
    const [joined] = await added.next();
    assert.equal(joined.id, 'bob');
    assert.deepEqual(joined.info, { name: 'Bob' });
    assert.deepEqual(ids(channel), ['ann', 'bob']);

    await bob.until(() => bobsChannel.subscribed, 'Bob to be subscribed');
    bob.close();
    const [left] = await removed.next();
    assert.equal(left.id, 'bob');
    assert.deepEqual(ids(channel), ['ann']);
    assert.deepEqual(bobHearsAdded.calls, []);
    shown(stage.release, 'presence');
    shown(stage.library, 'authorize presence');
  });

  // Proves: 100.
  test('to unsubscribe is to leave', async (t) => {
    const name = fresh('presence-room');
    const ann = await stage.open(t, { member: { user_id: 'ann' } });
    const bob = await stage.open(t, { member: { user_id: 'bob' } });
    const removed = heard(await ann.subscribe(name), 'pusher:member_removed');
    await bob.subscribe(name);
    bob.pusher.unsubscribe(name);
    const [left] = await removed.next();
    assert.equal(left.id, 'bob');
    assert.equal(bob.state, 'connected');
  });

  // Proves: 91, 97, 98, 102.
  test('two connections of one user are one member', async (t) => {
    const name = fresh('presence-room');
    const watcher = await stage.open(t, { member: { user_id: 'watcher' } });
    const channel = await watcher.subscribe(name);
    const phone = await stage.open(t, { member: { user_id: '10', numeric: '1' } });
    const laptop = await stage.open(t, { member: { user_id: '10' } });
    await phone.subscribe(name);
    const onLaptop = await laptop.subscribe(name);
    assert.deepEqual(ids(onLaptop), ['10', 'watcher']);
    phone.close();
    const last = await stage.open(t, { member: { user_id: 'last' } });
    await last.subscribe(name);
    await watcher.until(() => channel.members.get('last'), 'the last member');
    laptop.close();
    await watcher.until(() => !channel.members.get('10'), 'the user to be gone');
    const membership = watcher.frames.filter(({ event }) => event.startsWith('pusher_internal:member_'));
    assert.deepEqual(
      membership.map(({ event, data }) => [event.split(':')[1], data.user_id]),
      [
        ['member_added', '10'],
        ['member_added', 'last'],
        ['member_removed', '10'],
      ],
    );
  });
});
