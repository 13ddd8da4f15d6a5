// pusher-js, release by release, over each of the HTTP transports it falls back to.

import assert from 'node:assert/strict';
import { APP } from './broker.mjs';
import { openBrowser, openPage } from './browser.mjs';
import { cleanup } from './cleanup.mjs';
import { serve } from './serve.mjs';

/** Where each release keeps its builds for browsers. 3.0.0 is the oldest that npm has. */
export const RELEASES = [
  { version: '3.0.0', folder: 'pusher-js-3/dist' },
  { version: '4.4.0', folder: 'pusher-js-4/dist/web' },
  { version: '7.6.0', folder: 'pusher-js-7/dist/web' },
  { version: '8.6.0', folder: 'pusher-js/dist/web' },
];
export const TRANSPORTS = ['xhr_streaming', 'xhr_polling', 'sockjs'];

/** Every release over every fallback. */
export const COMBINATIONS = RELEASES.flatMap((release) => TRANSPORTS.map((transport) => ({ release, transport })));

/** Parts that releases load from their own site when they come to need them: 3.0.0 its XHR, all of them SockJS. */
const LOADED_LATER = ['sockjs.js', 'xhr.js'];

/** Longer than a browser's 20 s, for machines on which all combinations take their turns. */
const DEADLINE_MS = 120_000;

/** The browser itself writes a line to the console for each request that does not succeed. */
const FAILED_REQUEST = /Failed to load resource|WebSocket connection to .* failed/;

/** A page with any number of connections by name, each with a record of everything that happened to it. */
const page = ({ folder }) => `<!doctype html>
<link rel="icon" href="data:,">
<script src="/node_modules/${folder}/pusher.js"></script>
<body><script>
  var clients = {};
  // There pusher-js remembers which transport worked last, for all connections of an origin alike.
  Object.defineProperty(window, 'localStorage', { get: function () { throw new Error('not here'); } });
  function open(name, key, options) {
    var pusher = new Pusher(key, options);
    var client = clients[name] = { pusher: pusher, states: [], errors: [], messages: [], events: [], heartbeats: 0 };
    pusher.connection.bind('state_change', function (change) { client.states.push(change.current); });
    pusher.connection.bind('error', function (error) { client.errors.push(error); });
    pusher.connection.bind('message', function (message) { client.messages.push(message); });
  }
  // The code of a pusher:error or of a close, in any release's wrapping.
  function codes(client) {
    return client.errors.map(function (error) { return ((error.error || error).data || {}).code; });
  }
</script>`;

/**
 * A browser for many tests, which takes the site of pusher-js for ours.
 *
 * @param {{ after: (work: () => unknown) => void }} t  whose end is the browser's
 */
export async function openStage(t) {
  const later = RELEASES.flatMap(({ version, folder }) => (
    LOADED_LATER.map((file) => [`/${version}/${file}`, `${folder}/${file}`])
  ));
  const origin = await serve(t, {
    pages: Object.fromEntries(RELEASES.map((release) => [`/${release.version}.html`, page(release)])),
    libraries: Object.fromEntries(later),
  });
  const browser = await openBrowser(t, {
    camera: 'none', args: [`--host-resolver-rules=MAP js.pusher.com ${new URL(origin).host}`],
  });
  return new Stage(t, browser, origin);
}

class Stage {
  #pages = new Map();
  #count = 0;

  constructor(t, browser, origin) {
    this.t = t;
    this.browser = browser;
    this.origin = origin;
  }

  /**
   * One more connection, ended with the test. Connections of one user and release share a page, because pages are slow
   * to open; a browser allows a user six requests at once to a broker.
   *
   * @param {object} [options]  `user` and `key`, `page` for a page of its own, and the rest for pusher-js
   */
  async open(t, release, broker, { user = 'ann', key = APP.key, page = null, ...options } = {}) {
    page ??= await this.#page(release, user);
    const name = `client-${this.#count += 1}`;
    await page.evaluate((parts) => globalThis.open(...parts), [name, key, {
      cluster: 'mt1',
      wsHost: broker.host, wsPort: broker.port, wssPort: broker.port,
      httpHost: broker.host, httpPort: broker.port, httpsPort: broker.port,
      // The first is today's name for it, the second that of releases before 4.
      forceTLS: false, encrypted: false,
      authEndpoint: `${broker.url}/dev/auth`, auth: { params: { user_id: user } },
      disableStats: true,
      ...options,
    }]);
    const client = new Client(page, name);
    cleanup(t, () => client.end());
    return client;
  }

  #page(release, user) {
    const whose = `${release.version} ${user}`;
    if (!this.#pages.has(whose)) this.#pages.set(whose, this.newPage(this.t, release));
    return this.#pages.get(whose);
  }

