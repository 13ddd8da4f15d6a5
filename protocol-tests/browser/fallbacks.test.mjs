// pusher-js over each of the HTTP transports alone, as its users meet them: in a browser, from another origin.

import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import PusherServer from 'pusher';
import { APP, startBroker } from './broker.mjs';
import { cleanup } from './cleanup.mjs';
import { forwarder } from './forwarder.mjs';
import { COMBINATIONS, RELEASES, TRANSPORTS, openStage } from './fallbacks.mjs';

/** All combinations at once: what takes time is waiting. */
const TOGETHER = { concurrency: COMBINATIONS.length };

/**
 * Ten minutes of silence, 25 times as fast: heartbeats each second instead of each 25, and pings of clients after 4.8 s
 * instead of 120. The times to answer are not cut as short, for the sake of slow machines; nothing depends on them as
 * long as all answers come.
 */
const FASTER = 25;
const IDLE_SECONDS = 600;
const HEARTBEAT_SECONDS = 25;
const PING_AFTER_SECONDS = 45;
const HASTY = {
  HELIOSTAT_FALLBACK_HEARTBEAT_SECONDS: String(HEARTBEAT_SECONDS / FASTER),
  HELIOSTAT_FALLBACK_POLL_HOLD_SECONDS: String(HEARTBEAT_SECONDS / FASTER),
  HELIOSTAT_CONNECTION_PING_AFTER_SECONDS: '2',
  HELIOSTAT_CONNECTION_PONG_TIMEOUT_SECONDS: '10',
};
const HASTY_CLIENT = {
  activityTimeout: 120_000 / FASTER, pongTimeout: 10_000,
  // The names of releases before 3.1.
  activity_timeout: 120_000 / FASTER, pong_timeout: 10_000,
};

/**
 * How long a client is gone before the broker says so: shorter than by default, for the tests that wait for it, and much
 * longer than the pages of a slow machine, which share it with two dozen others, take from one poll to the next.
 */
const UNNOTICED_SECONDS = '10';

const closers = [];
/** What outlives a single test. */
const whole = { after: (work) => closers.push(work) };
after(async () => { for (const close of closers.reverse()) await close(); });

let stage;
before(async () => { stage = await openStage(whole); });

const title = ({ release, transport }) => `pusher-js ${release.version} over ${transport}`;

describe('conversations', TOGETHER, () => {
  let broker;
  before(async () => {
    broker = await startBroker(whole, { env: { HELIOSTAT_FALLBACK_SESSION_TIMEOUT_SECONDS: UNNOTICED_SECONDS } });
  });

  for (const combination of COMBINATIONS) {
    const { release, transport } = combination;
    // Public, private and presence channels, client events both ways, published events, and a page that is closed.
    // Proves: clients.
    test(`${title(combination)} subscribes, sends and receives`, async (t) => {
      const enabledTransports = [transport];
      const name = (type) => `${type}-${release.version.replaceAll('.', '-')}-${transport}`;
      const ann = await stage.open(t, release, broker, { enabledTransports, user: 'ann' });
      const bob = await stage.open(t, release, broker, { enabledTransports, user: 'bob' });
      await Promise.all([ann.connected(transport), bob.connected(transport)]);
      assert.notEqual(await ann.socketId(), await bob.socketId());

      for (const client of [ann, bob]) {
        await client.subscribe(name('public'), 'greet');
        await client.subscribe(name('private'), 'client-wave');
        await client.subscribe(name('presence'), 'client-wave');
      }
      assert.deepEqual(await ann.members(name('presence'), 2), ['ann', 'bob']);
      assert.deepEqual(await bob.members(name('presence'), 2), ['ann', 'bob']);

      const greeting = { text: 'ünïcode 🎥 \u2028 "quoted" \\ <b>', long: 'x'.repeat(5_000) };
      await backend(broker).trigger(name('public'), 'greet', greeting);
      await Promise.all([ann, bob].map((client) => client.heard(name('public'), 'greet', greeting)));

      for (const channel of [name('private'), name('presence')]) {
        await ann.trigger(channel, 'client-wave', { from: 'ann' });
        await bob.heard(channel, 'client-wave', { from: 'ann' });
        await bob.trigger(channel, 'client-wave', { from: 'bob' });
        await ann.heard(channel, 'client-wave', { from: 'bob' });
      }

      // Their end is told to nobody: the broker has to notice that they are gone.
      await bob.end();
      assert.deepEqual(await ann.members(name('presence'), 1), ['ann']);
      assert.deepEqual((await ann.seen()).errors, []);
    });
  }

  for (const transport of TRANSPORTS) {
    // Proves: clients.
    test(`the member of a page that is closed leaves, over ${transport}`, async (t) => {
      const release = RELEASES.at(-1);
      const enabledTransports = [transport];
      const channel = `presence-closed-${transport}`;
      const ann = await stage.open(t, release, broker, { enabledTransports, user: 'ann' });
      const page = await stage.newPage(t, release);
      const bob = await stage.open(t, release, broker, { enabledTransports, user: 'bob', page });
      for (const client of [ann, bob]) {
        await client.connected(transport);
        await client.subscribe(channel, 'client-wave');
      }
      assert.deepEqual(await ann.members(channel, 2), ['ann', 'bob']);
      await page.close();
      assert.deepEqual(await ann.members(channel, 1), ['ann']);
    });
  }
});

