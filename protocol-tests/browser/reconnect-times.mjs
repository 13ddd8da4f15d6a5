// How long pusher-js and Laravel Echo take to come back to a broker that is restarted, in headless Chromium. To be run by
// hand, after the packages here and in ../clients/node have been installed; it judges nothing, and prints the table of
// docs/operations.md.
//
//   PROTOCOL_TESTS_BIN=… node reconnect-times.mjs [how often]
//
// Its twin for Node is ../clients/node/reconnect-times.mjs. Each client has a frame with an origin of its own, and so its
// own storage and process, and reaches the broker at a port of its own.

import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { ENDS, GAPS_MS, HELPER_MS, PATIENCE_MS, Restart, table } from '../clients/node/restart.mjs';

const EXECUTABLE = process.env.PROTOCOL_TESTS_CHROMIUM ?? '/usr/bin/chromium';
const LIBRARIES = fileURLToPath(new URL('../clients/node/node_modules/', import.meta.url));
const repetitions = Number(process.argv[2] ?? 1);

const WEBSOCKETS = ["enabledTransports: ['ws', 'wss']", { enabledTransports: ['ws', 'wss'] }];
const FALLBACKS = ['fallbacks on', {}];

const version = async (name) => JSON.parse(await readFile(`${LIBRARIES}${name}/package.json`, 'utf8')).version;
const clients = [];
for (const major of [3, 4, 5, 6, 7, 8]) {
  for (const [way, options] of [WEBSOCKETS, FALLBACKS]) {
    clients.push({ name: `pusher-js ${await version(`pusher-js-${major}`)}, ${way}`, major, options });
  }
}
clients.push({ name: `pusher-js ${await version('pusher-js-8')}, ${FALLBACKS[0]}, with the helper`, major: 8, options: {}, helper: true });
for (const echo of [1, 2]) {
  for (const [way, options] of [WEBSOCKETS, FALLBACKS]) {
    clients.push({ name: `Laravel Echo ${await version(`laravel-echo-${echo}`)}, ${way}`, major: 8, options, echo });
  }
}

/** The page of one client, which notes whenever it is greeted. */
function pageOf({ major, options, echo, helper }, { host, port, key }) {
  const all = {
    cluster: 'mt1', wsHost: host, wsPort: port, wssPort: port, httpHost: host, httpPort: port, httpsPort: port,
    ...(major === 3 ? { encrypted: false } : { forceTLS: false }),
    ...(major < 6 ? { disableStats: true } : { enableStats: false }),
    ...options,
  };
  const connect = echo
    ? `new (Echo.default || Echo)(${JSON.stringify({ broadcaster: 'pusher', key, ...all })}).connector.pusher`
    : `new Pusher(${JSON.stringify(key)}, ${JSON.stringify(all)})`;
  return `<!doctype html><link rel="icon" href="data:,">
    <script src="/lib/pusher-js-${major}/dist/web/pusher.js"></script>
    ${echo ? `<script src="/lib/laravel-echo-${echo}/dist/echo.iife.js"></script>` : ''}
    <script>
      var greetings = [], since = null, pusher = ${connect};
      pusher.connection.bind('connected', function () { greetings.push(Date.now()); });
      ${helper ? `setInterval(function () {
        var state = pusher.connection.state;
        if (state === 'connected' || state === 'disconnected' || state === 'failed') since = null;
        else if (since === null) since = Date.now();
        else if (Date.now() - since >= ${HELPER_MS}) { since = Date.now(); pusher.disconnect(); pusher.connect(); }
      }, 100);` : ''}
    </script>`;
}

let pages = {};
const server = createServer(async ({ url }, response) => {
  try {
    const library = /^\/lib\/(.*)$/.exec(url);
    const body = library ? await readFile(LIBRARIES + library[1]) : pages[url];
    response.writeHead(body ? 200 : 404, { 'content-type': library ? 'text/javascript' : 'text/html; charset=utf-8' }).end(body);
  } catch {
    response.writeHead(404).end();
  }
});
await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
const { port } = server.address();

const browser = await chromium.launch({
  executablePath: EXECUTABLE,
  args: ['--headless=new', '--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking'],
});

async function measure(end, gapMs) {
  const restart = await Restart.begin(end);
  pages = {};
  for (const [n, client] of clients.entries()) pages[`/client-${n}`] = pageOf(client, await restart.address());
  pages['/'] = clients.map((_, n) => `<iframe width="40" height="30" src="http://client-${n}.localhost:${port}/client-${n}"></iframe>`).join('');
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(`http://127.0.0.1:${port}/`);
  const frames = clients.map((_, n) => page.frames().find((frame) => frame.url().endsWith(`/client-${n}`)));
  const greeted = (after) => Promise.all(frames.map(async (frame) => {
    try {
      return await frame.evaluate((time) => globalThis.greetings.find((greeting) => greeting > time), after);
    } catch {
      return undefined;
    }
  }));
  const all = async (after, deadline) => {
    for (;;) {
      const times = await greeted(after);
      if (times.every((time) => time !== undefined) || Date.now() > deadline) return times;
      await new Promise((resolve) => { setTimeout(resolve, 300); });
    }
  };
  const begun = await all(0, Date.now() + PATIENCE_MS);
  clients.forEach(({ name }, n) => { if (begun[n] === undefined) console.error(`${name} did not connect`); });
  const lost = await restart.happen(end, gapMs);
  const back = await all(lost, lost + PATIENCE_MS);
  await context.close();
  await restart.over();
  return back.map((time) => (time === undefined ? null : time - lost));
}

const times = new Map(clients.map(({ name }) => [name, new Map()]));
for (let n = 0; n < repetitions; n += 1) {
  for (const end of ENDS) {
    for (const gap of GAPS_MS) {
      for (const [index, time] of (await measure(end, gap)).entries()) {
        const cells = times.get(clients[index].name);
        cells.set(`${end} ${gap}`, [...(cells.get(`${end} ${gap}`) ?? []), time]);
      }
      console.error(`round ${n + 1} of ${repetitions}: ${end} with a gap of ${gap} ms is done`);
    }
  }
}
console.log(`Seconds until the client was connected again, the median of ${repetitions}; Chromium ${browser.version()}:\n`);
console.log(table(times));
await browser.close();
process.exit(0);
