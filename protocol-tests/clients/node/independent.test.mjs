// `pusher-client` of npm, a client that has nothing in common with pusher-js, told to speak protocol 5: what is fatal comes
// to it as an event, and it signs for itself.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { after, before, describe, test } from 'node:test';
import { startBroker } from './broker.mjs';
import { fresh, heard, within } from './clients.mjs';
import { libraries } from './libraries.mjs';
import { installedVersion, shown } from './record.mjs';

const PusherClient = createRequire(import.meta.url)('pusher-client');
const subject = { client: 'pusher-client', version: installedVersion('pusher-client') };

describe('pusher-client, protocol 5', () => {
  let broker, library;
  before(async () => {
    broker = await startBroker();
    library = libraries.at(-1).connect(broker);
  });
  after(() => broker?.stop());

  /** A client whose member of presence channels is `user_id`, and what it was told went wrong. */
  const open = (t, { user_id = 'ann', name, key = broker.key, secret = broker.secret, ...options } = {}) => {
    const channel_data = { user_id, ...(name && { user_info: { name } }) };
    const settings = { protocol: 5, host: broker.host, wsPort: broker.port, secret, channel_data, ...options };
    const client = new PusherClient(key, settings);
    client.errors = [];
    client.connection.on('error', (error) => client.errors.push(error));
    t.after(() => client.disconnect());
    return client;
  };
  const state = (client, wanted) =>
    within(
      new Promise((resolve) => {
        if (client.connection.state === wanted) resolve();
        else client.connection.once(wanted, resolve);
      }),
      `the state ${wanted}`,
    );
  const connected = async (t, options) => {
    const client = open(t, options);
    await state(client, 'connected');
    return client;
  };
  const subscribe = async (client, name) => {
    const channel = client.subscribe(name);
    const joined = await heard(channel, 'pusher:subscription_succeeded').next();
    return Object.assign(channel, { joined: joined[0] });
  };

  // Proves: clients, 10, 40.
  test('connects, and its pings are answered', async (t) => {
    const client = await connected(t);
    assert.match(client.connection.socket_id, /^\d+\.\d+$/);
    // It pings by control frames, when its activity timeout has passed.
    const { connection } = client.connection;
    const pong = new Promise((resolve) => connection.once('pong', resolve));
    connection.ping();
    await within(pong, 'the pong');
    assert.equal(client.connection.state, 'connected');
    shown(subject, 'connection', 'ping');
  });

  // Proves: clients, 66, 69, 178.
  test('joins public and private channels, and leaves them', async (t) => {
    const client = await connected(t);
    const names = [fresh('news'), fresh('private-room')];
    for (const name of names) {
      const greets = heard(await subscribe(client, name), 'greet');
      await library.trigger(name, 'greet', { hi: 1 });
      assert.deepEqual((await greets.next())[0], { hi: 1 });
    }
    const frames = [];
    client.connection.on('message', ({ event, channel }) => frames.push([channel, event]));
    client.unsubscribe(names[0]);
    const fence = await subscribe(client, fresh('fence'));
    const last = heard(fence, 'last');
    await library.trigger([names[0], fence.name], 'last', {});
    await last.next();
    assert.deepEqual(
      frames.filter(([channel]) => channel === names[0]),
      [],
    );
    shown(subject, 'public', 'private', 'unsubscribe');
  });

  // Proves: clients, 92, 95, 99.
  test('finds the members of a presence channel, and hears who comes and goes', async (t) => {
    const name = fresh('presence-room');
    const ann = await connected(t, { user_id: 'ann', name: 'Ann' });
    const channel = await subscribe(ann, name);
    assert.deepEqual(channel.members.me, { id: 'ann', info: { name: 'Ann' } });
    const added = heard(channel, 'pusher:member_added');
    const removed = heard(channel, 'pusher:member_removed');
    const bob = await connected(t, { user_id: 'bob' });
    const bobs = await subscribe(bob, name);
    assert.equal(bobs.members.count, 2);
    assert.deepEqual(bobs.members.get('ann').info, { name: 'Ann' });
    assert.equal((await added.next())[0].id, 'bob');
    bob.disconnect();
    assert.equal((await removed.next())[0].id, 'bob');
    assert.equal(channel.members.count, 1);
    shown(subject, 'presence');
  });

  // Proves: clients, 113, 114, 127.
  test('sends and hears client events, and is told which are too large', async (t) => {
    const name = fresh('private-room');
    const [ann, bob] = [await connected(t), await connected(t)];
    const [anns, bobs] = [await subscribe(ann, name), await subscribe(bob, name)];
    const said = heard(bobs, 'client-said');
    const refused = heard({ name, bind: (event, handler) => ann.bind(event, handler) }, 'pusher:error');
    anns.trigger('client-said', { text: 'x'.repeat(10_241) });
    assert.equal((await refused.next())[0].code, 4301);
    anns.trigger('client-said', { text: 'x' });
    assert.deepEqual((await said.next())[0], { text: 'x' });
    shown(subject, 'client events', 'payload too large');
  });

  // Proves: clients, 134, 135.
  test('gets what a cache channel remembers', async (t) => {
    const name = fresh('cache-prices');
    const early = await connected(t);
    await heard(early.subscribe(name), 'pusher:cache_miss').next();
    await library.trigger(name, 'price', { p: 1 });
    const late = await connected(t);
    assert.deepEqual((await heard(late.subscribe(name), 'price').next())[0], { p: 1 });
    shown(subject, 'cache');
  });

  // Proves: clients, 70, 76.
  test('is told that its signature is wrong, and stays', async (t) => {
    const client = await connected(t, { secret: 'not-the-secret' });
    const refused = heard(client.subscribe(fresh('private-room')), 'pusher:subscription_error');
    const [{ status }] = await refused.next();
    assert.equal(status, 401);
    await subscribe(client, fresh('news'));
    assert.equal(client.connection.state, 'connected');
    shown(subject, 'bad auth');
  });

  // Proves: clients, 23.
  test('gives up on a key that no app has', async (t) => {
    const client = open(t, { key: 'nobodys-key' });
    await state(client, 'disconnected');
    assert.match(client.errors[0].error, /nobodys-key/);
    assert.equal(client.connection.socket_id, null);
    shown(subject, 'bad key');
  });
});
