// Laravel Echo on pusher-js, as a Laravel page uses it. The auth endpoint stands in for Laravel's /broadcasting/auth, and
// the server library sends what Laravel's broadcaster sends.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { startAuthEndpoint } from './auth-endpoint.mjs';
import { startBroker } from './broker.mjs';
import { connectionOptions, fresh, releases, within } from './clients.mjs';
import { libraries } from './libraries.mjs';
import { installedVersion, shown } from './record.mjs';

const release = releases.at(-1);
const NOTIFICATION = 'Illuminate\\Notifications\\Events\\BroadcastNotificationCreated';

const echoes = await Promise.all(
  [1, 2].map(async (major) => {
    const { default: exported } = await import(`laravel-echo-${major}`);
    // A CommonJS build has its default within Node's own.
    return { version: installedVersion(`laravel-echo-${major}`), Echo: exported.default ?? exported };
  }),
);

describe('Laravel Echo', () => {
  let broker, library, auth;
  before(async () => {
    broker = await startBroker();
    library = libraries.at(-1).connect(broker);
    auth = await startAuthEndpoint(library);
  });
  after(async () => {
    await auth?.stop();
    await broker?.stop();
  });

  for (const { version, Echo } of echoes) {
    for (const broadcaster of ['pusher', 'reverb']) {
      describe(`${version} with the ${broadcaster} broadcaster`, () => {
        const subject = { client: `Laravel Echo, ${broadcaster}`, version };

        /** An Echo whose user is `member`, connected. */
        const open = async (t, member = {}, options = {}) => {
          // Reverb has no clusters; Echo fills in what pusher-js wants.
          const { cluster, ...connection } = connectionOptions(release, broker);
          const echo = new Echo({
            broadcaster,
            key: broker.key,
            Pusher: release.Pusher,
            ...connection,
            ...(broadcaster === 'pusher' && { cluster }),
            authEndpoint: auth.url,
            auth: { headers: {}, params: member },
            userAuthentication: { endpoint: auth.userUrl, transport: 'ajax', params: member },
            ...options,
          });
          t.after(() => echo.disconnect());
          const { connection: state } = echo.connector.pusher;
          await happens((done) => (state.state === 'connected' ? done() : state.bind('connected', done)), 'connecting');
          assert.match(echo.socketId(), /^\d+\.\d+$/);
          return echo;
        };
        const subscribed = (channel) => happens((done) => channel.subscribed(done), `the subscription to ${channel.name}`);

        // Proves: clients, 178.
        test('public channels hear events by their class and by their name', async (t) => {
          const echo = await open(t);
          const name = fresh('orders');
          const channel = echo.channel(name);
          await subscribed(channel);
          const shipped = happens((done) => channel.listen('OrderShipped', done), 'the event of a class');
          const named = happens((done) => channel.listen('.order.shipped', done), 'the event of a name');
          await library.trigger(name, 'App\\Events\\OrderShipped', { order: 7 });
          await library.trigger(name, 'order.shipped', { order: 8 });
          assert.deepEqual(await shipped, { order: 7 });
          assert.deepEqual(await named, { order: 8 });
          shown(subject, 'connection', 'public');
        });

        // Proves: clients, 69, 183.
        test('private channels are authorised by Laravel, and the author of an event is left out', async (t) => {
          const [author, reader] = [await open(t), await open(t)];
          const name = fresh('orders.7');
          const [authors, readers] = [author, reader].map((echo) => echo.private(name));
          await Promise.all([authors, readers].map(subscribed));
          const heard = [];
          authors.listen('.edited', (data) => heard.push(data));
          const last = happens((done) => authors.listen('.last', done), 'the last event');
          const edited = happens((done) => readers.listen('.edited', done), 'the event');
          // `broadcast(...)->toOthers()` names the socket that the X-Socket-ID header told.
          await library.trigger(`private-${name}`, 'edited', { by: 'author' }, { socketId: author.socketId() });
          await library.trigger(`private-${name}`, 'last', {});
          assert.deepEqual(await edited, { by: 'author' });
          await last;
          assert.deepEqual(heard, []);
          shown(subject, 'private');
        });

        // Proves: clients, 89.
        test('an endpoint that signs wrongly is told to the error handler', async (t) => {
          const echo = await open(t, { tamper: '1' });
          const error = await happens((done) => echo.private(fresh('orders')).error(done), 'the refusal');
          assert.equal(error.status, 401);
          assert.equal(echo.connector.pusher.connection.state, 'connected');
          shown(subject, 'bad auth');
        });

        // Proves: clients, 90, 95, 99.
        test('presence channels tell who is here, joining and leaving', async (t) => {
          const [ann, bob] = [
            await open(t, { user_id: 'ann', name: 'Ann' }),
            await open(t, { user_id: 'bob', name: 'Bob' }),
          ];
          const name = fresh('room');
          const channel = ann.join(name);
          assert.deepEqual(await happens((done) => channel.here(done), 'here'), [{ name: 'Ann' }]);
          const joining = happens((done) => channel.joining(done), 'joining');
          const leaving = happens((done) => channel.leaving(done), 'leaving');
          const here = await happens((done) => bob.join(name).here(done), 'here, to Bob');
          assert.deepEqual(here.map((member) => member.name).sort(), ['Ann', 'Bob']);
          assert.deepEqual(await joining, { name: 'Bob' });
          bob.leave(name);
          assert.deepEqual(await leaving, { name: 'Bob' });
          shown(subject, 'presence');
        });

        // Proves: clients, 113, 114.
        test('whispers reach the others on private and presence channels', async (t) => {
          const [ann, bob] = [await open(t, { user_id: 'ann' }), await open(t, { user_id: 'bob' })];
          for (const kind of ['private', 'join']) {
            const name = fresh('room');
            const [anns, bobs] = [ann[kind](name), bob[kind](name)];
            await Promise.all([anns, bobs].map(subscribed));
            const own = [];
            anns.listenForWhisper('typing', (data) => own.push(data));
            const typing = happens((done) => bobs.listenForWhisper('typing', done), `a whisper on ${kind}`);
            anns.whisper('typing', { by: 'ann' });
            assert.deepEqual(await typing, { by: 'ann' });
            const back = happens((done) => anns.listenForWhisper('seen', done), 'the answer');
            bobs.whisper('seen', {});
            await back;
            assert.deepEqual(own, []);
          }
          shown(subject, 'client events');
        });

        // Proves: clients, 127.
        test('a whisper that is too large is refused, and the next one is not', async (t) => {
          const [ann, bob] = [await open(t), await open(t)];
          const name = fresh('room');
          const [anns, bobs] = [ann.private(name), bob.private(name)];
          await Promise.all([anns, bobs].map(subscribed));
          const refused = happens((done) => ann.connector.pusher.connection.bind('error', done), 'the refusal');
          const small = happens((done) => bobs.listenForWhisper('picture', done), 'the smaller picture');
          anns.whisper('picture', 'x'.repeat(10_241));
          assert.equal((await refused).data.code, 4301);
          anns.whisper('picture', 'x');
          assert.equal(await small, 'x');
          shown(subject, 'payload too large');
        });

        // Proves: clients.
        test("a user's notifications arrive with their type", async (t) => {
          const echo = await open(t);
          const user = fresh('App.Models.User');
          const channel = echo.private(user);
          await subscribed(channel);
          const notification = happens((done) => channel.notification(done), 'the notification');
          const data = { id: 'n1', type: 'App\\Notifications\\InvoicePaid', amount: 7 };
          await library.trigger(`private-${user}`, NOTIFICATION, data);
          assert.deepEqual(await notification, data);
          shown(subject, 'notification');
        });

        // Proves: clients, 131.
        test('encryptedPrivate hears what Laravel encrypts', async (t) => {
          const keyed = libraries
            .at(-1)
            .connect(broker, { encryptionMasterKeyBase64: Buffer.alloc(32, 'k').toString('base64') });
          const keys = await startAuthEndpoint(keyed);
          t.after(() => keys.stop());
          const echo = await open(t, {}, { authEndpoint: keys.url });
          const name = fresh('secrets');
          const channel = echo.encryptedPrivate(name);
          await subscribed(channel);
          const told = happens((done) => channel.listen('.told', done), 'the secret');
          await keyed.trigger(`private-encrypted-${name}`, 'told', { secret: 'für dich' });
          assert.deepEqual(await told, { secret: 'für dich' });
          const cached = fresh('cache-secrets');
          await keyed.trigger(`private-encrypted-${cached}`, 'told', { secret: 'für später' });
          const late = happens((done) => echo.encryptedPrivate(cached).listen('.told', done), 'the cached secret');
          assert.deepEqual(await late, { secret: 'für später' });
          shown(subject, 'encrypted', 'encrypted cache');
        });

        // Proves: clients, 82.
        test('after leave nothing arrives on any of the channels of a name', async (t) => {
          const echo = await open(t, { user_id: 'ann' });
          const name = fresh('room');
          const channels = [echo.channel(name), echo.private(name), echo.join(name)];
          await Promise.all(channels.map(subscribed));
          const heard = [];
          channels.forEach((channel) => channel.listen('.said', (data) => heard.push(data)));
          echo.leave(name);
          // The broker answers in order: when it has confirmed this one, it has left those.
          const fence = echo.channel(fresh('fence'));
          await subscribed(fence);
          for (const prefix of ['', 'private-', 'presence-']) await library.trigger(prefix + name, 'said', {});
          const last = happens((done) => fence.listen('.last', done), 'the last event');
          await library.trigger(fence.name, 'last', {});
          await last;
          assert.deepEqual(heard, []);
          shown(subject, 'unsubscribe');
        });

        // Proves: clients, 142, 148, 151.
        test('signs its user in, until the backend ends the connection', async (t) => {
          const id = fresh('ann');
          const echo = await open(t, { user_id: id });
          const note = happens((done) => echo.connector.pusher.user.bind('note', done), 'the note');
          const { pusher } = echo.connector;
          const ready = happens((done) => {
            pusher.connection.bind('message', ({ event, channel }) => {
              if (event === 'pusher_internal:subscription_succeeded' && channel === `#server-to-user-${id}`) done();
            });
          }, 'the channel of the user');
          if (echo.connector.signin) echo.connector.signin();
          else pusher.signin();
          await ready;
          await library.sendToUser(id, 'note', { for: id });
          assert.deepEqual(await note, { for: id });
          const ended = happens((done) => pusher.connection.bind('disconnected', done), 'the end of the connection');
          await library.terminateUserConnections(id);
          await ended;
          shown(subject, 'sign-in', 'user events', 'terminate');
        });

        // Proves: clients, 108.
        test('joins a presence channel as the signed-in user', async (t) => {
          const id = fresh('ann');
          const echo = await open(t, { user_id: id, name: 'Ann', nobody: '1' });
          echo.connector.pusher.signin();
          const here = await happens((done) => echo.join(fresh('room')).here(done), 'here');
          assert.deepEqual(here, [{ name: 'Ann' }]);
          shown(subject, 'presence of the user');
        });

        // Proves: clients, 134, 135.
        test('gets what a cache channel remembers', async (t) => {
          const name = fresh('cache-prices');
          const early = await open(t);
          await happens((done) => early.channel(name).listen('.pusher:cache_miss', done), 'the miss');
          await library.trigger(name, 'price', { p: 1 });
          const late = await open(t);
          assert.deepEqual(await happens((done) => late.channel(name).listen('.price', done), 'the price'), { p: 1 });
          shown(subject, 'cache');
        });

        // Proves: clients, 36, 43.
        test('pings while nothing happens, and stays connected', async (t) => {
          const echo = await open(t, {}, { activityTimeout: 100, pongTimeout: 5_000 });
          const { connection } = echo.connector.pusher;
          const socketId = echo.socketId();
          for (let n = 0; n < 3; n++) {
            await happens((done) => connection.bind('message', ({ event }) => event === 'pusher:pong' && done()), 'a pong');
          }
          assert.equal(echo.socketId(), socketId);
          shown(subject, 'ping');
        });

        // Proves: clients, 22, 24.
        test('gives up on a key that no app has', async (t) => {
          const { cluster, ...connection } = connectionOptions(release, broker);
          const echo = new Echo({
            broadcaster,
            key: 'nobodys-key',
            Pusher: release.Pusher,
            ...connection,
            ...(broadcaster === 'pusher' && { cluster }),
          });
          t.after(() => echo.disconnect());
          await happens((done) => echo.connector.pusher.connection.bind('disconnected', done), 'giving up');
          shown(subject, 'bad key');
        });
      });
    }
  }
});

/** What `listen` is called back with, or a failure that says what was waited for. */
function happens(listen, what) {
  return within(new Promise((resolve) => listen((data) => resolve(data))), what);
}
