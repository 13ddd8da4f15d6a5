// The reconnect profile of anycable/nodejs-websocket-bench, rebuilt from its description: a channel on which messages are
// published at a steady pace, and clients whose every TCP connection is cut after a while and which then reach nobody for
// some seconds. What each of them has been sent in the end is held against what was published.

import { performance } from 'node:perf_hooks';
import { reconnectSooner } from '../../../../examples/magic-mirror/reconnect.js';
import { connectionOptions, named, releases } from '../clients.mjs';
import { libraries } from '../libraries.mjs';
import { openLine } from '../line.mjs';

const CHANNEL = 'profile';
const EVENT = 'message';
const newest = releases.at(-1);

/** Each cut comes this much sooner or later than the profile says. */
const JITTER = 0.2;
/** How long clients are waited for, at the beginning and at the end. */
const BEGIN_MS = 60_000;
const END_MS = 100_000;
const LOOK_MS = 100;

/** The ways in which pages set the client up. */
export const VARIANTS = {
  ws: { about: "enabledTransports: ['ws']", options: { enabledTransports: ['ws'] } },
  fallbacks: { about: 'the fallbacks on', options: { enabledTransports: undefined } },
  helper: { about: 'the fallbacks and reconnect.js', options: { enabledTransports: undefined }, helper: true },
  // After the second cut pusher-js polls.
  requests: { about: 'no WebSockets, and reconnect.js', options: { enabledTransports: ['xhr_streaming', 'xhr_polling'] }, helper: true },
  echo: { about: 'Laravel Echo, the fallbacks and reconnect.js', options: { enabledTransports: undefined }, helper: true, echo: true },
};

/**
 * Runs the profile against a broker and returns what came of it.
 *
 * @param {object} broker
 * @param {{ variant: string, names: boolean, clients: number, messages: number, perSecond: number, cutEveryMs: number,
 *   offlineMs: number, seed: number }} profile  `names` says whether clients name their connections
 */
export async function run(broker, profile) {
  const random = generator(profile.seed);
  const clients = [];
  try {
    for (let n = 0; n < profile.clients; n++) clients.push(await Client.open(broker, profile));
    await all(clients, (client) => client.subscribed, BEGIN_MS, 'to subscribe');
    clients.forEach((client) => client.beginCuts(profile, random));
    const published = await publish(broker, profile);
    clients.forEach((client) => client.endCuts());
    const last = published.length;
    const done = (client) => client.hasAll(last) || client.isBack(published.at(-1));
    await all(clients, done, END_MS).catch(() => {});
    // Nothing tells that nothing more comes.
    await new Promise((resolve) => { setTimeout(resolve, 1_000); });
    return judge(clients, published, profile);
  } finally {
    await Promise.all(clients.map((client) => client.close()));
  }
}

/** One client, its line, and what it has seen. All times are those of this process's clock. */
class Client {
  /** `{ n, at }`, as they came. */
  received = [];
  /** `{ at, complete, events }`, as they came. */
  resumed = [];
  /** When the connection stood, each time. */
  greeted = [];
  /** When the line was cut. */
  cuts = [];
  subscribed = false;
  #line;
  #pusher;
  #timers = new Set();

  static async open(broker, { variant, names }) {
    const client = new Client();
    const line = await openLine(broker);
    const behind = { ...broker, host: line.host, port: line.port };
    const { options, helper, echo } = VARIANTS[variant];
    const all = { ...connectionOptions(newest, behind), httpsPort: line.port, wssPort: line.port, ...(names && named(newest, behind)), ...options };
    if (!all.enabledTransports) delete all.enabledTransports;
    client.#line = line;
    client.#pusher = echo ? await withEcho(broker.key, all) : new newest.Pusher(broker.key, all);
    client.#watch();
    if (helper) reconnectSooner(client.#pusher);
    return client;
  }

  #watch() {
    const { connection } = this.#pusher;
    connection.bind('error', () => {});
    connection.bind('state_change', ({ current }) => {
      if (current === 'connected') this.greeted.push(performance.now());
    });
    const channel = this.#pusher.subscribe(CHANNEL);
    channel.bind('pusher:subscription_succeeded', () => { this.subscribed = true; });
    channel.bind('pusher:resumed', (data) => this.resumed.push({ at: performance.now(), ...data }));
    channel.bind(EVENT, ({ n }) => this.received.push({ n, at: performance.now() }));
  }

