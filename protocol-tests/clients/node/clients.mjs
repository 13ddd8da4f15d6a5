// pusher-js, release by release, in its build for Node, and what a test needs around it: options under the names
// that each major knows, waiting with a deadline instead of sleeping, and the raw record of what arrived.

import { randomUUID } from 'node:crypto';
import { createRequire } from 'node:module';
import { installedVersion } from './record.mjs';

const require = createRequire(import.meta.url);

// Release 4 asks what it runs on before it makes an encrypted channel. Node itself has the name since 21.
globalThis.navigator ??= { product: 'Node' };

/** The longest any single expectation may take. Reached only by a failing test. */
export const DEADLINE_MS = 10_000;

export const releases = [3, 4, 5, 6, 7, 8].map((major) => ({
  client: 'pusher-js',
  version: installedVersion(`pusher-js-${major}`),
  major,
  // Named by file, because the `main` of release 3 is the browser's build. Since 4.3 it knows encrypted channels.
  Pusher: require(`pusher-js-${major}/dist/node/pusher.js`),
  // Release 3 has no second argument for handlers; its users read `user_id` nowhere.
  tellsSender: major >= 4,
}));

/**
 * One pusher-js connection, ended with the test `t`. `member` is whom `auth`, the auth endpoint, lets join presence
 * channels and sign in; the rest are options of pusher-js.
 */
export function openClient(t, release, broker, { auth, member = {}, key = broker.key, ...options } = {}) {
  const client = new Client(release, broker, { auth, member, key, options });
  t.after(() => client.close());
  return client;
}

class Client {
  /** Every frame that arrived, in order, whether or not somebody listens: `{ event, channel, data, user_id }`. */
  frames = [];
  /** Every `error` of the connection, in order. */
  errors = [];
  /** Every state the connection took, in order. */
  states = [];
  #waiting = new Set();

  constructor(release, broker, { auth, member, key, options }) {
    this.pusher = new release.Pusher(key, {
      ...connectionOptions(release, broker),
      ...authorization(release, auth, member),
      ...options,
    });
    const { connection } = this.pusher;
    connection.bind('message', (frame) => this.#note(this.frames, frame));
    connection.bind('error', (error) => this.#note(this.errors, error));
    connection.bind('state_change', ({ current }) => this.#note(this.states, current));
  }

  get state() {
    return this.pusher.connection.state;
  }

  get socketId() {
    return this.pusher.connection.socket_id;
  }

  close() {
    this.pusher.disconnect();
  }

  async connected() {
    await this.until(() => this.state === 'connected', 'the connection to be established');
    return this;
  }

  /** Subscribes and returns pusher-js's channel once the broker has confirmed it. */
  async subscribe(name) {
    const channel = this.pusher.subscribe(name);
    await this.until(() => channel.subscribed, `the subscription to ${name} to succeed`);
    return channel;
  }

  /** Subscribes and returns what the application's handler for a refused subscription is given. */
  async refusedSubscription(name) {
    const heard = new Promise((resolve) => this.pusher.subscribe(name).bind('pusher:subscription_error', resolve));
    return within(heard, `the subscription to ${name} to be refused`);
  }

  /** The first `count` frames of `event` on `channel`, as soon as there are so many. */
  async received(event, channel, count = 1) {
    const matching = () => this.frames.filter((frame) => frame.event === event && frame.channel === channel);
    await this.until(() => matching().length >= count, `${count} × ${event} on ${channel ?? 'the connection'}`);
    return matching();
  }

  /** The names of the events that arrived on `channel`, leaving out the protocol's own. */
  eventsOn(channel) {
    return this.frames
      .filter((frame) => frame.channel === channel && !frame.event.startsWith('pusher'))
      .map((frame) => frame.event);
  }

  /** Waits until `holds`, looking again whenever something arrives. */
  async until(holds, what, deadlineMs = DEADLINE_MS) {
    if (holds()) return;
    const settled = new Promise((resolve) => {
      const look = () => holds() && resolve(this.#waiting.delete(look));
      this.#waiting.add(look);
    });
    const { frames, errors } = this;
    const situation = () => `state ${this.state}, frames ${shown(frames)}, errors ${shown(errors)}`;
    await within(settled, what, situation, deadlineMs);
  }

  #note(record, entry) {
    record.push(entry);
    // pusher-js tells its own handlers after this one; look when they have run.
    setImmediate(() => this.#waiting.forEach((look) => look()));
  }
}

/** The last entries of a record, each cut to what fits a failure's message. */
function shown(record) {
  return (
    record
      .slice(-8)
      .map((entry) => JSON.stringify(entry).slice(0, 300))
      .join(' ') || 'none'
  );
}

/** `promise`, or a failure that says what was waited for. */
export async function within(promise, what, situation = () => 'nothing came', deadlineMs = DEADLINE_MS) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${deadlineMs} ms for ${what}; ${situation()}`)), deadlineMs);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** What the application's handler for `event` is given from now on: `next()` is one `[data, metadata]` after another. */
export function heard(channel, event) {
  const calls = [];
  let wake = () => {};
  channel.bind(event, (...args) => {
    calls.push(args);
    wake();
  });
  return {
    calls,
    async next() {
      if (calls.length === 0) await within(new Promise((resolve) => (wake = resolve)), `${event} on ${channel.name}`);
      return calls.shift();
    },
  };
}

/**
 * The code of the `pusher:error` or of the close frame inside an `error` of the connection, in any release's
 * wrapping. A close code may be told twice, once in each.
 */
export function errorCode(error) {
  return (error.error?.data ?? error.data)?.code;
}

/** A name no other test uses, so that tests may share one server. */
export function fresh(prefix) {
  return `${prefix}-${Math.random().toString(36).slice(2, 12)}`;
}

/** What every release needs to be told to connect to this broker. */
export function connectionOptions(release, broker) {
  return {
    cluster: 'mt1',
    wsHost: broker.host,
    wsPort: broker.port,
    httpHost: broker.host,
    httpPort: broker.port,
    enabledTransports: ['ws'],
    ...noTls(release),
    ...noStatistics(release),
  };
}

/**
 * The options by which a client gives all its connections this name, so that the broker knows it again. Releases before
 * 4.2.2 know no `wsPath`, and put the port before the path as it is.
 */
export function named({ major }, { port }, name = randomUUID()) {
  const path = `/r/${name}`;
  return { httpPath: path, ...(major === 3 ? { wsPort: `${port}${path}` } : { wsPath: path }) };
}

function noTls({ major }) {
  return major === 3 ? { encrypted: false } : { forceTLS: false };
}

/** Releases before 6 report statistics to a public host unless told not to. */
function noStatistics({ major }) {
  return major < 6 ? { disableStats: true } : { enableStats: false };
}

function authorization({ major }, endpoint, member) {
  if (!endpoint) return {};
  if (major < 7) return { authEndpoint: endpoint.url, auth: { params: member } };
  return {
    channelAuthorization: { endpoint: endpoint.url, transport: 'ajax', params: member },
    userAuthentication: { endpoint: endpoint.userUrl, transport: 'ajax', params: member },
  };
}
