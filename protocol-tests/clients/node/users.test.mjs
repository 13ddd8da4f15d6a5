// Signed-in users: their own events, whom they watch, and the end of their connections. pusher-js has them since 7.1.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { errorCode, fresh, heard } from './clients.mjs';
import { everyRelease } from './matrix.mjs';
import { shown } from './record.mjs';

const env = { HELIOSTAT_APP_WATCHLIST_EVENTS: 'true' };

everyRelease('users', { since: 7, env }, (stage) => {
  /** A client that is signed in as `member` and hears the events for that user. */
  const signedIn = async (t, member) => {
    const client = await stage.open(t, { member });
    client.pusher.signin();
    await client.received('pusher_internal:subscription_succeeded', `#server-to-user-${member.user_id}`);
    return client;
  };

  // Proves: 142, 143, 148, 150.
  test('a signed-in user hears what is sent to the user, on every connection', async (t) => {
    const [annId, bobId] = [fresh('ann'), fresh('bob')];
    const anns = [await signedIn(t, { user_id: annId, name: 'Ann' }), await signedIn(t, { user_id: annId })];
    const bob = await signedIn(t, { user_id: bobId });
    assert.deepEqual(anns[0].pusher.user.user_data, { id: annId, user_info: { name: 'Ann' } });
    const notes = anns.map((client) => heard(client.pusher.user, 'note'));
    await stage.library.sendToUser(annId, 'note', { for: 'ann' });
    for (const note of notes) assert.deepEqual((await note.next())[0], { for: 'ann' });
    const bobs = heard(bob.pusher.user, 'note');
    await stage.library.sendToUser(bobId, 'note', { for: 'bob' });
    assert.deepEqual((await bobs.next())[0], { for: 'bob' });
    shown(stage.release, 'sign-in', 'user events');
    shown(stage.library, 'authenticate user', 'send to user');
  });

  // Proves: 144.
  test('a tampered signature signs nobody in and leaves the connection open', async (t) => {
    const client = await stage.open(t, { member: { user_id: 'ann', tamper: '1' } });
    client.pusher.signin();
    const [refused] = await client.received('pusher:error', undefined);
    assert.equal(refused.data.code, null);
    assert.match(refused.data.message, /^Invalid signature: Expected HMAC SHA256 hex digest of .*::user::/);
    await client.subscribe(fresh('news'));
    assert.equal(client.state, 'connected');
    assert.equal(client.pusher.user.user_data, null);
  });

  // Proves: 151, 152, 153.
  test('a user can be disconnected by the backend, and stays so until told to connect', async (t) => {
    const [id, room] = [fresh('ann'), fresh('presence-room')];
    const ended = [await signedIn(t, { user_id: id }), await signedIn(t, { user_id: id })];
    const namesake = await stage.open(t, { member: { user_id: id } });
    await namesake.subscribe(room);
    const { status, body } = await stage.library.terminateUserConnections(id);
    assert.equal(status, 200);
    assert.equal(body, '{}');
    for (const client of ended) {
      await client.until(() => client.state === 'disconnected', 'the end of the connection');
      assert.ok(client.errors.some((error) => errorCode(error) === 4009));
    }
    await namesake.subscribe(fresh('news'));
    assert.equal(namesake.state, 'connected');
    ended[0].pusher.connect();
    await ended[0].until(() => ended[0].state === 'connected', 'the user to be back');
    shown(stage.release, 'terminate');
    shown(stage.library, 'terminate');
  });

  // Proves: 108.
  test('a signed-in user joins a presence channel without saying who it is', async (t) => {
    const id = fresh('ann');
    const client = await signedIn(t, { user_id: id, name: 'Ann', nobody: '1' });
    const channel = await client.subscribe(fresh('presence-room'));
    assert.equal(channel.members.me.id, id);
    assert.deepEqual(channel.members.get(id).info, { name: 'Ann' });
    shown(stage.release, 'presence of the user');
  });

  // Proves: 154, 155, 156.
  test('a watchlist tells who is there, who comes and who goes', async (t) => {
    const [annId, bobId, cyId] = [fresh('ann'), fresh('bob'), fresh('cy')];
    const cy = await signedIn(t, { user_id: cyId });
    const ann = await stage.open(t, { member: { user_id: annId, watchlist: `${bobId},${cyId}` } });
    const online = heard(ann.pusher.user.watchlist, 'online');
    const offline = heard(ann.pusher.user.watchlist, 'offline');
    ann.pusher.signin();
    assert.deepEqual((await online.next())[0].user_ids, [cyId]);
    assert.deepEqual((await offline.next())[0].user_ids, [bobId]);
    const bob = await signedIn(t, { user_id: bobId });
    assert.deepEqual((await online.next())[0].user_ids, [bobId]);
    bob.close();
    assert.deepEqual((await offline.next())[0].user_ids, [bobId]);
    cy.close();
    assert.deepEqual((await offline.next())[0].user_ids, [cyId]);
    shown(stage.release, 'watchlist');
  });
});