  /** From now on the line is cut again and again, the first time within one such while; each time nobody is reached at first. */
  beginCuts({ cutEveryMs, offlineMs }, random) {
    const cutIn = (ms) => this.#after(ms, () => {
      this.cuts.push(performance.now());
      this.#line.cut();
      this.#after(offlineMs, () => this.#line.restore());
      cutIn(cutEveryMs * (1 - JITTER + 2 * JITTER * random()));
    });
    cutIn(cutEveryMs * random());
  }

  /** What is cut is cut, but nothing is from now on. */
  endCuts() {
    this.#timers.forEach(clearTimeout);
    this.#line.restore();
  }

  #after(ms, work) {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      work();
    }, ms);
    this.#timers.add(timer);
  }

  hasAll(count) {
    return new Set(this.received.map(({ n }) => n)).size >= count;
  }

  /** Whether it has been connected after `at` without being cut since, so that nothing keeps it from being sent what it missed. */
  isBack(at) {
    const greeted = this.greeted.at(-1);
    return this.#pusher.connection.state === 'connected' && (greeted > at || !(this.cuts.at(-1) > greeted)) && this.#pusher.channel(CHANNEL).subscribed;
  }

  close() {
    this.#timers.forEach(clearTimeout);
    this.#pusher.disconnect();
    return this.#line.close();
  }
}

async function withEcho(key, options) {
  const { default: exported } = await import('laravel-echo-2');
  const Echo = exported.default ?? exported;
  return new Echo({ broadcaster: 'pusher', key, Pusher: newest.Pusher, ...options }).connector.pusher;
}

/** Publishes the messages at their pace, and returns when each was handed to the broker. */
async function publish(broker, { messages, perSecond }) {
  const library = libraries.at(-1).connect(broker);
  const times = [];
  const start = performance.now();
  for (let n = 1; n <= messages; n++) {
    const due = start + ((n - 1) * 1000) / perSecond;
    await new Promise((resolve) => { setTimeout(resolve, Math.max(0, due - performance.now())); });
    times.push(performance.now());
    await library.trigger(CHANNEL, EVENT, { n });
  }
  return times;
}

async function all(clients, holds, patienceMs, what = '') {
  const deadline = performance.now() + patienceMs;
  for (;;) {
    const waiting = clients.filter((client) => !holds(client)).length;
    if (waiting === 0) return;
    if (performance.now() > deadline) throw new Error(`${waiting} of ${clients.length} clients took longer than ${patienceMs} ms ${what}`);
    await new Promise((resolve) => { setTimeout(resolve, LOOK_MS); });
  }
}

/** What came of a run: every figure of it is a count, or a time in milliseconds. */
function judge(clients, published, { variant, names, seed }) {
  const outcome = {
    variant, names, seed, clients: clients.length, published: published.length,
    lost: 0, duplicates: 0, disorder: 0, cuts: 0, complete: 0, incomplete: 0,
    /** How long before the cut of a line the messages were published that came twice. */
    repeatedMs: [],
    /** From publishing to arrival, of the first copy of each message. */
    delaysMs: [],
    /** Of that, what came after the client was connected and the message was published. */
    beyondReturnMs: [],
    /** From a cut to the client's being connected again. */
    returnsMs: [],
  };
  for (const client of clients) {
    const seen = new Set();
    let newestSeen = 0;
    for (const { n, at } of client.received) {
      const publishedAt = published[n - 1];
      if (seen.has(n)) {
        outcome.duplicates += 1;
        // The connection before the one that it came on was cut by the first cut after it had stood.
        const [before] = client.greeted.filter((time) => time <= at).slice(-2);
        outcome.repeatedMs.push((client.cuts.find((cut) => cut > before) ?? at) - publishedAt);
        continue;
      }
      seen.add(n);
      if (n < newestSeen) outcome.disorder += 1;
      newestSeen = Math.max(newestSeen, n);
      outcome.delaysMs.push(at - publishedAt);
      outcome.beyondReturnMs.push(at - Math.max(publishedAt, client.greeted.findLast((time) => time <= at)));
    }
    outcome.lost += published.length - seen.size;
    outcome.cuts += client.cuts.length;
    for (const cut of client.cuts) {
      const back = client.greeted.find((time) => time > cut);
      if (back) outcome.returnsMs.push(back - cut);
    }
    // The first answer is that of a name that is new.
    for (const { complete } of client.resumed.slice(1)) outcome[complete ? 'complete' : 'incomplete'] += 1;
  }
  for (const times of ['repeatedMs', 'delaysMs', 'beyondReturnMs', 'returnsMs']) outcome[times].sort((a, b) => a - b);
  return outcome;
}

/** Numbers between 0 and 1, the same ones for the same seed (mulberry32). */
function generator(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