  /** A page for one test. */
  async newPage(t, release) {
    const context = await this.browser.newContext();
    cleanup(t, () => context.close());
    const opened = await openPage(t, context, `${this.origin}/${release.version}.html`, { forgive: FAILED_REQUEST });
    opened.setDefaultTimeout(DEADLINE_MS);
    return opened;
  }
}

/** One connection of a page. */
class Client {
  constructor(page, name) {
    this.page = page;
    this.name = name;
  }

  /** What `work` makes of the client and `argument`, in the page. */
  #do(work, argument) {
    return this.page.evaluate(`(${work})(clients[${JSON.stringify(this.name)}], ${JSON.stringify(argument)})`);
  }

  /** Waits until that is true; where it does not become so, the error says what the client has seen instead. */
  async #until(work, argument) {
    try {
      await this.page.waitForFunction(`(${work})(clients[${JSON.stringify(this.name)}], ${JSON.stringify(argument)})`);
    } catch (error) {
      const { states, errors, messages } = await this.seen();
      const heard = messages.map(({ event }) => event);
      throw new Error(`${error.message} Seen: ${JSON.stringify({ states, errors, heard })}`, { cause: error });
    }
  }

  /** Waits until the connection stands, and checks what carries it. */
  async connected(transport) {
    await this.state('connected');
    assert.equal(await this.#do(({ pusher }) => pusher.connection.connection.transport.name), transport);
    return this;
  }

  state(name) {
    return this.#until(({ pusher }, state) => pusher.connection.state === state, name);
  }

  socketId() {
    return this.#do(({ pusher }) => pusher.connection.socket_id);
  }

  /** Waits until there is a connection other than that of `socketId`. */
  another(socketId) {
    return this.#until(({ pusher: { connection: { state, socket_id: id } } }, before) => (
      state === 'connected' && id !== before
    ), socketId);
  }

  /** Subscribes, notes `event` from then on, and returns once the broker has agreed. */
  async subscribe(channel, event) {
    await this.#do((client, [name, noted]) => {
      client.pusher.subscribe(name).bind(noted, (data) => client.events.push([name, noted, data]));
    }, [channel, event]);
    await this.subscribed(channel);
  }

  subscribed(channel) {
    return this.#until(({ pusher }, name) => pusher.channel(name).subscribed, channel);
  }

  trigger(channel, event, data) {
    return this.#do(({ pusher }, [name, ...sent]) => pusher.channel(name).trigger(...sent), [channel, event, data]);
  }

  /** Waits for the handler of `event` on `channel` to be given `data`. */
  heard(channel, event, data) {
    const wanted = JSON.stringify([channel, event, data]);
    return this.#until(({ events }, text) => events.some((one) => JSON.stringify(one) === text), wanted);
  }

  /** The ids of the members of a presence channel, once there are `count`. */
  async members(channel, count) {
    await this.#until(({ pusher }, [name, wanted]) => pusher.channel(name).members.count === wanted, [channel, count]);
    return this.#do(({ pusher }, name) => Object.keys(pusher.channel(name).members.members).sort(), channel);
  }

  /** Waits until the connection has told an error of this code. */
  refusal(code) {
    return this.#until((client, wanted) => globalThis.codes(client).includes(wanted), code);
  }

  /**
   * Counts from now on what the transport itself takes for a sign of life. pusher-js is told of none by SockJS, whose own
   * are counted then.
   */
  countHeartbeats() {
    return this.#do((client) => {
      const { connection } = client.pusher.connection;
      const { name, socket } = connection.transport;
      const note = () => { client.heartbeats += 1; };
      if (name === 'sockjs') socket.addEventListener('heartbeat', note);
      else connection.bind('activity', note);
    });
  }

  /** Which of its own transports SockJS has chosen: on a slow machine it goes on to the next, down to one that polls. */
  carrier() {
    return this.#do(({ pusher }) => pusher.connection.connection.transport.socket.protocol);
  }

  heartbeats(count) {
    return this.#until(({ heartbeats }, wanted) => heartbeats >= wanted, count);
  }

  /** Waits until so many messages of this event have come. */
  messages(event, count) {
    return this.#until(({ messages }, [name, wanted]) => (
      messages.filter((one) => one.event === name).length >= wanted
    ), [event, count]);
  }

  /** What the page noted, and whether it means to connect again. */
  seen() {
    return this.#do((client) => {
      const { states, errors, messages, pusher } = client;
      const triesAgain = Boolean(pusher.connection.retryTimer);
      return { states, errors, messages, codes: globalThis.codes(client), triesAgain };
    });
  }

  async end() {
    if (!this.page.isClosed()) await this.#do(({ pusher }) => pusher.disconnect());
  }
}
