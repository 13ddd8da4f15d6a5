// A small client of our own, so that the pages need nothing from the internet: it takes the place of pusher-js where that
// cannot be loaded. It knows what the pages use, under pusher-js's names, and binary messages:
//
//   const client = new Client('app-key', { wsHost, wsPort, wsPath, forceTLS, channelAuthorization: { endpoint } });
//   client.connection.bind('state_change', ({ previous, current }) => …);
//   const channel = client.subscribe('private-chat');
//   channel.bind('client-typing', (data) => …);
//   channel.trigger('client-typing', { who: 'ann' });
//
// It opens WebSockets only, keeps no list of members, and decrypts nothing.

import { dataOf, decode, encode } from './binary.js';

const PROTOCOL = 7;
/** How the broker's log calls it. */
const NAME = 'heliostat-pages';
const VERSION = '1.0';

/** A socket over which the broker has not greeted by then is given up. */
const GREETING_MS = 10_000;
/** Silence after which the broker is asked whether it is there, unless it names another time. */
const ACTIVITY_MS = 120_000;
const PONG_MS = 30_000;
/** The waits between attempts: the first, and what they double up to. */
const FIRST_RETRY_MS = 1000;
const LONGEST_RETRY_MS = 10_000;
const UNAVAILABLE_MS = 5000;
/** A connection that has lasted for so long makes up for the attempts that failed before. */
const STEADY_MS = 5000;

/** What a close code asks for: to stay away, or to come back `at once` or `later`. */
export function afterClose(code) {
  if (code >= 4200 && code < 4300) return 'at once';
  return (code >= 4000 && code < 4100) || code >= 4300 ? 'stay away' : 'later';
}

/** How long to wait before an attempt, when so many have failed since the last connection. */
export function retryMs(failures, chance = Math.random()) {
  // A little apart, so that not all clients of a broker that is back come at the same moment.
  return Math.min(FIRST_RETRY_MS * 2 ** failures, LONGEST_RETRY_MS) * (1 + chance / 4);
}

class Emitter {
  #bindings = new Map();

  bind(event, listener) {
    this.#bindings.set(event, [...this.#bindings.get(event) ?? [], listener]);
    return this;
  }

  emit(event, ...args) {
    for (const listener of this.#bindings.get(event) ?? []) listener(...args);
  }
}

class Channel extends Emitter {
  subscribed = false;
  #client;

  constructor(name, client) {
    super();
    this.name = name;
    this.#client = client;
  }

  /** Sends a client event; false where there is no connection. */
  trigger(event, data) {
    return this.#client.send({ event, channel: this.name, data });
  }
}

export class Client {
  connection = Object.assign(new Emitter(), { state: 'initialized', socket_id: null });
  /** How large a binary message may be; 0 until the broker has said that it takes them. */
  binaryLimit = 0;
  #url;
  #auth;
  #channels = new Map();
  #socket = null;
  #failures = 0;
  #activityMs = ACTIVITY_MS;
  #timers = {};

