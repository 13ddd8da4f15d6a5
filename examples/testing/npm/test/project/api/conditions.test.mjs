// What can be waited for, with real clients and a real backend.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import http, { createServer } from 'node:http';
import { test } from 'node:test';
import {
  connections, delivered, event, logged, members, NotMet, nothing, refused, signedIn, subscribers, webhook,
} from 'heliostat-testing';
import { backend, connect, sharedBroker } from './support.mjs';

const shared = sharedBroker();
const newApp = (options) => shared.broker.createApp(options);

test('connections and subscribers are waited for', async (t) => {
  const app = await newApp();
  const waiting = app.until(subscribers('room', 2));
  for (const user of ['ann', 'bob']) connect(t, app, { user }).subscribe('room');
  const outcome = await waiting;
  assert.deepEqual([outcome.met, outcome.found], [true, 2]);
  await app.until(connections({ at_least: 1, at_most: 2 }));
});

test('an event is waited for by its payload, and delivered once to each', async (t) => {
  const app = await newApp();
  for (const user of ['ann', 'bob']) connect(t, app, { user }).subscribe('room');
  await app.until(subscribers('room', 2));
  await backend(app).trigger('room', 'message', { user: { id: 7 }, text: 'hello' });
  const common = { channel: 'room', name: 'message' };
  for (const data of [
    { 'user.id': 7, text: 'hello' },
    [{ path: 'user.id', equals: 7 }, { path: 'text' }],
    [{ equals: { user: { id: 7 }, text: 'hello' } }],
  ]) {
    await app.until(event({ ...common, data, source: 'http', count: 1 }));
  }
  await app.until(delivered({ ...common, sockets: 2, count: 2 }), { holdsMs: 20 });
  await assert.rejects(app.until(event({ ...common, data: { 'user.id': 8 } }), { timeoutMs: 20 }), NotMet);
  await assert.rejects(app.until(event({ ...common, data: 'hello' }), { timeoutMs: 20 }), NotMet);
});

test('a payload that is no object is compared as a whole', async () => {
  const app = await newApp();
  const payloads = ['hello', 7, true, null];
  for (const data of payloads) await backend(app).trigger('room', 'message', data);
  for (const data of payloads) await app.until(event({ data, count: 1 }));
});

test('members are counted, or named', async (t) => {
  const app = await newApp();
  for (const user of ['ann', 'bob']) connect(t, app, { user }).subscribe('presence-room');
  await app.until(members('presence-room', 2));
  await app.until(members('presence-room', ['bob', 'ann']));
  await assert.rejects(app.until(members('presence-room', ['ann']), { timeoutMs: 20 }), NotMet);
});

test('users are waited for until they are signed in', async (t) => {
  const app = await newApp();
  connect(t, app, { user: 'ann' }).signin();
  await app.until(signedIn('ann'));
  await app.until(signedIn('ann', 1));
  await assert.rejects(app.until(signedIn('bob'), { timeoutMs: 20 }), NotMet);
});

test('webhooks are waited for until their endpoint has taken them', async (t) => {
  const endpoint = createServer((request, response) => request.resume().on('end', () => response.end('{}')));
  endpoint.listen(0, '127.0.0.1');
  await once(endpoint, 'listening');
  t.after(() => endpoint.close());
  const url = `http://127.0.0.1:${endpoint.address().port}/webhook`;
  const app = await newApp({ webhooks: [{ url, events: ['presence'], channels: 'presence-*' }] });
  connect(t, app, { user: 'ann' }).subscribe('presence-room');
  const { entries } = await app.until(
    webhook({ name: 'member_added', channel: 'presence-room', user_id: 'ann', path: '/webhook', count: 1 }),
  );
  assert.equal(JSON.parse(entries[0].data).user_id, 'ann');
});

test('refusals are waited for: of a request, and of what a client asks for', async (t) => {
  const app = await newApp();
  const intruder = backend({ serverOptions: { ...app.serverOptions, secret: 'wrong' } });
  await assert.rejects(intruder.trigger('room', 'message', {}));
  await app.until(refused({ status: 401, reason: 'Invalid signature', count: 1 }));
  connect(t, app, {
    channelAuthorization: { customHandler: (_, done) => done(null, { auth: `${app.key}:wrong` }) },
  }).subscribe('private-room');
  await app.until(refused({ channel: 'private-room', count: 1 }));
});

