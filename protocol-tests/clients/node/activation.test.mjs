// A broker that is restarted while a service manager holds its socket: clients come back, and publishers see no error.
//
// How long clients were away is printed, and judged by nobody. RESTARTS=20 is the measurement of docs/operations.md, beside
// that of a plain restart (reconnect-times.mjs); HELIOSTAT_PYTHON names a Python with pysher, which takes part then. The
// same in a browser is ../../browser/activation.test.mjs.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { Absences, DEADLINE_MS, PYTHON, RESTARTS, WAYS, activate, pythonProgram, whilePublishing } from './activation.mjs';
import { external } from './broker.mjs';
import { connectionOptions, releases } from './clients.mjs';
import { installedVersion } from './record.mjs';

const require = createRequire(import.meta.url);

/** Notes when a client is connected, and when it is no more. */
function watched(name, pusher) {
  const greetings = [];
  const losses = [];
  pusher.connection.bind('error', () => {});
  pusher.connection.bind('state_change', ({ previous, current }) => {
    if (current === 'connected') greetings.push(performance.now());
    if (previous === 'connected') losses.push(performance.now());
  });
  return { name, greetings, losses, close: () => pusher.disconnect() };
}

function pysher(address) {
  const program = [pythonProgram('reconnect_times.py'), address.host, String(address.port), address.key, '0'];
  const child = spawn(PYTHON, program, { stdio: ['ignore', 'pipe', 'inherit'] });
  const [greetings, losses] = [[], []];
  createInterface({ input: child.stdout }).on('line', (line) => {
    (line === 'greeted' ? greetings : losses).push(performance.now());
  });
  return { name: 'pysher 1.0.8, reconnect_interval=0', greetings, losses, close: () => child.kill('SIGKILL') };
}

function optionsFor(release, address, way) {
  return {
    ...connectionOptions(release, address), wssPort: address.port, httpsPort: address.port, enabledTransports: undefined, ...way,
  };
}

/** The clients of one release, in every way. */
function ofRelease(release, address) {
  return Object.entries(WAYS).map(([way, more]) => {
    const pusher = new release.Pusher(address.key, withoutUndefined(optionsFor(release, address, more)));
    return watched(`pusher-js ${release.version}, ${way}`, pusher);
  });
}

async function echo(major, { Pusher, ...release }, address) {
  const { default: exported } = await import(`laravel-echo-${major}`);
  const Echo = exported.default ?? exported;
  const options = withoutUndefined(optionsFor(release, address, {}));
  const client = new Echo({ broadcaster: 'pusher', key: address.key, Pusher, ...options });
  return watched(`Laravel Echo ${installedVersion(`laravel-echo-${major}`)}`, client.connector.pusher);
}

function withoutUndefined(options) {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}

/** Waits until that is so of every one. */
async function every(clients, condition, what) {
  const end = performance.now() + DEADLINE_MS;
  for (;;) {
    const missing = clients.filter((client) => !condition(client)).map(({ name }) => name);
    if (missing.length === 0) return;
    assert.ok(performance.now() < end, `${what} of ${missing} did not come in time`);
    await new Promise((resolve) => { setTimeout(resolve, 5); });
  }
}

const isThere = ({ greetings, losses }) => greetings.length > losses.length;

// Proves: 53.
test('clients come back and publishers see no error while brokers take turns on a socket that is held', {
  skip: external && 'the server named by PUSHER_HOST is not ours to stop',
}, async (t) => {
  const broker = await activate(t);
  const { address } = broker;
  const newest = releases.at(-1);
  const lasting = [
    ...ofRelease(newest, address), await echo(1, newest, address), await echo(2, newest, address),
    ...(existsSync(PYTHON) ? [pysher(address)] : []),
  ];
  // New ones for each restart: under Node the releases before 8 take every close for an unclean one, for the WebSockets
  // that they bring along say nothing of it, and at the second one of a connection that was younger than four minutes they
  // give WebSockets up. In browsers they do not.
  const mortal = releases.filter(({ major }) => [5, 7].includes(major));
  let clients = lasting;
  t.after(() => clients.forEach(({ close }) => close()));
  const absences = new Absences();
  const published = await whilePublishing(require('pusher-5'), address, async () => {
    for (let n = 1; n <= RESTARTS; n += 1) {
      const fresh = mortal.flatMap((release) => ofRelease(release, address));
      clients = [...lasting, ...fresh];
      await every(clients, isThere, 'the connection');
      const lost = new Map(clients.map((client) => [client, client.losses.length]));
      await broker.restart();
      const isBack = (client) => client.losses.length > lost.get(client) && isThere(client);
      await every(clients, isBack, `the return at restart ${n}`);
      for (const [{ name, greetings, losses }, loss] of lost) {
        absences.note(name, (greetings[loss + 1] - losses[loss]) / 1000);
      }
      fresh.forEach(({ close }) => close());
    }
  });
  absences.lines().forEach((line) => t.diagnostic(line));
  t.diagnostic(`published without an error: ${published.join(', ')}`);
  await broker.end();
});