describe('idleness', TOGETHER, () => {
  let broker;
  before(async () => { broker = await startBroker(whole, { env: HASTY }); });

  for (const combination of COMBINATIONS) {
    const { release, transport } = combination;
    // What keeps an idle connection is counted until it has happened as often as it does in ten minutes.
    // Proves: clients.
    test(`${title(combination)} survives ten minutes of silence`, async (t) => {
      const client = await stage.open(t, release, broker, { enabledTransports: [transport], ...HASTY_CLIENT });
      await client.connected(transport);
      await client.countHeartbeats();
      await client.subscribe('news', 'greet');
      const before = await client.socketId();

      const heartbeats = Math.floor(IDLE_SECONDS / HEARTBEAT_SECONDS);
      // A stream's client answers each heartbeat, and the broker acknowledges that on the stream. SockJS answers none, so
      // that the broker pings, unless SockJS polls.
      await client.heartbeats(transport === 'xhr_streaming' ? 2 * heartbeats : heartbeats);
      if (transport === 'sockjs' && !(await client.carrier()).endsWith('polling')) {
        await client.messages('pusher:ping', Math.floor(IDLE_SECONDS / PING_AFTER_SECONDS));
      }

      await backend(broker).trigger('news', 'greet', { to: title(combination) });
      await client.heard('news', 'greet', { to: title(combination) });
      const { states, errors } = await client.seen();
      assert.equal(await client.socketId(), before);
      assert.deepEqual(states, ['connected']);
      assert.deepEqual(errors, []);
    });
  }
});

describe('refusals', TOGETHER, () => {
  let broker;
  before(async () => { broker = await startBroker(whole); });

  for (const combination of COMBINATIONS) {
    const { release, transport } = combination;
    // Proves: clients.
    test(`${title(combination)} gives up on a key that no app has`, async (t) => {
      const client = await stage.open(t, release, broker, { enabledTransports: [transport], key: 'nobodys-key' });
      await client.state('disconnected');
      // Nor has it tried again by the time another client has come all the way.
      const other = await stage.open(t, release, broker, { enabledTransports: [transport] });
      await other.connected(transport);
      const { states, codes, messages, triesAgain } = await client.seen();
      assert.deepEqual([...new Set(codes)], [4001]);
      assert.deepEqual(states, ['disconnected']);
      assert.deepEqual(messages, []);
      assert.equal(triesAgain, false);
    });

    // Proves: clients.
    test(`${title(combination)} comes back to a broker that was full`, async (t) => {
      const full = await startBroker(t, { env: { HELIOSTAT_SERVER_MAX_CONNECTIONS: '1' } });
      const first = await stage.open(t, release, full, { enabledTransports: ['ws'] });
      await first.connected('ws');
      const client = await stage.open(t, release, full, { enabledTransports: [transport] });
      await client.refusal(4100);
      await first.end();
      await client.connected(transport);
    });
  }
});

