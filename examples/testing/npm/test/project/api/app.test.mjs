// What an app tells and what can be done to it, with real clients and a real backend.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connections, ControlError, delivered, event, Fault, logged, refused, subscribers } from 'heliostat-testing';
import { backend, connect, heard, sharedBroker } from './support.mjs';

const shared = sharedBroker();
const newApp = (options) => shared.broker.createApp(options);

/** An app with one client in `room`. */
async function room(t, options) {
  const app = await newApp(options);
  const client = connect(t, app);
  const channel = client.subscribe('room');
  await app.until(subscribers('room', 1));
  return { app, client, channel };
}

test('an app has what it was made with', async () => {
  const id = '4242';
  const app = await newApp({ id, key: 'key-of-4242', secret: 'secret-of-4242', settings: { client_events: false } });
  assert.deepEqual([app.id, app.key, app.secret], [id, 'key-of-4242', 'secret-of-4242']);
  assert.deepEqual([app.host, app.scheme, app.pathPrefix], ['127.0.0.1', 'http', '']);
  assert.equal(app.environment.PUSHER_URL, app.url);
  assert.equal(app.environment.VITE_PUSHER_PORT, String(app.port));
  const same = await shared.broker.app(id);
  assert.deepEqual([same.key, same.url, same.environment], [app.key, app.url, app.environment]);
  const alike = await newApp({ like: id });
  assert.notEqual(alike.key, app.key);
});

test('settings are those of the app', async (t) => {
  const app = await newApp({ settings: { 'limits.connections': 1 } });
  connect(t, app);
  await app.until(connections(1));
  connect(t, app);
  await app.until(refused({ code: 4004, count: 1 }));
});

test('apps hear nothing of each other', async (t) => {
  const [mine, other] = [await room(t), await room(t)];
  await backend(other.app).trigger('room', 'message', 'for the other');
  await other.app.until(delivered({ name: 'message', count: 1 }));
  assert.deepEqual((await mine.app.log({ type: ['event', 'delivered'] })).entries, []);
});

test('the log is filtered, and told for people', async (t) => {
  const { app } = await room(t);
  for (const id of [7, 8]) await backend(app).trigger('room', 'message', { user: { id } });
  await app.until(delivered({ count: 2 }));
  const { entries } = await app.log({ type: ['event', 'delivered'], channel: 'room', data: { 'user.id': 8 } });
  assert.deepEqual(entries.map((entry) => entry.type).sort(), ['delivered', 'event']);
  const first = await app.log({ limit: 1 });
  assert.equal(first.entries.length, 1);
  const rest = await app.log({ after: first.last });
  assert.equal(rest.entries.at(-1).seq, await app.last());
  assert.equal(rest.forgotten, 0);
  assert.match(await app.timeline(), /subscribed to room\n(.*\n)*.*delivered message on room/);
});

test('counts and connections', async (t) => {
  const { app, client } = await room(t);
  const counts = await app.counts();
  assert.deepEqual([counts.connections, counts.channels.room.subscribers, counts.logged.subscribed], [1, 1, 1]);
  const socket_id = client.connection.socket_id;
  assert.deepEqual(await app.connections(), [{ socket_id, user_id: null, channels: ['room'] }]);
});

test('a fault is listed while it is at work, and cleared', async () => {
  const app = await newApp();
  const fault = await app.fault({ type: 'http', status: 503, body: 'busy' });
  assert.ok(fault instanceof Fault);
  const [listed] = await app.faults();
  assert.deepEqual([listed.id, listed.type, listed.used], [fault.id, 'http', 0]);
  await assert.rejects(backend(app).trigger('room', 'message', {}), { status: 503, body: 'busy' });
  assert.equal(await fault.clear(), true);
  assert.equal(await fault.clear(), false);
  await backend(app).trigger('room', 'message', {});
  await app.until(event({ count: 1 }));
});

test('a fault ends with what disposes of it, and all of them at once', async () => {
  const app = await newApp();
  const faults = [
    { type: 'refuse_connections', code: 4100, reason: 'full', times: 1 },
    { type: 'frames', action: 'delay', delay_ms: 100, share: 0.5, seed: 7 },
    { type: 'ignore_pings', for_ms: 1000 },
    { type: 'http', hang: true, path: '/events' },
    { type: 'webhooks', status: 500 },
  ];
  const made = [];
  for (const fault of faults) made.push(await app.fault(fault));
  assert.deepEqual((await app.faults()).map((fault) => fault.type), faults.map((fault) => fault.type));
  await made[0][Symbol.asyncDispose]();
  assert.equal((await app.counts()).faults, 4);
  assert.equal(await app.clearFaults(), 4);
  assert.deepEqual(await app.faults(), []);
});

