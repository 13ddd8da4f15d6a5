// The client that the example pages bring along for when pusher-js cannot be loaded, step by step: its sockets are the
// test's own, and so is its clock. The browser's tests run it against a broker.

import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, mock, test } from 'node:test';
import { Client, afterClose, retryMs } from '../../../examples/magic-mirror/client.js';
import { decode, encode } from '../../../examples/magic-mirror/binary.js';

class FakeSocket {
  static opened = [];
  sent = [];
  bufferedAmount = 0;
  closed = false;

  constructor(url) {
    this.url = url;
    FakeSocket.opened.push(this);
  }

  send(message) {
    this.sent.push(typeof message === 'string' ? JSON.parse(message) : message);
  }

  close() {
    this.closed = true;
  }

  hears(message) {
    this.onmessage?.({ data: message instanceof ArrayBuffer ? message : JSON.stringify(message) });
  }

  greets(more = {}) {
    const data = { socket_id: `1.${FakeSocket.opened.length}`, activity_timeout: 30, ...more };
    this.hears({ event: 'pusher:connection_established', data: JSON.stringify(data) });
  }

  ends(code, reason = '') {
    this.onclose?.({ code, reason });
  }
}

const newest = () => FakeSocket.opened.at(-1);
const OPTIONS = { wsHost: 'broker.example', wsPort: 6001, wsPath: '/light', channelAuthorization: { endpoint: 'http://broker.example/dev/auth' } };

