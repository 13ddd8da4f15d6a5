// Pages of the original experiment's kind, with the oldest pusher-js that npm still has.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { APP, startBroker } from './broker.mjs';
import { openBrowser, openPage, shown } from './browser.mjs';
import { serve } from './serve.mjs';

// A page sends an unprefixed `frame` on the public channel `stream`; an old page and today's mirror see it on
// `mirror`, and the other pages on `stream` do not. This release's channel.trigger() insists on `client-`, so the
// page uses the call beneath it, which puts on the wire what older releases did.
// Proves: 260.
test('an unprefixed frame of an old page reaches old and new mirrors', async (t) => {
  const broker = await startBroker(t);
  const context = await (await openBrowser(t)).newContext();
  const mirror = await openPage(t, context, `${broker.url}/mirror`);
  await shown(mirror, '#connection', /^Connected/);
  const [oldStream, oldBystander, oldMirror] = [
    await oldPage(t, context, broker, 'stream'),
    await oldPage(t, context, broker, 'stream'),
    await oldPage(t, context, broker, 'mirror'),
  ];
  await subscribedToMirror(mirror);

  const dataUrl = await drawnPicture(oldStream);
  assert.ok(dataUrl.length > 100_000, `a frame of ${dataUrl.length} bytes`);
  const frame = { dataUrl, message: 'Sending frame' };
  assert.equal(await oldStream.evaluate((data) => globalThis.pusher.send_event('frame', data, 'stream'), frame), true);

  await oldMirror.waitForFunction(() => globalThis.received.length > 0);
  assert.deepEqual(await oldMirror.evaluate(() => globalThis.received), [frame]);
  await shown(mirror, '#received', /^1$/);
  await shown(mirror, '#message', /^Sending frame$/);
  assert.equal(await mirror.getAttribute('#picture', 'src'), dataUrl);
  assert.equal(await mirror.textContent('#latency'), '–');
  assert.equal(await mirror.textContent('#lost'), '–');

  // What a page on `stream` says afterwards comes after anything it was sent before.
  for (const page of [oldStream, oldBystander]) {
    await page.evaluate(() => new Promise((resolve) => {
      globalThis.pusher.subscribe('afterwards').bind('pusher:subscription_succeeded', resolve);
    }));
    assert.deepEqual(await page.evaluate(() => globalThis.received), []);
    assert.deepEqual(await page.evaluate(() => globalThis.errors), []);
  }
});

/** A page with the old library, subscribed to one channel, that remembers the frames and errors it gets. */
async function oldPage(t, context, broker, channel) {
  const options = {
    wsHost: broker.host, wsPort: broker.port, wssPort: broker.port, encrypted: false, enabledTransports: ['ws'], disableStats: true,
  };
  const origin = await serve(t, { pages: {
    '/': `<!doctype html><link rel="icon" href="data:,"><script src="/node_modules/pusher-js-3/dist/pusher.js"></script><script>
      var received = [], errors = [];
      var pusher = new Pusher(${JSON.stringify(APP.key)}, ${JSON.stringify(options)});
      pusher.connection.bind('error', function (error) { errors.push(error); });
      pusher.subscribe(${JSON.stringify(channel)}).bind('frame', function (data) { received.push(data); });
    </script>`,
  } });
  const page = await openPage(t, context, `${origin}/`);
  await page.waitForFunction((name) => globalThis.pusher.channel(name).subscribed, channel);
  return page;
}

/** Noise, because that is what makes a JPEG big. */
function drawnPicture(page) {
  return page.evaluate(() => {
    const context = Object.assign(document.createElement('canvas'), { width: 480, height: 360 }).getContext('2d');
    const noise = context.createImageData(480, 360);
    let state = 1;
    for (let i = 0; i < noise.data.length; i += 1) {
      state = (Math.imul(state, 1103515245) + 12345) >>> 0;
      noise.data[i] = i % 4 === 3 ? 255 : state >>> 24;
    }
    context.putImageData(noise, 0, 0);
    return context.canvas.toDataURL('image/jpeg', 0.8);
  });
}

function subscribedToMirror(page) {
  return page.waitForFunction(() => globalThis.Pusher.instances[0].channel('mirror').subscribed);
}