test('entries of the log are waited for, and their absence', async (t) => {
  const app = await newApp();
  const client = connect(t, app);
  client.subscribe('room');
  await app.until(logged({ type: ['channel_occupied', 'subscribed'], channel: 'room' }, 2));
  await app.until(logged({ type: 'connected' }));
  const later = logged({ type: 'subscribed' }, 1, { after: await app.last() });
  await assert.rejects(app.until(later, { timeoutMs: 20 }), NotMet);
  const quiet = nothing(50, { type: 'unsubscribed' });
  const outcome = await app.until(quiet);
  assert.ok(outcome.waited_ms >= 50);
  const waiting = app.until({ ...quiet, after: await app.last(), for_ms: 60_000 });
  client.unsubscribe('room');
  await assert.rejects(waiting, NotMet);
});

test("a condition in the control API's own words is one, too", async () => {
  const app = await newApp();
  await app.until({ type: 'connections', count: 0 });
  await app.until({ type: 'nothing', for_ms: 1, filter: { data: [{ path: 'user.id', equals: 7 }] } });
});

test('what is not met says so in one sentence, from the line of the test', async () => {
  const app = await newApp();
  const error = await app.until(subscribers('room', 2), { timeoutMs: 20 }).then(assert.fail, (error) => error);
  assert.ok(error instanceof NotMet && error instanceof assert.AssertionError);
  assert.match(error.message, /^expected "room" to have exactly 2 subscribers, it has 0, after \d+ ms$/);
  assert.deepEqual([error.outcome.met, error.outcome.found], [false, 0]);
  const [first, second] = error.stack.split('\n');
  assert.equal(first, `NotMet: ${error.message}`);
  assert.match(second, /conditions\.test\.mjs/);
});

test('what comes about in time is given its time to hold', async () => {
  const app = await newApp();
  const outcome = await app.until(connections(0), { timeoutMs: 20, holdsMs: 100 });
  assert.ok(outcome.waited_ms >= 100);
});

test('a request has more time than the broker is asked to wait', async (t) => {
  const app = await newApp();
  const { mock } = t.mock.method(http, 'request');
  const asked = (index) => mock.calls[index].arguments[1].timeout;
  await app.until(connections(0), { timeoutMs: 600_000 });
  await app.until(nothing(50), { timeoutMs: 0 });
  await app.until(connections(0), { timeoutMs: 0, holdsMs: 60 });
  assert.ok(asked(0) > 600_000);
  assert.equal(asked(1) - asked(0), 50 - 600_000);
  assert.equal(asked(2) - asked(0), 60 - 600_000);
});

test("an app's own patience holds where nothing is said", async () => {
  const app = await newApp();
  app.timeoutMs = 20;
  const error = await app.until(connections(1)).then(assert.fail, (error) => error);
  assert.ok(error.outcome.waited_ms < 4000, error.message);
});

test('an app that ends ends the waiting', async () => {
  const app = await newApp();
  // Whichever of the two requests comes first.
  const refusal = assert.rejects(app.until(connections(1)), { message: /but the app or its broker ended$|there is no app/ });
  await app.delete();
  await refusal;
});

test('what is not met says what nearly met it, and marks where it gave up', async (t) => {
  const app = await newApp();
  connect(t, app, { user: 'ann' }).subscribe('presence-lobby');
  await app.until(members('presence-lobby', ['ann']));
  await backend(app).trigger('presence-lobby', 'message', { user: { id: 7 } });
  await app.until(delivered({ name: 'message' }));
  for (const [condition, near] of [
    [subscribers('presence-loby', 1), /^"presence-lobby" has 1 subscribed, 1 members$/],
    [event({ channel: 'presence-lobby', name: 'message', data: { 'user.id': 8 } }), /message on presence-lobby .*\(another data\)$/],
    [webhook({ channel: 'presence-lobby', name: 'message' }), /\(of type delivered\)$/],
  ]) {
    const error = await app.until(condition, { timeoutMs: 20 }).then(assert.fail, (error) => error);
    assert.ok(error instanceof NotMet);
    const found = error.outcome.near.find((line) => near.test(line));
    assert.ok(found, JSON.stringify(error.outcome.near));
    assert.ok(error.message.includes(`it was nearly met by: `) && error.message.includes(found), error.message);
  }
  const { entries } = await app.log({ type: 'gave_up' });
  assert.equal(entries.length, 3);
  assert.match(entries[0].reason, /^expected "presence-loby" to have exactly 1 subscriber/);
  assert.match(await app.timeline(), / s {2}GAVE UP expected "presence-loby" to have exactly 1 subscriber/);
});