  constructor(key, { wsHost, wsPort, wsPath = '', forceTLS = false, binary = true, channelAuthorization, unavailableTimeout = UNAVAILABLE_MS }) {
    const query = `protocol=${PROTOCOL}&client=${NAME}&version=${VERSION}${binary ? '&binary=1' : ''}`;
    this.#url = `${forceTLS ? 'wss' : 'ws'}://${wsHost}:${wsPort}${wsPath}/app/${encodeURIComponent(key)}?${query}`;
    this.#auth = channelAuthorization ?? {};
    this.unavailableTimeout = unavailableTimeout;
    // A machine that is back in its network need not wait for the next attempt.
    globalThis.addEventListener?.('online', () => { if (this.#timers.retry) this.#open(); });
    this.connect();
  }

  /** Bytes that were handed to the socket and have not left it. */
  get unsentBytes() {
    return this.#socket?.bufferedAmount ?? 0;
  }

  connect() {
    if (this.#socket || this.#timers.retry) return;
    this.#failures = 0;
    this.#open();
  }

  disconnect() {
    this.#leave();
    this.#setState('disconnected');
  }

  channel(name) {
    return this.#channels.get(name);
  }

  subscribe(name) {
    const known = this.channel(name);
    if (known) return known;
    const channel = new Channel(name, this);
    this.#channels.set(name, channel);
    if (this.connection.state === 'connected') this.#join(channel);
    return channel;
  }

  unsubscribe(name) {
    if (this.#channels.delete(name)) this.send({ event: 'pusher:unsubscribe', data: { channel: name } });
  }

  /** Tells the broker something about a channel. */
  send_event(event, data, channel) {
    return this.send({ event, data, channel });
  }

  /** Sends a message; false where there is no connection. */
  send(message) {
    return this.#transmit(JSON.stringify(message));
  }

  /** Sends a client event as a binary message; false where there is no connection, or it would be too large. */
  sendBinary(channel, event, bytes, { mediaType, members = {} }) {
    const message = this.binaryLimit > 0 ? encode({ channel, event, mediaType, members, bytes }) : null;
    return message !== null && message.byteLength <= this.binaryLimit && this.#transmit(message);
  }

  #transmit(message) {
    // A socket may be on its way out before anybody is told.
    if (this.connection.state !== 'connected' || this.#socket.readyState > WebSocket.OPEN) return false;
    this.#socket.send(message);
    return true;
  }

  #open() {
    this.#leave();
    if (this.connection.state !== 'unavailable') this.#setState('connecting');
    const socket = new WebSocket(this.#url);
    socket.binaryType = 'arraybuffer';
    socket.onmessage = ({ data }) => this.#hear(data);
    socket.onclose = ({ code, reason }) => this.#lost(code, reason);
    // One that fails is closed as well.
    socket.onerror = () => {};
    this.#socket = socket;
    this.#timers.greeting = setTimeout(() => this.#lost(), GREETING_MS);
  }

  /** Lets go of the socket, if there is one, and of all that was to happen. */
  #leave() {
    if (this.#socket) {
      this.#socket.onmessage = null;
      this.#socket.onclose = null;
      this.#socket.close();
      this.#socket = null;
    }
    for (const name of ['greeting', 'activity', 'retry', 'steady']) {
      clearTimeout(this.#timers[name]);
      this.#timers[name] = null;
    }
    this.binaryLimit = 0;
    this.connection.socket_id = null;
    for (const channel of this.#channels.values()) channel.subscribed = false;
  }

  #lost(code = 1006, reason = '') {
    this.#leave();
    const next = afterClose(code);
    const error = code >= 4000 ? { type: 'PusherError', data: { code, message: reason } } : { type: 'WebSocketError' };
    if (next === 'stay away') {
      this.connection.emit('error', error);
      this.#setState('disconnected');
      return;
    }
    if (this.connection.state !== 'unavailable') this.#setState('connecting');
    this.connection.emit('error', error);
    // Whoever is sent away at once again and again waits all the same.
    const waitMs = next === 'at once' && this.#failures === 0 ? 0 : retryMs(this.#failures);
    this.#failures += 1;
    this.#timers.retry = setTimeout(() => this.#open(), waitMs);
    this.connection.emit('connecting_in', Math.round(waitMs / 1000));
  }

  #hear(data) {
    this.#watch();
    if (typeof data !== 'string') {
      const message = decode(data);
      if (message) this.#deliverBinary(message);
      return;
    }
    const message = parsed(data);
    if (typeof message?.event !== 'string') return;
    const content = typeof message.data === 'string' ? parsed(message.data) ?? message.data : message.data;
    switch (message.event) {
      case 'pusher:connection_established': return this.#greeted(content);
      case 'pusher:ping': return void this.send({ event: 'pusher:pong', data: {} });
      case 'pusher:pong': return undefined;
      case 'pusher:error': return this.connection.emit('error', { type: 'PusherError', data: content });
      default: return this.#deliver(message, content);
    }
  }

  #greeted({ socket_id: socketId, activity_timeout: activitySeconds, binary_message_bytes: binaryBytes }) {
    clearTimeout(this.#timers.greeting);
    this.#timers.steady = setTimeout(() => { this.#failures = 0; }, STEADY_MS);
    this.connection.socket_id = socketId;
    this.binaryLimit = binaryBytes ?? 0;
    this.#activityMs = Math.min(activitySeconds * 1000 || ACTIVITY_MS, ACTIVITY_MS);
    this.#watch();
    this.#setState('connected');
    for (const channel of this.#channels.values()) this.#join(channel);
  }

  #deliver({ event, channel: name }, data) {
    const channel = this.channel(name);
    if (event === 'pusher_internal:subscription_succeeded' && channel) channel.subscribed = true;
    channel?.emit(event.replace(/^pusher_internal:/, 'pusher:'), data);
  }

  #deliverBinary({ channel, event, mediaType, members, bytes }) {
    this.channel(channel)?.emit(event, dataOf({ mediaType, members, bytes }));
  }

  async #join(channel) {
    const { name } = channel;
    const socketId = this.connection.socket_id;
    let signed = {};
    if (/^(private|presence)-/.test(name)) {
      try {
        signed = await this.#sign(name, socketId);
      } catch ({ message, status }) {
        // The answer of a connection that is gone says nothing about the present one.
        if (socketId === this.connection.socket_id) {
          channel.emit('pusher:subscription_error', { type: 'AuthError', error: message, status });
        }
        return;
      }
    }
    if (socketId !== this.connection.socket_id || this.channel(name) !== channel) return;
    this.send({ event: 'pusher:subscribe', data: { ...signed, channel: name } });
  }

  async #sign(channel, socketId) {
    const { endpoint, params } = this.#auth;
    const body = new URLSearchParams({ socket_id: socketId, channel_name: channel, ...params });
    const answer = await fetch(endpoint, { method: 'POST', body });
    if (!answer.ok) throw Object.assign(new Error((await answer.text()).trim().slice(0, 200)), { status: answer.status });
    const { auth, channel_data: channelData } = await answer.json();
    return { auth, ...(channelData && { channel_data: channelData }) };
  }

  /** Notes a sign of life. When there has been none for long enough, the broker is asked for one. */
  #watch() {
    clearTimeout(this.#timers.activity);
    this.#timers.activity = setTimeout(() => {
      this.send({ event: 'pusher:ping', data: {} });
      this.#timers.activity = setTimeout(() => this.#lost(), PONG_MS);
    }, this.#activityMs);
  }

  #setState(current) {
    const { connection } = this;
    const previous = connection.state;
    if (current === previous) return;
    connection.state = current;
    clearTimeout(this.#timers.unavailable);
    if (current === 'connecting') this.#timers.unavailable = setTimeout(() => this.#setState('unavailable'), this.unavailableTimeout);
    connection.emit('state_change', { previous, current });
    connection.emit(current);
  }
}

/** What a text says in JSON; undefined if it is none. */
function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
