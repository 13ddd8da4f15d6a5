// A running app moves from one broker to another and back, with the files and the commands of docs/migrating.md: clients in
// ten parts behind HAProxy, and a backend that publishes by HAProxy all the time. The other broker is a second heliostat, or
// the server that the environment names.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { createRequire } from 'node:module';
import { startBroker } from '../broker.mjs';
import { connectionOptions, fresh, releases } from '../clients.mjs';
import { freePort, startHaproxy } from './proxy.mjs';

const PusherServer = createRequire(import.meta.url)('pusher-5');
const PAGE = new URL('../../../../docs/migrating.md', import.meta.url);
const release = releases.at(-1);

const CLIENTS = 1_000;
/** So many connect at once: a machine of two cores has others to look after. */
const AT_ONCE = 50;
const PARTS = 10;
/** Between an answer and the next event. */
const PAUSE_MS = 100;
/** For one step, in which a tenth of the clients comes back and all hear an event. Reached only by a failing test. */
const STEP_DEADLINE_MS = 60_000;

// Proves: relay, clients.
test('a thousand clients move in ten steps and back, and miss and double nothing', async (t) => {
  const page = await readFile(PAGE, 'utf8');
  const old = await startBroker();
  t.after(() => old.stop());
  const folder = await mkdtemp(join(tmpdir(), 'heliostat-migration-'));
  t.after(() => rm(folder, { recursive: true }));
  const admin = await freePort();
  const heliostat = await startRelaying(t, page, folder, old, admin);
  const proxy = await startMigrationProxy(t, page, folder, old, heliostat);
  const socket = join(folder, 'admin.sock');
  const command = commands(page, socket);
  const app = { ...old, host: proxy.host, port: proxy.port };

  const channel = fresh('news');
  const clients = Array.from({ length: CLIENTS }, () => new MovingClient(t, app, channel));
  for (let n = 0; n < CLIENTS; n += AT_ONCE) {
    const some = clients.slice(n, n + AT_ONCE);
    some.forEach((client) => client.connect());
    await until(() => some.every((client) => client.isSubscribed()), () => `${AT_ONCE} clients connect`);
  }
  const publisher = new Publisher(app, channel);
  t.after(() => publisher.stop());
  const allHear = async (what) => {
    const away = () => clients.filter((client) => !client.isSubscribed()).length;
    await until(() => away() === 0, () => `${what}: ${away()} clients are not back`);
    // One that is published from now on.
    const number = publisher.last + 2;
    const deaf = () => clients.filter((client) => client.newest() < number).length;
    await until(() => deaf() === 0, () => `${what}: ${deaf()} clients do not hear ${number} of ${publisher.last}`);
  };

  await allHear('before');
  await command('### 3. Move the backends', 0);
  await allHear('the backend moves');
  // The old server's other apps stay there.
  const restBefore = await sessionsOfRest(socket);
  for (const path of ['/apps/another/events', '/app/another', `/app/${old.key}2`]) {
    await (await fetch(`http://${proxy.host}:${proxy.port}${path}`)).text();
  }
  assert.equal((await sessionsOfRest(socket)) - restBefore, 3, 'other apps go to the old server');
  for (let part = 1; part <= PARTS; part++) {
    await command('### 4. Move the clients', 0, part);
    await allHear(`part ${part} moves`);
  }
  assert.equal(await connections(admin), CLIENTS);
  for (let part = 1; part <= PARTS; part++) {
    await command('### 4. Move the clients', 1, part);
    await allHear(`part ${part} moves back`);
  }
  assert.equal(await connections(admin), 0);
  await command('### 3. Move the backends', 1);
  await allHear('the backend moves back');
  await publisher.stop();
  await until(() => clients.every((client) => client.newest() === publisher.last), () => 'all hear the last event');

  assert.deepEqual(publisher.failures, [], 'publishers hear of nothing');
  const faults = clients.flatMap((client) => client.faults());
  assert.deepEqual(faults, [], 'nothing is missed and nothing doubled');
  const relayed = await relayFigures(admin);
  t.diagnostic(`${publisher.last + 1} events; relayed: ${JSON.stringify(relayed)}; ${clients.reduce((sum, client) => sum + client.subscriptions.length, 0)} subscriptions`);
  for (const lost of ['refused', 'unknown', 'dropped', 'given_up']) assert.equal(relayed[lost], 0, lost);
  assert.ok(relayed.sent > PARTS);
});

/** A client that notes what it hears, subscription by subscription. */
class MovingClient {
  /** For each time that it was subscribed: the numbers that it heard, in order, and how many had been published before. */
  subscriptions = [];
  #pusher;
  #open = false;

  constructor(t, app, channel) {
    this.app = app;
    this.channel = channel;
    t.after(() => this.#pusher?.disconnect());
  }

  connect() {
    this.#pusher = new release.Pusher(this.app.key, { ...connectionOptions(release, this.app), enabledTransports: ['ws'] });
    this.#pusher.connection.bind('state_change', ({ current }) => {
      if (current !== 'connected') this.#open = false;
    });
    const channel = this.#pusher.subscribe(this.channel);
    channel.bind('pusher:subscription_succeeded', () => {
      this.#open = true;
      this.subscriptions.push({ heard: [], published: Publisher.begun });
    });
    channel.bind('tick', ({ n }) => this.subscriptions.at(-1).heard.push(n));
  }

  isSubscribed() {
    return this.#open;
  }

  /** The newest number that it has heard since it is subscribed. */
  newest() {
    return this.#open ? (this.subscriptions.at(-1).heard.at(-1) ?? -1) : -1;
  }

  /**
   * What it missed and what it heard twice. While it was subscribed it has to hear every number from its first to its last,
   * and the first is no later than the first that was begun to be published when it was subscribed; what was under way when
   * a connection ended is not asked for.
   */
  faults() {
    const faults = [];
    const all = new Set();
    for (const { heard, published } of this.subscriptions) {
      heard.forEach((n) => (all.has(n) ? faults.push(`${n} twice`) : all.add(n)));
      const sorted = [...heard].sort((a, b) => a - b);
      sorted.forEach((n, at) => at > 0 && n !== sorted[at - 1] + 1 && faults.push(`none between ${sorted[at - 1]} and ${n}`));
      if (sorted.length > 0 && sorted[0] > published) faults.push(`first ${sorted[0]}, but subscribed before ${published}`);
    }
    return faults;
  }
}

