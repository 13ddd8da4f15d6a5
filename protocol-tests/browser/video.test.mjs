// Video over binary messages, and as a picture that anyone can open.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startBroker } from './broker.mjs';
import { exceeds, openBrowser, openPage, shown, showsDistinctPictures } from './browser.mjs';

const WINDOW = { viewport: { width: 1120, height: 820 } };
/** Different pictures that must have been seen before something counts as moving. */
const DISTINCT_PICTURES = 3;
const DEADLINE_MS = 30_000;

// Where both pages take binary messages, no data URL is made at all, and the mirror's picture changes.
// Proves: pages, video.
test('the mirror shows what comes as binary messages', async (t) => {
  const { stream, mirror } = await pages(t);
  await stream.click('#start');
  await shown(stream, '#form', /^binary messages$/);
  await shown(mirror, '#form', /^binary messages$/);
  await showsDistinctPictures(mirror, DISTINCT_PICTURES);
  await exceeds(mirror, '#received', 20);
  await shown(mirror, '#lost', /^0$/);
  await shown(mirror, '#latency-note', /exact/);
  await stream.click('#start');
  await shown(mirror, '#veil', /^The stream has stopped$/);
  await shown(mirror, '#received', new RegExp(`^${await stream.textContent('#sent')}$`));
});

// A page that knows nothing of binary messages is shown the same stream as data URLs.
// Proves: pages, video.
test('an ordinary subscriber sees the same stream as data URLs', async (t) => {
  const { stream, mirror } = await pages(t, { mirrorQuery: '?binary=0' });
  await stream.click('#start');
  await shown(stream, '#form', /^binary messages$/);
  await shown(mirror, '#form', /^data URLs$/);
  await showsDistinctPictures(mirror, DISTINCT_PICTURES);
});

// The other way round: what is sent as a data URL stays one.
// Proves: pages, video.
test('a stream of data URLs is shown by a page that takes binary messages', async (t) => {
  const { stream, mirror } = await pages(t, { streamQuery: '?binary=0' });
  await stream.click('#start');
  await shown(stream, '#form', /^data URLs$/);
  await shown(mirror, '#form', /^data URLs$/);
  await showsDistinctPictures(mirror, DISTINCT_PICTURES);
});

// The mirror as a picture: an <img> tag and nothing else.
// Proves: pages, video.
test('an img tag shows the changing picture', async (t) => {
  const { broker, context, stream } = await pages(t);
  await stream.click('#start');
  const page = await context.newPage();
  const url = `${broker.url}/apps/1001/channels/mirror/mjpeg?event=frame`;
  await page.setContent(`<img id="picture" width="320" height="240" src="${url}">`, { waitUntil: 'commit' });
  await page.waitForFunction(() => document.getElementById('picture')?.naturalWidth > 0, null, { timeout: DEADLINE_MS });
  const seen = new Set();
  const deadline = Date.now() + DEADLINE_MS;
  while (seen.size < DISTINCT_PICTURES) {
    assert.ok(Date.now() < deadline, `only ${seen.size} different pictures were seen`);
    seen.add((await page.locator('#picture').screenshot()).toString('base64'));
  }
  await page.close();
});

// An EventSource hears the events of the channel.
// Proves: pages, video.
test('an EventSource hears the frames', async (t) => {
  const { broker, mirror, stream } = await pages(t);
  await stream.click('#start');
  const frame = await mirror.evaluate((url) => new Promise((resolve, reject) => {
    const source = new EventSource(url);
    source.onerror = () => reject(new Error('the stream of events broke off'));
    source.addEventListener('frame', ({ data, lastEventId }) => {
      source.close();
      resolve({ data: JSON.parse(data), lastEventId });
    });
  }), `${broker.url}/apps/1001/channels/mirror/sse`);
  assert.match(frame.data.dataUrl, /^data:image\/jpeg;base64,/);
  assert.equal(frame.lastEventId, '1');
});

async function pages(t, { streamQuery = '?video=0', mirrorQuery = '' } = {}) {
  const broker = await startBroker(t);
  const context = await (await openBrowser(t)).newContext(WINDOW);
  const mirror = await openPage(t, context, `${broker.url}/mirror${mirrorQuery}`);
  await shown(mirror, '#connection', /^Connected/);
  const stream = await openPage(t, context, `${broker.url}/stream${streamQuery}`);
  await shown(stream, '#connection', /^Connected/);
  return { broker, context, mirror, stream };
}