describe('the pages’ own client', () => {
  const { WebSocket, fetch } = globalThis;
  beforeEach(() => {
    FakeSocket.opened = [];
    globalThis.WebSocket = FakeSocket;
    mock.timers.enable({ apis: ['setTimeout'] });
  });
  afterEach(() => {
    mock.timers.reset();
    Object.assign(globalThis, { WebSocket, fetch });
  });

  const open = (options = {}) => {
    const client = new Client('app-key', { ...OPTIONS, ...options });
    const errors = [];
    client.connection.bind('error', (error) => errors.push(error));
    return Object.assign(client, { errors });
  };

  // Proves: pages.
  test('names the protocol, the app and the prefix, and asks for binary messages unless they are unwanted', () => {
    open();
    assert.match(newest().url, /^ws:\/\/broker\.example:6001\/light\/app\/app-key\?protocol=7&client=heliostat-pages&version=[\d.]+&binary=1$/);
    open({ forceTLS: true, wsPath: '', binary: false });
    assert.match(newest().url, /^wss:\/\/broker\.example:6001\/app\/app-key\?[^?]*version=[\d.]+$/);
  });

  // Every range of close codes, and its ends.
  // Proves: pages.
  test('obeys the ranges of close codes', () => {
    const codes = {
      'stay away': [4000, 4001, 4009, 4099, 4300, 4999],
      'at once': [4200, 4299],
      later: [1000, 1001, 1006, 1009, 1011, 4100, 4199],
    };
    for (const [what, list] of Object.entries(codes)) {
      for (const code of list) {
        assert.equal(afterClose(code), what, `${code}`);
        const client = open();
        const socket = newest();
        socket.greets();
        const before = FakeSocket.opened.length;
        socket.ends(code, 'because');
        assert.equal(client.connection.state, what === 'stay away' ? 'disconnected' : 'connecting', `${code}`);
        assert.equal(client.errors.at(-1).data?.code, code >= 4000 ? code : undefined);
        mock.timers.tick(0);
        assert.equal(FakeSocket.opened.length - before, what === 'at once' ? 1 : 0, `${code} at once`);
        mock.timers.tick(1250);
        assert.equal(FakeSocket.opened.length - before, what === 'stay away' ? 0 : 1, `${code} later`);
        client.disconnect();
      }
    }
  });

  // Proves: pages.
  test('waits longer from attempt to attempt, up to ten seconds, and a little apart from others', () => {
    const waits = [0, 1, 2, 3, 4, 20].map((failures) => retryMs(failures, 0));
    assert.deepEqual(waits, [1000, 2000, 4000, 8000, 10_000, 10_000]);
    assert.equal(retryMs(0, 1), 1250);
    const client = open();
    for (let attempt = 1; attempt <= 4; attempt += 1) {
      newest().ends(1006);
      mock.timers.tick(retryMs(attempt - 1, 1));
      assert.equal(FakeSocket.opened.length, attempt + 1);
    }
    assert.equal(client.connection.state, 'unavailable');
    newest().greets();
    assert.equal(client.connection.state, 'connected');
  });

  // A broker that lets everybody in and sends everybody away would else be asked as fast as it answers.
  // Proves: pages.
  test('does not come back at once again and again', () => {
    open();
    for (const _ of [1, 2, 3]) {
      newest().greets();
      newest().ends(4200);
      mock.timers.tick(0);
    }
    assert.equal(FakeSocket.opened.length, 2);
  });

  // Proves: pages.
  test('answers pings, asks a silent broker, and gives a dead line up', () => {
    const client = open();
    const socket = newest();
    socket.greets({ activity_timeout: 30 });
    socket.hears({ event: 'pusher:ping', data: {} });
    assert.deepEqual(socket.sent, [{ event: 'pusher:pong', data: {} }]);
    mock.timers.tick(29_999);
    socket.hears({ event: 'pusher:pong', data: {} });
    mock.timers.tick(30_000);
    assert.deepEqual(socket.sent.at(-1), { event: 'pusher:ping', data: {} });
    mock.timers.tick(29_999);
    assert.equal(client.connection.state, 'connected');
    mock.timers.tick(1);
    assert.equal(client.connection.state, 'connecting');
    assert.ok(socket.closed);
    assert.deepEqual(client.errors, [{ type: 'WebSocketError' }]);
  });

  // Proves: pages.
  test('gives up a socket over which nobody greets', () => {
    open();
    mock.timers.tick(10_000);
    assert.ok(FakeSocket.opened[0].closed);
    mock.timers.tick(1250);
    assert.equal(FakeSocket.opened.length, 2);
  });

  // Proves: pages.
  test('signs private channels for the socket of now, and subscribes again on the next', async () => {
    const asked = [];
    globalThis.fetch = async (url, { body }) => {
      asked.push([url, String(body)]);
      return { ok: true, json: async () => ({ auth: `app-key:${body.get('socket_id')}`, channel_data: '{"user_id":"ann"}' }) };
    };
    const client = open();
    const [news, room] = [client.subscribe('news'), client.subscribe('presence-room')];
    assert.equal(client.subscribe('news'), news);
    const heard = [];
    for (const [index, id] of ['1.1', '1.2'].entries()) {
      const socket = newest();
      socket.greets();
      await settled();
      assert.deepEqual(socket.sent, [
        { event: 'pusher:subscribe', data: { channel: 'news' } },
        { event: 'pusher:subscribe', data: { channel: 'presence-room', auth: `app-key:${id}`, channel_data: '{"user_id":"ann"}' } },
      ]);
      assert.deepEqual(asked[index], ['http://broker.example/dev/auth', `socket_id=${id}&channel_name=presence-room`]);
      assert.ok(!room.subscribed);
      socket.hears({ event: 'pusher_internal:subscription_succeeded', channel: 'presence-room', data: '{}' });
      assert.ok(room.subscribed);
      if (index === 0) news.bind('greet', (data) => heard.push(data));
      socket.hears({ event: 'greet', channel: 'news', data: '{"a":1}' });
      socket.hears({ event: 'greet', channel: 'news', data: 'no JSON' });
      socket.ends(1006);
      assert.ok(!room.subscribed);
      assert.equal(room.trigger('client-wave', {}), false, 'there is nobody to send to');
      mock.timers.tick(retryMs(index, 1));
    }
    assert.deepEqual(heard, [{ a: 1 }, 'no JSON', { a: 1 }, 'no JSON']);
  });

  // Proves: pages.
  test('says why a subscription was not signed, unless the connection is another by now', async () => {
    let answer;
    globalThis.fetch = () => new Promise((resolve) => { answer = () => resolve({ ok: false, status: 403, text: async () => 'not you\n' }); });
    const client = open();
    const said = [];
    client.subscribe('private-room').bind('pusher:subscription_error', (error) => said.push(error));
    newest().greets();
    const late = answer;
    newest().ends(4200);
    mock.timers.tick(0);
    newest().greets();
    late();
    await settled();
    assert.deepEqual(said, []);
    answer();
    await settled();
    assert.deepEqual(said, [{ type: 'AuthError', error: 'not you', status: 403 }]);
  });

  // Proves: pages, video.
  test('sends and hears binary messages where the broker takes them', async () => {
    const client = open();
    assert.equal(client.sendBinary('mirror', 'frame', new Uint8Array(3), { mediaType: 'image/jpeg' }), false);
    newest().greets({ binary_message_bytes: 100 });
    assert.equal(client.binaryLimit, 100);
    assert.equal(client.sendBinary('mirror', 'frame', new Uint8Array([1, 2]), { mediaType: 'image/jpeg', members: { a: 1 } }), true);
    const { channel, event, members, bytes } = decode(newest().sent[0].buffer);
    assert.deepEqual({ channel, event, members, bytes: [...bytes] }, { channel: 'mirror', event: 'frame', members: { a: 1 }, bytes: [1, 2] });
    assert.equal(client.sendBinary('mirror', 'frame', new Uint8Array(100), { mediaType: 'image/jpeg' }), false, 'too large');

    const heard = [];
    client.subscribe('mirror').bind('frame', (data) => heard.push(data));
    newest().hears(encode({ channel: 'mirror', event: 'frame', mediaType: 'image/png', members: { b: 2 }, bytes: new Uint8Array([7]) }).buffer);
    const [{ blob, b }] = heard;
    assert.deepEqual([b, blob.type, [...new Uint8Array(await blob.arrayBuffer())]], [2, 'image/png', [7]]);
    newest().hears(new ArrayBuffer(3));
    newest().onmessage({ data: 'no JSON' });
    newest().onmessage({ data: 'null' });
    assert.equal(client.connection.state, 'connected');
  });

  // Proves: pages.
  test('stays away when it is told to, and comes back when it is told to', () => {
    const client = open();
    newest().greets();
    client.disconnect();
    assert.equal(client.connection.state, 'disconnected');
    mock.timers.tick(60_000);
    assert.equal(FakeSocket.opened.length, 1);
    client.connect();
    newest().greets();
    assert.equal(client.connection.state, 'connected');
    newest().hears({ event: 'pusher:error', data: { code: 4301, message: 'too many' } });
    assert.deepEqual(client.errors.at(-1), { type: 'PusherError', data: { code: 4301, message: 'too many' } });
  });
});

/** Lets promises that are settled run what waits for them. */
function settled() {
  return new Promise((resolve) => { setImmediate(resolve); });
}