describe('disconnections', () => {
  // A broker that stops sends its clients away; another already answers at its address, where they subscribe
  // afresh.
  // Proves: clients.
  test('a broker that stops hands its clients to the next', async (t) => {
    const env = { HELIOSTAT_SERVER_SHUTDOWN_CODE: '4200' };
    const [first, second] = [await startBroker(t, { env }), await startBroker(t)];
    const address = await forwarder(t, first);
    const clients = await everyone(t, address, 'news');
    const before = await Promise.all(clients.map(({ client }) => client.socketId()));
    address.forwardTo(second);
    await first.stop();
    await all(clients, async ({ client, transport }, n) => {
      await client.another(before[n]);
      await client.connected(transport);
      // What it holds for subscribed until the broker says so again depends on the release.
      await client.messages('pusher_internal:subscription_succeeded', 2);
    });
    await backend(second).trigger('news', 'greet', { again: true });
    await all(clients, ({ client }) => client.heard('news', 'greet', { again: true }));
    await all(clients, async ({ client }) => assert.deepEqual([...new Set((await client.seen()).codes)], [4200]));
  });

  // An app that is taken out of the configuration refuses its clients for good.
  // Proves: clients.
  test('an app that is removed loses its clients for good', async (t) => {
    const folder = await mkdtemp(join(tmpdir(), 'heliostat-'));
    cleanup(t, () => rm(folder, { recursive: true }));
    const file = join(folder, 'heliostat.toml');
    const app = (id, key) => `[[apps]]\nid = "${id}"\nkey = "${key}"\nsecret = "app-secret"\n`;
    await writeFile(file, app('1001', APP.key) + app('1002', 'other-key'));
    const broker = await startBroker(t, { args: ['serve', '--config', file] });
    const clients = await everyone(t, broker, 'news');
    await writeFile(file, app('1002', 'other-key'));
    broker.reload();
    await all(clients, ({ client }) => client.state('disconnected'));

    const [{ release }] = COMBINATIONS;
    await (await stage.open(t, release, broker, { enabledTransports: ['ws'], key: 'other-key' })).connected('ws');
    await all(clients, async ({ client }) => {
      const { states, codes, triesAgain } = await client.seen();
      assert.equal(triesAgain, false);
      assert.ok(codes.every((code) => code === 4001) && codes.length > 0, `codes ${codes}`);
      assert.equal(states.at(-1), 'disconnected');
    });
  });
});

/** One client of every combination, subscribed to the channel. */
function everyone(t, broker, channel) {
  return Promise.all(COMBINATIONS.map(async ({ release, transport }) => {
    const client = await stage.open(t, release, broker, { enabledTransports: [transport] });
    await client.connected(transport);
    await client.subscribe(channel, 'greet');
    return { release, transport, client };
  }));
}

/** The same with each client at once; what fails says whose it is. */
async function all(clients, work) {
  await Promise.all(clients.map(async (one, n) => {
    try {
      await work(one, n);
    } catch (error) {
      const { states, errors } = await one.client.seen();
      const situation = `states ${states}, errors ${JSON.stringify(errors)}`;
      throw new Error(`${title(one)}: ${error.message}\n${situation}`, { cause: error });
    }
  }));
}

function backend({ host, port }) {
  return new PusherServer({ appId: APP.id, key: APP.key, secret: APP.secret, host, port: String(port), useTLS: false });
}
