// The pages where pusher-js cannot be had: one binary is enough, with a client of its own.

import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { startBroker } from './broker.mjs';
import { cleanup } from './cleanup.mjs';
import { EXAMPLE, exceeds, number, openBrowser, openPage, screenshot, shown, showsDistinctPictures } from './browser.mjs';
import { serve } from './serve.mjs';

const DISTINCT_PICTURES = 3;
/** Nothing is installed that the broker could serve: it sends the pages to the CDN. */
const NOT_INSTALLED = { HELIOSTAT_DEVELOPMENT_PUSHER_JS: '' };
/** The browser's own line on the console for a script that could not be had. */
const NO_SCRIPT = /js\.pusher\.com|ERR_NAME_NOT_RESOLVED|ERR_CONNECTION|404/;
const OWN = /^Connected by heliostat’s own small client, because pusher-js could not be loaded\.$/;

const CDNS = {
  'cannot be found': async () => 'MAP js.pusher.com ~NOTFOUND',
  'never answers': async (t) => `MAP js.pusher.com 127.0.0.1:${await silence(t)}`,
};

for (const [what, rule] of Object.entries(CDNS)) {
  // Every page says which client it uses, and the camera is seen as ever.
  // Proves: pages, video.
  test(`the pages work where the CDN ${what}`, async (t) => {
    const broker = await startBroker(t, { env: NOT_INSTALLED });
    const context = await (await openBrowser(t, { args: [`--host-resolver-rules=${await rule(t)}`] })).newContext();
    const open = (path) => openPage(t, context, `${broker.url}${path}`, { forgive: NO_SCRIPT });
    const [index, mirror, stream] = [await open('/'), await open('/mirror'), await open('/stream')];
    for (const page of [index, mirror, stream]) {
      await shown(page, '#client', OWN);
      await shown(page, '#connection', new RegExp(`^Connected to ${broker.host}:${broker.port}$`));
    }
    await stream.click('#start');
    await showsDistinctPictures(mirror, DISTINCT_PICTURES);
    await exceeds(mirror, '#received', 10);
    for (const page of [stream, mirror]) await shown(page, '#form', /^binary messages$/);
    await shown(mirror, '#latency-note', /exact/);
    assert.equal(await number(mirror, '#lost'), 0);
    assert.equal(await number(stream, '#refused'), 0);
    for (const [name, page] of Object.entries({ index, stream, mirror })) await screenshot(page, `offline-${name}`);
  });
}

// What the one client sends the other shows, in either form.
// Proves: pages, video.
test('the pages’ own client and pusher-js understand each other', async (t) => {
  const broker = await startBroker(t);
  const context = await (await openBrowser(t)).newContext();
  for (const form of ['', 'binary=0']) {
    for (const [from, to] of [['client=own', ''], ['', 'client=own']]) {
      const mirror = await openPage(t, context, `${broker.url}/mirror?${to}&${form}`);
      await shown(mirror, '#connection', /^Connected/);
      await shown(mirror, '#client', to ? /^Connected by heliostat’s own small client\.$/ : /^Connected by pusher-js \d/);
      const stream = await openPage(t, context, `${broker.url}/stream?${from}&${form}`);
      await stream.click('#start');
      await showsDistinctPictures(mirror, DISTINCT_PICTURES);
      await shown(mirror, '#form', form ? /^data URLs$/ : /^binary messages$/);
      await Promise.all([mirror.close(), stream.close()]);
    }
  }
});

// Under a path prefix, and from another server, the client finds the broker as pusher-js does.
// Proves: pages.
test('the pages’ own client finds the broker under a prefix and from another server', async (t) => {
  const broker = await startBroker(t, { args: ['--path-prefix', '/light'] });
  const origin = await serve(t, { folder: EXAMPLE });
  const context = await (await openBrowser(t)).newContext();
  const mirror = await openPage(t, context, `${broker.url}/light/mirror?client=own`);
  const query = `?client=own&host=${broker.host}&port=${broker.port}&path=/light`;
  const stream = await openPage(t, context, `${origin}/stream.html${query}`);
  await stream.click('#start');
  await exceeds(mirror, '#received', 5);
});

/** A port where everyone is let in and nobody is answered. */
async function silence(t) {
  const sockets = new Set();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {}).on('close', () => sockets.delete(socket)).resume();
  });
  await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  cleanup(t, () => new Promise((resolve) => {
    server.close(resolve);
    for (const socket of sockets) socket.destroy();
  }));
  return server.address().port;
}