test('frames are dropped', async (t) => {
  const { app, channel } = await room(t);
  await app.fault({ type: 'frames', action: 'drop', channel: 'room', times: 1 });
  const message = heard(channel, 'message');
  await backend(app).trigger('room', 'message', 'lost');
  await backend(app).trigger('room', 'message', 'found');
  assert.equal(await message, 'found');
  await app.until(logged({ type: 'fault' }, 1));
});

test('connections are refused', async (t) => {
  const app = await newApp();
  await app.fault({ type: 'refuse_connections', code: 4100, reason: 'full' });
  const { error } = await heard(connect(t, app).connection, 'error');
  assert.equal(error.data.code, 4100);
  await app.until(refused({ code: 4100, reason: 'full' }));
});

test('connections are closed, and come back', async (t) => {
  const { app, client } = await room(t);
  const socket_id = client.connection.socket_id;
  assert.deepEqual(await app.close({ socket_id, code: 4200, reason: 'a test' }), [socket_id]);
  await app.until(logged({ type: 'disconnected', socket_id, code: 4200 }, 1));
  await app.until(subscribers('room', 1));
  assert.equal((await app.close({ channel: 'room', abrupt: true })).length, 1);
  await app.until(logged({ type: 'subscribed' }, 3));
  await assert.rejects(app.close({ user_id: 'nobody' }), { status: 404, message: /there is no connection/ });
  assert.equal((await app.close()).length, 1);
});

test('time passes at once', async (t) => {
  const app = await newApp();
  await backend(app).trigger('cache-room', 'message', 'remembered for half an hour');
  const remembered = heard(connect(t, app).subscribe('cache-room'), 'message');
  assert.equal(await remembered, 'remembered for half an hour');
  assert.equal(await app.advance(900_000), 900_000);
  assert.equal(await app.advance(900_001), 1_800_001);
  assert.equal((await app.counts()).advanced_ms, 1_800_001);
  await heard(connect(t, app).subscribe('cache-room'), 'pusher:cache_miss');
});

test('time passes until something is due', async (t) => {
  const app = await newApp({ settings: { cache_ttl_seconds: 1000 } });
  await backend(app).trigger('cache-room', 'message', 'remembered for a while');
  const { by_ms, advanced_ms, due } = await app.advanceToNext();
  assert.deepEqual([due, advanced_ms], [['cache_expiry'], by_ms]);
  assert.ok(by_ms > 900_000 && by_ms <= 1_000_000, `${by_ms}`);
  await assert.rejects(app.advanceToNext(), { status: 404, message: /nothing is due/ });
  await heard(connect(t, app).subscribe('cache-room'), 'pusher:cache_miss');
});

test('what may wait for a connection, and how long one may be silent, can be said of one app', async (t) => {
  const app = await newApp({ settings: { connection: { activity_timeout_seconds: 77, ping_after_seconds: 3000 } } });
  const client = connect(t, app);
  await heard(client.connection, 'connected');
  const { by_ms, due } = await app.advanceToNext();
  assert.deepEqual(due, ['ping']);
  assert.ok(by_ms > 2_900_000 && by_ms <= 3_000_000, `${by_ms}`);
  const settings = { 'connection.outbox_byte': 9, 'limits.conections': 3 };
  await assert.rejects(newApp({ settings }), {
    status: 400,
    message: /did you mean "connection\.outbox_bytes"\?.*did you mean "limits\.connections"\?/,
  });
});

test('what has been mistyped is answered with what was meant', async () => {
  const app = await newApp();
  await assert.rejects(app.until({ type: 'subscriber', channel: 'room', count: 1 }), /did you mean "subscribers"\?/);
  await assert.rejects(app.until(event({ chanel: 'room' })), /did you mean "channel"\?/);
  await assert.rejects(app.log({ chanel: 'room' }), /did you mean "channel"\?/);
  await assert.rejects(app.fault({ type: 'frames', action: 'dorp' }), /did you mean "drop"\?/);
});

test('what has happened is forgotten, of one app or of all', async (t) => {
  const [{ app, client }, { app: other }] = [await room(t), await room(t)];
  await app.fault({ type: 'ignore_pings' });
  await app.reset();
  assert.deepEqual([(await app.counts()).connections, await app.faults(), await app.timeline()], [1, [], '']);
  assert.notEqual(await other.timeline(), '');
  const again = heard(client.connection, 'connected');
  await app.reset({ connections: true });
  await again;
  // Not `shared.broker`: other tests of this file are not to be disturbed.
  await other.reset();
  assert.equal(await other.timeline(), '');
});

test('an app that is deleted is gone', async (t) => {
  const { app, client } = await room(t);
  const failed = heard(client.connection, 'error');
  await app.delete();
  assert.equal((await failed).data.code, 4001);
  await assert.rejects(app.timeline(), ControlError);
  await assert.rejects(shared.broker.app(app.id), { status: 404, message: /there is no app/ });
});

test('what disposes of an app deletes it', async () => {
  const app = await newApp();
  await app[Symbol.asyncDispose]();
  await assert.rejects(app.delete(), { status: 404 });
});