/** A backend that publishes one number after another. */
class Publisher {
  /** Numbers whose publishing has begun. */
  static begun = 0;
  last = -1;
  failures = [];
  #stopping = false;

  constructor(app, channel) {
    const server = new PusherServer({ ...app, useTLS: false });
    this.done = (async () => {
      while (!this.#stopping) {
        const n = Publisher.begun++;
        await server.trigger(channel, 'tick', { n }).catch((error) => this.failures.push(`${n}: ${error.status ?? error}`));
        this.last = n;
        await sleep(PAUSE_MS);
      }
    })();
  }

  stop() {
    this.#stopping = true;
    return this.done;
  }
}

/** The block of this language, the one of this number below this heading. */
function block(page, heading, language, number = 0) {
  const section = page.split(/\n(?=##)/).find((text) => text.startsWith(heading)) ?? '';
  const found = [...section.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\`$`, 'gm'))][number];
  if (!found) throw new Error(`docs/migrating.md has no block ${number} of ${language} below ${heading}`);
  return found[1];
}

function replaced(text, by) {
  return Object.entries(by).reduce((done, [shown, real]) => {
    if (!done.includes(shown)) throw new Error(`docs/migrating.md has no ${shown} in\n${done}`);
    return done.replaceAll(shown, real);
  }, text);
}

/** What runs the commands of a step, for one part if there is one. */
function commands(page, socket) {
  return async (heading, number, part) => {
    let text = replaced(block(page, heading, 'sh', number), { '/run/haproxy/admin.sock': socket });
    if (part) text = replaced(text, { 'part=1': `part=${part}` });
    const { stdout, stderr } = await promisify(execFile)('sh', ['-ec', text]);
    // HAProxy answers an empty line to what it has done.
    assert.equal((stdout + stderr).trim(), '', text);
  };
}

/** Heliostat with the app of the other broker, and the page's relay to it. */
async function startRelaying(t, page, folder, old, admin) {
  const config = join(folder, 'heliostat.toml');
  const relay = replaced(block(page, '### 1. Start heliostat', 'toml'), {
    'http://127.0.0.1:6002': `http://${old.host}:${old.port}`,
    '"1001"': `"${old.appId}"`,
    '"app-key"': `"${old.key}"`,
    '"app-secret"': `"${old.secret}"`,
  });
  await writeFile(config, `
    [admin]
    enabled = true
    port = ${admin}
    [[apps]]
    id = "${old.appId}"
    key = "${old.key}"
    secret = "${old.secret}"
    ${relay}`);
  const broker = await startBroker({ args: ['--config', config], own: true });
  t.after(() => broker.stop());
  return broker;
}

async function startMigrationProxy(t, page, folder, old, heliostat) {
  const port = await freePort();
  const text = replaced(block(page, '### 2. Put HAProxy in front', 'haproxy'), {
    '/run/haproxy/admin.sock': join(folder, 'admin.sock'),
    'bind :443 ssl crt /etc/ssl/realtime.example.com.pem alpn h2,http/1.1': `bind 127.0.0.1:${port}`,
    'X-Forwarded-Proto https': 'X-Forwarded-Proto http',
    '/apps/1001/': `/apps/${old.appId}/`,
    '/app/app-key': `/app/${old.key}`,
    '127.0.0.1:6002': `${old.host}:${old.port}`,
    '127.0.0.1:6001': `${heliostat.host}:${heliostat.port}`,
  });
  return startHaproxy(t, folder, text, port);
}

/** How many requests HAProxy has sent to the old server for apps that do not move. */
async function sessionsOfRest(socket) {
  const { stdout } = await promisify(execFile)('sh', ['-c', `echo 'show stat' | socat - UNIX-CONNECT:${socket}`]);
  const [names, ...rows] = stdout.trim().split('\n').map((line) => line.replace(/^# /, '').split(','));
  const row = rows.find(([proxy, server]) => proxy === 'rest' && server === 'old');
  return Number(row[names.indexOf('stot')]);
}

/** How many clients heliostat has. */
async function connections(admin) {
  const text = await (await fetch(`http://127.0.0.1:${admin}/metrics`)).text();
  return Number(/^heliostat_connections\{.*\} (\d+)/m.exec(text)[1]);
}

async function relayFigures(port) {
  const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  const found = text.matchAll(/^heliostat_relay_events_total\{.*result="(\w+)"\} (\d+)/gm);
  return Object.fromEntries([...found].map(([, result, count]) => [result, Number(count)]));
}

/** Looks again and again until it holds. */
async function until(holds, what) {
  const deadline = performance.now() + STEP_DEADLINE_MS;
  while (!holds()) {
    if (performance.now() > deadline) throw new Error(`not within ${STEP_DEADLINE_MS} ms: ${what()}`);
    await sleep(20);
  }
}
