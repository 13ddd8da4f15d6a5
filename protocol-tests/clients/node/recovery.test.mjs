// Clients whose connections have a name, and whose line is cut: what is published meanwhile they are sent when they come
// back, in its order, and they are told that they have missed nothing.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { startAuthEndpoint } from './auth-endpoint.mjs';
import { external, startBroker } from './broker.mjs';
import { connectionOptions, fresh, heard, named, openClient, releases, within } from './clients.mjs';
import { encrypting, libraries } from './libraries.mjs';
import { openLine } from './line.mjs';
import { installedVersion, shown } from './record.mjs';

const PusherClient = createRequire(import.meta.url)('pusher-client');
const CONFIG = fileURLToPath(new URL('recovery.toml', import.meta.url));
const newest = releases.at(-1);

/** pusher-js comes back a second after its line was cut; where no WebSocket stands it takes some seconds more. */
const RETURN_DEADLINE_MS = 40_000;

/** After so much silence a client with a name asks whether anybody is there, for its line may have died without a word. */
const ACTIVITY_TIMEOUT_MS = 15_000;

/** So many events are published before the line is cut, while it is, and after. */
const SHARE = 20;

const KEY = Buffer.alloc(32, 7).toString('base64');

const options = { concurrency: 8, skip: external && 'the server named by PUSHER_HOST may keep no history' };

