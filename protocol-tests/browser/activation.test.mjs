// A broker that is restarted while a service manager holds its socket, as pages see it: they come back, no connection of
// theirs is refused, and publishers see no error.
//
// How long they were away is printed, and judged by nobody; RESTARTS=20 is the measurement of docs/operations.md. The same
// under Node and Python is ../clients/node/activation.test.mjs. Each client has a frame with an origin of its own, and so its
// own storage and process, and stays the same through all restarts.

import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import { openBrowser, openPage } from './browser.mjs';
import { Absences, DEADLINE_MS, RESTARTS, WAYS, activate, whilePublishing } from '../clients/node/activation.mjs';
import { serve } from './serve.mjs';

const Pusher = createRequire(import.meta.url)('pusher');

/** The clients by the folders of their packages. Echo is given today's pusher-js. */
const LIBRARIES = ['pusher-js-5', 'pusher-js-7', 'pusher-js'];
const ECHOES = ['laravel-echo-1', 'laravel-echo-2'];

const versionOf = async (name) => (
  JSON.parse(await readFile(new URL(`node_modules/${name}/package.json`, import.meta.url), 'utf8')).version
);

async function clients() {
  const all = [];
  for (const library of LIBRARIES) {
    for (const [way, options] of Object.entries(WAYS)) {
      all.push({ name: `pusher-js ${await versionOf(library)}, ${way}`, library, options });
    }
  }
  for (const echo of ECHOES) {
    all.push({ name: `Laravel Echo ${await versionOf(echo)}`, library: LIBRARIES.at(-1), options: {}, echo });
  }
  return all;
}

const HEAD = '<!doctype html><link rel="icon" href="data:,">';

/** The page of one client, which notes when it is connected, and when it is no more. */
function pageOf({ library, options, echo }, { host, port, key }) {
  const all = {
    cluster: 'mt1', wsHost: host, wsPort: port, wssPort: port, httpHost: host, httpPort: port, httpsPort: port, forceTLS: false,
    ...(library === 'pusher-js-5' ? { disableStats: true } : { enableStats: false }),
    ...options,
  };
  const connect = echo
    ? `new (Echo.default || Echo)(${JSON.stringify({ broadcaster: 'pusher', key, ...all })}).connector.pusher`
    : `new Pusher(${JSON.stringify(key)}, ${JSON.stringify(all)})`;
  return `${HEAD}
    <script src="/node_modules/${library}/dist/web/pusher.js"></script>
    ${echo ? `<script src="/node_modules/${echo}/dist/echo.iife.js"></script>` : ''}
    <script>
      var greetings = [], losses = [], pusher = ${connect};
      pusher.connection.bind('state_change', function (change) {
        if (change.current === 'connected') greetings.push(Date.now());
        if (change.previous === 'connected') losses.push(Date.now());
      });
    </script>`;
}

// Proves: 53.
test('pages come back and publishers see no error while brokers take turns on a socket that is held', async (t) => {
  const broker = await activate(t);
  const chosen = await clients();
  const pages = Object.fromEntries(chosen.map((client, n) => [`/client-${n}`, pageOf(client, broker.address)]));
  const own = (n) => `http://client-${n}.localhost:${new URL(origin).port}/client-${n}`;
  const origin = await serve(t, { pages: {
    ...pages,
    get '/'() { return `${HEAD}${chosen.map((_, n) => `<iframe width="40" height="30" src="${own(n)}"></iframe>`).join('')}`; },
  } });
  const browser = await openBrowser(t, { camera: 'none' });
  // The browser writes a line to the console for each connection that fails: the page complains of it at its end.
  const page = await openPage(t, await browser.newContext(), origin);
  const frames = chosen.map((_, n) => page.frames().find((frame) => frame.url() === own(n)));
  const every = (condition, arguments_) => Promise.all(frames.map((frame, n) => (
    frame.waitForFunction(condition, arguments_[n], { timeout: DEADLINE_MS, polling: 20 })
  )));
  const absences = new Absences();
  const published = await whilePublishing(Pusher, broker.address, async () => {
    await every(() => globalThis.greetings.length > globalThis.losses.length, []);
    for (let n = 1; n <= RESTARTS; n += 1) {
      const lost = await Promise.all(frames.map((frame) => frame.evaluate(() => globalThis.losses.length)));
      await broker.restart();
      await every((before) => {
        const { greetings, losses } = globalThis;
        return losses.length > before && greetings.length > losses.length;
      }, lost);
      for (const [index, frame] of frames.entries()) {
        const away = await frame.evaluate((loss) => globalThis.greetings[loss + 1] - globalThis.losses[loss], lost[index]);
        absences.note(chosen[index].name, away / 1000);
      }
    }
  });
  absences.lines().forEach((line) => t.diagnostic(line));
  t.diagnostic(`published without an error: ${published.join(', ')}; Chromium ${browser.version()}`);
  // The socket goes with the last broker.
  await page.close();
  await broker.end();
});
