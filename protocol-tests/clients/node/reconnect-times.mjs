// How long clients take to come back to a broker that is restarted, under Node, and pysher under Python. To be run by
// hand; it judges nothing, and prints the table of docs/operations.md.
//
//   PROTOCOL_TESTS_BIN=… node reconnect-times.mjs [how often]
//
// Its twin for browsers is ../../browser/reconnect-times.mjs. HELIOSTAT_PYTHON names a Python with pysher.

import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { connectionOptions, releases } from './clients.mjs';
import { installedVersion } from './record.mjs';
import { ENDS, GAPS_MS, HELPER_MS, PATIENCE_MS, Restart, table } from './restart.mjs';

const repetitions = Number(process.argv[2] ?? 3);

/** The ways in which pages set the client up. */
const WAYS = {
  "enabledTransports: ['ws', 'wss']": { enabledTransports: ['ws', 'wss'] },
  'fallbacks on': { enabledTransports: undefined },
  'fallbacks on, with the helper': { enabledTransports: undefined, helper: true },
};

const echoes = await Promise.all([1, 2].map(async (major) => {
  const { default: exported } = await import(`laravel-echo-${major}`);
  return { major, version: installedVersion(`laravel-echo-${major}`), Echo: exported.default ?? exported };
}));

const clients = [
  ...releases.flatMap((release) => Object.entries(WAYS).map(([way, { helper, ...options }]) => ({
    name: `pusher-js ${release.version}, ${way}`,
    open: (address) => watched(new release.Pusher(address.key, optionsFor(release, address, options)), helper),
  }))),
  ...echoes.flatMap(({ version, Echo }) => Object.entries(WAYS).slice(0, 2).map(([way, options]) => ({
    name: `Laravel Echo ${version}, ${way}`,
    open: (address) => {
      const release = releases.at(-1);
      const { key } = address;
      const echo = new Echo({ broadcaster: 'pusher', key, Pusher: release.Pusher, ...optionsFor(release, address, options) });
      return watched(echo.connector.pusher);
    },
  }))),
  { name: 'pysher 1.0.8', open: pysher },
];

function optionsFor(release, address, options) {
  const all = { ...connectionOptions(release, address), wssPort: address.port, httpsPort: address.port, ...options };
  if (!all.enabledTransports) delete all.enabledTransports;
  return all;
}

/** A pusher-js connection, and when it was there. */
function watched(pusher, helper = false) {
  const { connection } = pusher;
  const greetings = [];
  connection.bind('error', () => {});
  const connected = new Promise((resolve) => { connection.bind('connected', resolve); });
  connection.bind('state_change', ({ current }) => {
    if (current === 'connected') greetings.push(Date.now());
  });
  const timer = helper && reconnectSooner(pusher);
  return {
    greetings,
    connected,
    close() {
      clearInterval(timer);
      pusher.disconnect();
    },
  };
}

/** What the page-side helper does: a connection that has not been there for a while is begun anew. */
function reconnectSooner(pusher) {
  let since = null;
  return setInterval(() => {
    const { state } = pusher.connection;
    if (state === 'connected' || state === 'disconnected' || state === 'failed') since = null;
    else if (since === null) since = Date.now();
    else if (Date.now() - since >= HELPER_MS) {
      since = Date.now();
      pusher.disconnect();
      pusher.connect();
    }
  }, 100);
}

/** pysher, in a process of its own that says whenever it is greeted. */
function pysher(address) {
  const python = process.env.HELIOSTAT_PYTHON
    ?? fileURLToPath(new URL('../../../target/protocol-tests/venv/bin/python', import.meta.url));
  const script = fileURLToPath(new URL('../python/reconnect_times.py', import.meta.url));
  const child = spawn(python, [script, address.host, String(address.port), address.key], { stdio: ['ignore', 'pipe', 'inherit'] });
  const greetings = [];
  const connected = new Promise((resolve, reject) => {
    child.once('error', reject).once('close', () => reject(new Error('pysher ended')));
    child.stdout.setEncoding('utf8').on('data', () => {
      resolve();
      greetings.push(Date.now());
    });
  });
  connected.catch(() => {});
  return { greetings, connected, close: () => child.kill('SIGKILL') };
}

async function measure(end, gapMs) {
  const restart = await Restart.begin(end);
  const open = await Promise.all(clients.map(async ({ name, open: begin }) => ({ name, ...begin(await restart.address()) })));
  await Promise.all(open.map(({ connected }) => connected));
  const lost = await restart.happen(end, gapMs);
  const back = (greetings) => greetings.find((time) => time > lost);
  const until = Date.now() + PATIENCE_MS;
  while (Date.now() < until && open.some(({ greetings }) => back(greetings) === undefined)) {
    await new Promise((resolve) => { setTimeout(resolve, 100); });
  }
  const times = open.map(({ name, greetings }) => [name, back(greetings) === undefined ? null : back(greetings) - lost]);
  open.forEach(({ close }) => close());
  await restart.over();
  return times;
}

// A release may throw from its own timers when it is disconnected while it connects.
process.on('uncaughtException', (error) => console.error(`(a client threw: ${error.message})`));

const times = new Map(clients.map(({ name }) => [name, new Map()]));
for (let n = 0; n < repetitions; n += 1) {
  for (const gap of GAPS_MS) {
    await Promise.all(ENDS.map(async (end) => {
      for (const [name, time] of await measure(end, gap)) {
        const cells = times.get(name);
        const key = `${end} ${gap}`;
        cells.set(key, [...(cells.get(key) ?? []), time]);
      }
    }));
    console.error(`round ${n + 1} of ${repetitions}: a gap of ${gap} ms is done`);
  }
}
console.log(`Seconds until the client was connected again, the median of ${repetitions}; Node ${process.version}:\n`);
console.log(table(times));
process.exit(0);
