// The questions a backend asks with the server library, and what its developer reads when one is refused.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { startAuthEndpoint } from './auth-endpoint.mjs';
import { external, startBroker } from './broker.mjs';
import { fresh, openClient, releases } from './clients.mjs';
import { libraries, refusal } from './libraries.mjs';
import { shown } from './record.mjs';

const notOurs = external && 'the server that is named knows no ids';

describe('the HTTP API', () => {
  let broker;
  before(async () => (broker = await startBroker()));
  after(() => broker?.stop());

  for (const { major, connect } of libraries) {
    describe(`server library ${major}`, () => {
      let library;
      let auth;
      before(async () => {
        library = connect(broker);
        auth = await startAuthEndpoint(library);
      });
      after(() => auth?.stop());

      const get = async (path, params) => {
        const { status, body } = await library.get(path, params);
        assert.equal(status, 200);
        return JSON.parse(body);
      };
      const join = async (t, channel, member) => {
        const client = await openClient(t, releases.at(-1), broker, { auth, member }).connected();
        await client.subscribe(channel);
        return client;
      };

      // Proves: 196, 197.
      test('lists the occupied channels of a prefix', async (t) => {
        const prefix = fresh('presence-list');
        assert.deepEqual(await get('/channels', { filter_by_prefix: prefix }), { channels: {} });
        await join(t, `${prefix}-a`, { user_id: 'ann' });
        await join(t, `${prefix}-b`, { user_id: 'ann' });
        await join(t, fresh('presence-other'), { user_id: 'ann' });
        assert.deepEqual(await get('/channels', { filter_by_prefix: prefix }), {
          channels: { [`${prefix}-a`]: {}, [`${prefix}-b`]: {} },
        });
        assert.deepEqual(await get('/channels', { filter_by_prefix: prefix, info: 'user_count' }), {
          channels: { [`${prefix}-a`]: { user_count: 1 }, [`${prefix}-b`]: { user_count: 1 } },
        });
        shown(library, 'channels');
      });

      // Proves: 199, 205.
      test('describes one channel, counting users and not connections', async (t) => {
        const name = fresh('presence-room');
        assert.deepEqual(await get(`/channels/${name}`), { occupied: false });
        await join(t, name, { user_id: 'ann' });
        await join(t, name, { user_id: 'ann' });
        await join(t, name, { user_id: 'bob' });
        assert.deepEqual(await get(`/channels/${name}`, { info: 'user_count' }), { occupied: true, user_count: 2 });
        shown(library, 'channel');
      });

      // Proves: 202.
      test('names the users of a presence channel', async (t) => {
        const name = fresh('presence-room');
        assert.deepEqual(await get(`/channels/${name}/users`), { users: [] });
        await join(t, name, { user_id: '7', numeric: '1' });
        await join(t, name, { user_id: 'ann' });
        const { users } = await get(`/channels/${name}/users`);
        assert.deepEqual(
          users.sort((a, b) => a.id.localeCompare(b.id)),
          [{ id: '7' }, { id: 'ann' }],
        );
        shown(library, 'users');
      });

      // Proves: publish ids.
      test('what has an id is published once, alone and in whatever batch', { skip: notOurs }, async (t) => {
        const name = fresh('news');
        const client = await openClient(t, releases.at(-1), broker, { auth }).connected();
        await client.subscribe(name);
        const [one, two, three, four] = ['one', 'two', 'three', 'four'].map(fresh);
        const named = (id) => ({ channel: name, name: id, data: { n: 1 }, id });
        for (const batch of [[one, two], [one, two], [two, three], [three]]) {
          const { status, body } = await library.triggerBatch(batch.map(named));
          assert.deepEqual([status, body], [200, '{}']);
        }
        const alone = (data) => library.post('/events', { name: four, channels: [name], data, id: four });
        for (let asked = 0; asked < 2; asked++) assert.equal((await alone('x')).status, 200);
        assert.equal((await refusal(alone('y'))).status, 422);
        await library.trigger(name, 'last', {});
        await client.received('last', name);
        assert.deepEqual(client.eventsOn(name), [one, two, three, four, 'last']);
      });

      // Proves: 192, 198, 200, 203, 204.
      test('a question that does not fit is answered with its reason in plain words', async () => {
        const wrong = [
          [
            '/channels',
            { info: 'user_count' },
            'user_count may only be requested for presence channels - please supply filter_by_prefix begining with presence-\n',
          ],
          [
            '/channels/news',
            { info: 'user_count' },
            'Cannot retrieve the user count unless the channel is a presence channel\n',
          ],
          ['/channels/news/users', {}, 'Users can only be retrieved for presence channels\n'],
          [
            '/channels/presence-room/users',
            { info: 'user_count' },
            'The following query string parameters are extraneous: info\n',
          ],
        ];
        for (const [path, params, text] of wrong) {
          assert.deepEqual(await refusal(library.get(path, params)), { status: 400, body: text });
        }
      });

      // Proves: 171.
      test('a wrong secret is answered with the string that should have been signed', async () => {
        const stranger = connect(broker, { secret: 'not-the-secret' });
        const { status, body } = await refusal(stranger.trigger('news', 'greet', {}));
        assert.equal(status, 401);
        const expected = `Invalid signature: you should have sent HmacSHA256Hex("POST\\n/apps/${broker.appId}/events\\nauth_key=${broker.key}`;
        assert.ok(body.startsWith(expected), body);
      });

      // Proves: 168.
      test('a key that no app has is named as such', async () => {
        const stranger = connect(broker, { key: 'nobodys-key' });
        assert.deepEqual(await refusal(stranger.trigger('news', 'greet', {})), {
          status: 400,
          body: 'Unknown auth_key\n',
        });
      });

      // Proves: clients.
      test("an app id that is not the key's is not found", async () => {
        const stranger = connect(broker, { appId: '999999' });
        const { status, body } = await refusal(stranger.trigger('news', 'greet', {}));
        assert.equal(status, 404);
        assert.ok(body.startsWith('App 999999 not found'), body);
      });

      // Proves: 185, 187, 192, 193.
      test('an event that does not fit is refused with its reason', async () => {
        const reserved = await refusal(library.trigger('news', 'pusher:greet', {}));
        assert.deepEqual(reserved, { status: 400, body: "The 'pusher' namespace is reserved for internal usage\n" });
        const long = await refusal(library.trigger('news', 'greet', 'x'.repeat(10_241)));
        assert.equal(long.status, 413);
        assert.ok(
          long.body.startsWith('The data content of this event exceeds the allowed maximum (10240 bytes)'),
          long.body,
        );
        assert.ok(long.body.endsWith('\n'));
        const eleven = Array.from({ length: 11 }, () => ({ channel: 'news', name: 'greet', data: '1' }));
        const tooMany = await refusal(library.triggerBatch(eleven));
        assert.deepEqual(tooMany, { status: 400, body: 'Batch too large (11 > 10)\n' });
        shown(library, 'refusals');
      });

      // Proves: 178, 182, 183, 193, 194.
      test('publishes one event on several channels, several at once, and not to who caused them', async (t) => {
        const names = [fresh('news'), fresh('private-room'), fresh('presence-room')];
        const author = await openClient(t, releases.at(-1), broker, { auth, member: { user_id: 'ann' } }).connected();
        const reader = await openClient(t, releases.at(-1), broker, { auth, member: { user_id: 'bob' } }).connected();
        for (const client of [author, reader]) for (const name of names) await client.subscribe(name);
        assert.deepEqual(await library.trigger(names, 'greet', { hi: 'ünï' }), { status: 200, body: '{}' });
        await library.trigger(names, 'edited', {}, { socketId: author.socketId });
        const batch = names.map((channel, n) => ({ channel, name: 'tick', data: { n }, socket_id: author.socketId }));
        assert.deepEqual(await library.triggerBatch(batch), { status: 200, body: '{}' });
        await library.trigger(names, 'last', {});
        for (const name of names) {
          for (const client of [author, reader]) await client.received('last', name);
          assert.deepEqual(author.eventsOn(name), ['greet', 'last']);
          assert.deepEqual(reader.eventsOn(name), ['greet', 'edited', 'tick', 'last']);
          assert.deepEqual((await reader.received('greet', name))[0].data, { hi: 'ünï' });
        }
        shown(library, 'trigger', 'many channels', 'exclude', 'batch', 'authorize', 'authorize presence');
      });

      // Proves: 195.
      test('asks for counts in a batch', async (t) => {
        const room = fresh('presence-room');
        await join(t, room, { user_id: 'ann' });
        const batch = await library.triggerBatch([
          { channel: 'news', name: 'greet', data: '1' },
          { channel: room, name: 'greet', data: '2', info: 'user_count' },
        ]);
        assert.deepEqual(JSON.parse(batch.body), { batch: [{}, { user_count: 1 }] });
        shown(library, 'batch info');
      });
    });
  }

  // Proves: 195.
  test('an event can be answered with the counts of its channels', async (t) => {
    const library = libraries.at(-1).connect(broker);
    const auth = await startAuthEndpoint(library);
    t.after(() => auth.stop());
    const room = fresh('presence-room');
    const client = await openClient(t, releases.at(-1), broker, { auth, member: { user_id: 'ann' } }).connected();
    await client.subscribe(room);
    const single = await library.trigger([room, 'news'], 'greet', {}, { info: 'user_count' });
    assert.deepEqual(JSON.parse(single.body), { channels: { [room]: { user_count: 1 }, news: {} } });
    shown(library, 'info');
  });
});