describe('a client that comes back', options, () => {
  let broker, library, auth;
  before(async () => {
    broker = await startBroker({ args: ['--config', CONFIG] });
    library = libraries.at(-1).connect(broker);
    auth = await startAuthEndpoint(library);
  });
  after(async () => {
    await auth?.stop();
    await broker?.stop();
  });

  /** A client with a name, behind a line of its own. */
  const open = async (t, release, { name, ...more } = {}) => {
    const line = await openLine(broker, t);
    const behind = { ...broker, host: line.host, port: line.port };
    const client = await openClient(t, release, behind, { auth, ...named(release, behind, name), ...more }).connected();
    return { line, client };
  };

  /** Publishes the numbers of a range, one after the other. */
  const publish = async (channel, from, to, socketId) => {
    for (let n = from; n <= to; n++) await library.trigger(channel, 'count', { n }, { socketId });
  };

  /** Publishes the next share of numbers on each channel, and waits until the client has been sent them. */
  const count = async (client, channels, share) => {
    for (const channel of channels) await publish(channel, (share - 1) * SHARE + 1, share * SHARE);
    for (const channel of channels) await counted(client, channel, share * SHARE);
  };

  /** Cuts the line for the time in which the next share is published, and waits until the client knows that it has it all. */
  const countWithout = async ({ line, client }, channels, share) => {
    const before = client.socketId;
    const times = told(client, channels[0]).length;
    line.cutAndHold();
    for (const channel of channels) await publish(channel, (share - 1) * SHARE + 1, share * SHARE);
    line.restore();
    for (const channel of channels) {
      await client.until(() => told(client, channel).length > times, `the end of the replay of ${channel}`, RETURN_DEADLINE_MS);
    }
    assert.notEqual(client.socketId, before);
  };

  for (const release of releases) {
    // Proves: recovery.
    test(`pusher-js ${release.major} misses nothing`, async (t) => {
      const behind = await open(t, release, { member: { user_id: 'ann' } });
      const { line, client } = behind;
      assert.equal(client.pusher.connection.activityTimeout, ACTIVITY_TIMEOUT_MS, 'the smaller one counts');
      const channels = ['news', 'private-news', 'presence-news'].map(fresh);
      for (const channel of channels) {
        await client.subscribe(channel);
        await client.received('pusher:resumed', channel);
        assert.deepEqual(told(client, channel), [{ complete: false, events: 0 }], 'it was not here before');
      }
      await count(client, channels, 1);
      await line.acknowledged();
      await countWithout(behind, channels, 2);
      await count(client, channels, 3);
      for (const channel of channels) {
        // What was acknowledged does not come again.
        assert.deepEqual(numbers(client, channel), range(1, 3 * SHARE));
        assert.deepEqual(told(client, channel).at(-1), { complete: true, events: SHARE });
      }
      shown(release, 'recovery');
    });

    for (const transport of ['xhr_streaming', 'xhr_polling']) {
      // It begins with a WebSocket, then there are none any more. What has not been acknowledged when the line is cut may come
      // again.
      // Proves: recovery.
      test(`pusher-js ${release.major} misses nothing over ${transport}`, async (t) => {
        const behind = await open(t, release, { enabledTransports: ['ws', transport] });
        const { line, client } = behind;
        const channels = [fresh('news'), fresh('private-news')];
        for (const channel of channels) await client.subscribe(channel);
        await count(client, channels, 1);
        await line.acknowledged();
        line.refusesWebSockets = true;
        await countWithout(behind, channels, 2);
        assert.equal(client.pusher.connection.connection.transport.name, transport);
        await count(client, channels, 3);
        // A session of polls may outlive such a gap by itself.
        line.cutAndHold();
        for (const channel of channels) await publish(channel, 3 * SHARE + 1, 4 * SHARE);
        line.restore();
        for (const channel of channels) await counted(client, channel, 4 * SHARE);
        await count(client, channels, 5);
        for (const channel of channels) {
          const seen = numbers(client, channel);
          assert.deepEqual(seen.slice(0, 3 * SHARE), range(1, 3 * SHARE));
          const again = seen.length - 5 * SHARE;
          assert.ok(again >= 0 && again <= 2 * SHARE, `${seen}`);
          assert.deepEqual(seen.slice(3 * SHARE), range(3 * SHARE + 1 - again, 5 * SHARE), 'one piece, from what came before on');
          const [first, second = { complete: true, events: SHARE + again }, ...more] = told(client, channel).slice(1);
          assert.deepEqual(first, { complete: true, events: SHARE });
          assert.deepEqual(second, { complete: true, events: SHARE + again });
          assert.deepEqual(more, []);
        }
        shown(release, 'recovery over the fallbacks');
      });
    }
  }

  for (const release of releases.filter(({ major }) => major >= 4)) {
    // What is sent again is as it was published, for the client to decrypt.
    // Proves: recovery.
    test(`pusher-js ${release.major} decrypts what it is sent again`, async (t) => {
      const secretly = encrypting.at(-1).connect(broker, { encryptionMasterKeyBase64: KEY });
      const signs = await startAuthEndpoint(secretly);
      t.after(() => signs.stop());
      const { line, client } = await open(t, release, { auth: signs });
      const name = fresh('private-encrypted-news');
      const channel = await client.subscribe(name);
      const texts = [];
      channel.bind('secret', ({ text }) => texts.push(text));
      const resumed = [];
      channel.bind('pusher:resumed', (data) => resumed.push(data));
      await line.acknowledged();
      line.cutAndHold();
      for (const text of ['one', 'two']) await secretly.trigger(name, 'secret', { text });
      line.restore();
      await client.until(() => told(client, name).length === 2, 'the end of the replay', RETURN_DEADLINE_MS);
      assert.deepEqual(texts, ['one', 'two']);
      assert.deepEqual(resumed, [{ complete: true, events: 2 }]);
    });
  }

  for (const major of [1, 2]) {
    for (const broadcaster of ['pusher', 'reverb']) {
      // Proves: recovery.
      test(`Laravel Echo ${major} with the ${broadcaster} broadcaster misses nothing`, async (t) => {
        const { default: exported } = await import(`laravel-echo-${major}`);
        const line = await openLine(broker, t);
        const behind = { ...broker, host: line.host, port: line.port };
        const { cluster, ...connection } = connectionOptions(newest, behind);
        const echo = new (exported.default ?? exported)({
          broadcaster,
          key: broker.key,
          Pusher: newest.Pusher,
          ...connection,
          ...(broadcaster === 'pusher' && { cluster }),
          ...named(newest, behind),
        });
        t.after(() => echo.disconnect());
        const name = fresh('orders');
        const [counts, resumed] = [[], []];
        let look = () => {};
        const until = (holds, what) => within(new Promise((resolve) => {
          look = () => holds() && resolve();
          look();
        }), what, () => JSON.stringify({ counts, resumed }), RETURN_DEADLINE_MS);
        echo.channel(name)
          .listen('.count', ({ n }) => { counts.push(n); look(); })
          .listen('.pusher:resumed', (data) => { resumed.push(data); look(); });
        await until(() => resumed.length === 1, 'the subscription');
        await within(line.acknowledged(), 'its acknowledgement');
        line.cutAndHold();
        await publish(name, 1, SHARE);
        line.restore();
        await until(() => resumed.length === 2, 'the end of the replay');
        await publish(name, SHARE + 1, SHARE + 1);
        await until(() => counts.length === SHARE + 1, 'the next event');
        assert.deepEqual(counts, range(1, SHARE + 1));
        assert.deepEqual(resumed, [{ complete: false, events: 0 }, { complete: true, events: SHARE }]);
        shown({ client: `Laravel Echo, ${broadcaster}`, version: installedVersion(`laravel-echo-${major}`) }, 'recovery');
      });
    }
  }

  // It is a client that has to be told to come back, and puts the port before the path as it is.
  // Proves: recovery.
  test('pusher-client misses nothing', async (t) => {
    const line = await openLine(broker, t);
    const client = new PusherClient(broker.key, { protocol: 5, host: line.host, ...named({ major: 3 }, line) });
    t.after(() => client.disconnect());
    client.connection.on('error', () => {});
    const name = fresh('news');
    const channel = client.subscribe(name);
    const [counts, told] = ['count', 'pusher:resumed'].map((event) => heard(channel, event));
    assert.deepEqual((await told.next())[0], { complete: false, events: 0 });
    await within(line.acknowledged(), 'its acknowledgement');
    const lost = new Promise((resolve) => { client.connection.connection.once('close', resolve); });
    line.cutAndHold();
    await publish(name, 1, SHARE);
    line.restore();
    await within(lost, 'the end of its connection');
    client.connection.connect();
    assert.deepEqual((await told.next())[0], { complete: true, events: SHARE });
    assert.deepEqual(counts.calls.map(([{ n }]) => n), range(1, SHARE));
    shown({ client: 'pusher-client', version: installedVersion('pusher-client') }, 'recovery');
  });

  // Proves: recovery, 183.
  test('what a client was left out of it is not sent later', async (t) => {
    const { line, client } = await open(t, newest);
    const name = fresh('news');
    await client.subscribe(name);
    const own = client.socketId;
    await line.acknowledged();
    line.cutAndHold();
    await publish(name, 1, 1);
    await publish(name, 2, 2, own);
    await publish(name, 3, 3);
    line.restore();
    await client.until(() => told(client, name).length === 2, 'the end of the replay', RETURN_DEADLINE_MS);
    assert.deepEqual(numbers(client, name), [1, 3]);
    assert.deepEqual(told(client, name).at(-1), { complete: true, events: 2 });
  });

  // It has not missed what it did not want to hear.
  // Proves: recovery.
  test('a channel that was left, and one that is new, begin with what is published from now on', async (t) => {
    const { line, client } = await open(t, newest);
    const [left, other] = [fresh('left'), fresh('other')];
    await client.subscribe(left);
    client.pusher.unsubscribe(left);
    await client.subscribe(fresh('kept'));
    await line.acknowledged();
    line.cutAndHold();
    await publish(left, 1, 3);
    await publish(other, 1, 3);
    client.pusher.subscribe(left);
    client.pusher.subscribe(other);
    line.restore();
    for (const name of [left, other]) {
      await client.until(() => told(client, name).at(-1), `an answer on ${name}`, RETURN_DEADLINE_MS);
      assert.deepEqual(told(client, name).at(-1), { complete: false, events: 0 });
      assert.deepEqual(numbers(client, name), []);
    }
  });

  // Proves: recovery, bad input.
  test('a name that can be guessed is served, and has missed what it missed', async (t) => {
    const { line, client } = await open(t, newest, { name: 'tab-1' });
    const name = fresh('news');
    await client.subscribe(name);
    await publish(name, 1, 1);
    await counted(client, name, 1);
    line.cutAndHold();
    await publish(name, 2, 3);
    line.restore();
    await client.until(() => told(client, name).length === 2, 'the answer', RETURN_DEADLINE_MS);
    assert.deepEqual(told(client, name), Array.from({ length: 2 }, () => ({ complete: false, events: 0 })));
    assert.deepEqual(numbers(client, name), [1]);
  });

  // Who cannot say what has arrived is sent it again, and what it did acknowledge is not.
  // Proves: recovery.
  test('what was not acknowledged when the line was cut comes again, and nothing else', async (t) => {
    const { line, client } = await open(t, newest);
    const name = fresh('news');
    await client.subscribe(name);
    await publish(name, 1, 5);
    await counted(client, name, 5);
    await line.acknowledged();
    line.holdClients();
    await publish(name, 6, 8);
    await counted(client, name, 8);
    line.cutAndHold();
    await publish(name, 9, 10);
    line.restore();
    await client.until(() => told(client, name).length === 2, 'the end of the replay', RETURN_DEADLINE_MS);
    assert.deepEqual(numbers(client, name), [1, 2, 3, 4, 5, 6, 7, 8, 6, 7, 8, 9, 10]);
    assert.deepEqual(told(client, name).at(-1), { complete: true, events: 5 });
  });

  // Proves: recovery.
  test('a client without a name is told nothing of it', async (t) => {
    const client = await openClient(t, newest, broker).connected();
    const name = fresh('news');
    await client.subscribe(name);
    await publish(name, 1, 1);
    await counted(client, name, 1);
    assert.deepEqual(told(client, name), []);
  });
});

/** What the client was told on the channel when it had been sent what it missed, each time. */
function told(client, channel) {
  return client.frames.filter((frame) => frame.event === 'pusher:resumed' && frame.channel === channel).map(({ data }) => data);
}

/** The numbers that have come on the channel, in order. */
function numbers(client, channel) {
  return client.frames.filter((frame) => frame.event === 'count' && frame.channel === channel).map(({ data }) => data.n);
}

/** Waits until number `last` has come. */
function counted(client, channel, last) {
  return client.until(() => numbers(client, channel).at(-1) === last, `number ${last} on ${channel}`, RETURN_DEADLINE_MS);
}

function range(first, last) {
  return Array.from({ length: last - first + 1 }, (_, index) => first + index);
}
