// Video from page to page: what is drawn into it is read back from the mirror. The camera is a canvas with the time of its
// drawing in it, as black and white squares.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { number, screenshot, shown, showsDistinctPictures } from './browser.mjs';
import { assertDecodes, middle, pages, pageTools, readTimes } from './filming.mjs';

const OLD_PUSHER_JS = fileURLToPath(new URL('node_modules/pusher-js-3/dist/pusher.min.js', import.meta.url));
const CODECS = { h264: 'H.264', vp9: 'VP9', vp8: 'VP8', av1: 'AV1' };
/** A picture with a readable time that a mirror must have shown, of each codec. */
const PICTURES = 20;
/** A viewer who comes late waits for the next scheduled key frame at the longest. */
const FIRST_PICTURE_MS = 4000;
/** Beeps that are listened to, and how far from the pictures they may be heard. */
const BEEPS = 5;
const IN_STEP_MS = 80;

for (const [codec, name] of Object.entries(CODECS)) {
  // What the camera saw is what two mirrors show, in order, without a decoder's error.
  // Proves: pages, video.
  test(`two mirrors show what is filmed, in ${name}`, async (t) => {
    const { stream, mirror, open } = await pages(t);
    const second = await open('/mirror');
    await shown(second, '#connection', /^Connected/);
    await shown(stream, '#audience', /^2 mirrors watch$/);
    await stream.selectOption('#codec-wished', codec);
    await stream.click('#start');
    for (const page of [mirror, second]) {
      const seen = await readTimes(page, PICTURES);
      // The time in them begins anew every few hours.
      const drawn = seen.map((picture) => (picture.drawn - seen[0].drawn) & 0xffffff);
      assert.deepEqual(drawn, drawn.toSorted((one, other) => one - other), 'the pictures come in order');
      assert.match(await shown(page, '#codec', new RegExp(`^${name}, 1280 × 720`)), /Mb\/s/);
      await assertDecodes(page);
    }
    await shown(stream, '#codec', new RegExp(`^${name}, 1280 × 720`));
    assert.equal(await number(stream, '#refused'), 0);
  });
}

// A mirror that is opened late has a picture soon, and from then on all of them.
// Proves: pages, video.
test('a late mirror has its first picture soon', async (t) => {
  const { stream, mirror, open } = await pages(t);
  await stream.click('#start');
  await readTimes(mirror, 5);
  const late = await open('/mirror');
  await shown(late, '#connection', /^Connected/);
  const from = Date.now();
  await readTimes(late, 1);
  const waited = Date.now() - from;
  t.diagnostic(`the first picture came ${waited} ms after the connection stood`);
  assert.ok(waited < FIRST_PICTURE_MS, `${waited} ms`);
  await readTimes(late, PICTURES);
  await assertDecodes(late);
});

// Where nothing is said in the address, video is sent, and goes on being sent: the broker says that it gets it.
// Proves: pages, video.
test('video is what is sent to a broker that has video channels', async (t) => {
  const { stream, mirror } = await pages(t, '');
  await stream.click('#start');
  await readTimes(mirror, 150);
  await shown(stream, '#codec', /Mb\/s/);
  assert.ok(await stream.locator('#why-pictures').isHidden());
  assert.equal(await number(stream, '#refused'), 0);
  await assertDecodes(mirror);
});

// A hidden mirror is sent nothing, nor after a new connection, and has its picture again when it is seen. In a window of its own the
// film goes on meanwhile, although the page is never repainted.
// Proves: pages, video.
test('a hidden mirror gives up its pictures until it is seen again', async (t) => {
  const { stream, mirror } = await pages(t);
  const setSeen = (isHidden, hasWindow = false) => mirror.evaluate(([hidden, own]) => {
    Object.defineProperty(document, 'hidden', { configurable: true, get: () => hidden });
    Object.defineProperty(document, 'pictureInPictureElement', { configurable: true, get: () => own || null });
    globalThis.paint ??= globalThis.requestAnimationFrame;
    globalThis.requestAnimationFrame = hidden ? () => 0 : globalThis.paint;
    document.dispatchEvent(new Event('visibilitychange'));
  }, [isHidden, hasWindow]);
  /** Nothing new has come for a while. */
  const isQuiet = () => mirror.waitForFunction(() => {
    const received = document.getElementById('received').textContent;
    const now = performance.now();
    if (globalThis.before?.received !== received) globalThis.before = { received, now };
    return now - globalThis.before.now > 900;
  }, null, { polling: 50 });
  await stream.click('#start');
  await readTimes(mirror, PICTURES);
  await setSeen(true, true);
  await readTimes(mirror, 2 * PICTURES);
  await setSeen(true);
  await isQuiet();
  await mirror.evaluate(() => {
    const [pusher] = globalThis.Pusher.instances;
    pusher.disconnect();
    pusher.connect();
  });
  await shown(mirror, '#connection', /^Connected/);
  await isQuiet();
  await setSeen(false);
  await readTimes(mirror, PICTURES);
  await shown(mirror, '#codec', /^H\.264/);
  await assertDecodes(mirror);
});

// The publisher's page is loaded anew, and later changes its codec and its size: the mirror goes on, and whoever takes it as WebM.
// Proves: pages, video.
test('the mirror goes on when the stream page is loaded anew, and when codec and size change', async (t) => {
  const { broker, context, stream, mirror, tracks } = await pages(t);
  await stream.click('#start');
  await readTimes(mirror, 5);
  await stream.reload();
  await shown(stream, '#connection', /^Connected/);
  await stream.click('#start');
  await readTimes(mirror, PICTURES);
  assert.ok(await mirror.locator('#company').isHidden(), 'it is no second stream');

  await stream.selectOption('#codec-wished', 'vp8');
  await shown(mirror, '#codec', /^VP8, 1280 × 720/);
  await readTimes(mirror, PICTURES);
  // The same for a video element, and anything else that plays WebM.
  const page = await context.newPage();
  await page.goto(`${broker.url}/health`);
  await page.evaluate((src) => document.body.append(Object.assign(document.createElement('video'), { src, muted: true, autoplay: true })),
    await mirror.getAttribute('#webm', 'href'));
  await page.waitForFunction(() => {
    const video = document.querySelector('video');
    globalThis.from ??= video.videoWidth > 0 ? video.currentTime : undefined;
    return video.videoWidth === 1280 && video.currentTime > globalThis.from + 1;
  }, null, { polling: 50 });
  await page.close();
  await stream.selectOption('#size', '360');
  await shown(mirror, '#codec', /^VP8, 640 × 360/);
  await readTimes(mirror, PICTURES);
  await assertDecodes(mirror);
  assert.deepEqual(tracks.judge(mirror).faults, []);
});

// A line that is cut, on either side, is taken up again with a key frame.
// Proves: pages, video.
test('the video goes on over a new connection', async (t) => {
  const { stream, mirror } = await pages(t);
  await stream.click('#start');
  for (const page of [stream, mirror]) {
    await readTimes(mirror, 5);
    await page.evaluate(() => {
      const [pusher] = globalThis.Pusher.instances;
      pusher.disconnect();
      setTimeout(() => pusher.connect(), 1000);
    });
    await shown(page, '#connection', /^Disconnected/);
    await shown(page, '#connection', /^Connected/);
    await readTimes(mirror, PICTURES);
  }
  await assertDecodes(mirror);
});

// Whoever takes no video sees a still now and then: a mirror without binary messages, and an image tag.
// Proves: pages, video.
test('beside the video goes a still each second', async (t) => {
  const { broker, context, stream, mirror, open } = await pages(t);
  const plain = await open('/mirror?binary=0');
  await stream.click('#start');
  await readTimes(mirror, 5);
  await showsDistinctPictures(plain, 2);
  await shown(plain, '#form', /^data URLs$/);
  const page = await context.newPage();
  await page.goto(`${broker.url}/health`);
  await page.evaluate((src) => document.body.append(Object.assign(document.createElement('img'), { id: 'picture', src })),
    `${broker.url}/apps/1001/channels/mirror/mjpeg?event=frame`);
  await page.waitForFunction(() => document.getElementById('picture')?.naturalWidth > 0);
  const events = page.evaluate((url) => new Promise((resolve, reject) => {
    const source = new EventSource(url);
    source.onerror = () => reject(new Error('the stream of events broke off'));
    source.addEventListener('frame', ({ data }) => { source.close(); resolve(JSON.parse(data)); });
  }), `${broker.url}/apps/1001/channels/mirror/sse`);
  assert.match((await events).dataUrl, /^data:image\/jpeg;base64,/);
  // As the experiment of old showed it: pusher-js 3 and an image.
  await page.addScriptTag({ path: OLD_PUSHER_JS });
  const old = await page.evaluate(([host, port]) => new Promise((resolve) => {
    const pusher = new globalThis.Pusher('app-key', { wsHost: host, wsPort: port, encrypted: false, disableStats: true });
    pusher.subscribe('mirror').bind('frame', ({ dataUrl }) => { pusher.disconnect(); resolve(dataUrl); });
    setTimeout(() => resolve(''), 15_000);
  }), [broker.host, broker.port]);
  assert.match(old, /^data:image\/jpeg;base64,/);
  await page.close();
  await shown(mirror, '#codec', /^H\.264/);
});

// Pages whose browser has no codecs say so, and send and show single pictures.
// Proves: pages, video.
test('without codecs the pages say so and go on with single pictures', async (t) => {
  const { broker, context, mirror, stream } = await pages(t);
  const without = (name) => `delete globalThis.${name}`;
  const old = await context.newPage();
  await old.addInitScript(without('VideoDecoder'));
  await old.goto(`${broker.url}/mirror`);
  await shown(old, '#why-stills', /a still each second is shown: this browser has no video decoder/);
  await stream.click('#start');
  await readTimes(mirror, 5);
  await shown(old, '#codec', /^single pictures, 640 × 360$/);
  await old.close();
  await stream.close();

  const picturing = await context.newPage();
  await picturing.addInitScript(without('VideoEncoder'));
  await picturing.goto(`${broker.url}/stream`);
  await shown(picturing, '#why-pictures', /^Single pictures are sent in place of video: this browser has no video encoder/);
  await picturing.click('#start');
  await shown(mirror, '#codec', /^single pictures, 480 × 360$/);
  await shown(mirror, '#why-stills', /^$/);
  await picturing.close();

  // An encoder without the codec that is wished; with another one it is video again.
  const choosy = await context.newPage();
  await choosy.addInitScript(() => {
    const { isConfigSupported } = VideoEncoder;
    VideoEncoder.isConfigSupported = async (config) => (config.codec.startsWith('av01') ? { supported: false } : isConfigSupported(config));
  });
  await choosy.addInitScript(processorInWorkers);
  await choosy.goto(`${broker.url}/stream?video=1`);
  await choosy.selectOption('#codec-wished', 'av1');
  await choosy.click('#start');
  await shown(choosy, '#why-pictures', /^Single pictures are sent in place of video: this browser does not both encode and decode AV1/);
  await shown(mirror, '#codec', /^single pictures, 480 × 360$/);
  await choosy.selectOption('#codec-wished', 'vp8');
  await shown(mirror, '#codec', /^VP8, 320 × 240/);
  await shown(mirror, '#badge', /^Live$/);
  assert.ok(await choosy.locator('#why-pictures').isHidden());
});

// A browser that does not know the codec says so and shows the stills; with another codec it goes over to the video.
// Proves: pages, video.
test('a mirror that does not know the codec shows stills until there is another one', async (t) => {
  const { broker, context, stream } = await pages(t);
  const mirror = await context.newPage();
  await mirror.addInitScript(() => {
    const { configure } = VideoDecoder.prototype;
    VideoDecoder.prototype.configure = function configureSome(config) {
      if (config.codec.startsWith('avc1')) throw new DOMException('H.264 is not known here', 'NotSupportedError');
      configure.call(this, config);
    };
  });
  await mirror.goto(`${broker.url}/mirror`);
  await mirror.evaluate(pageTools);
  await stream.click('#start');
  await shown(mirror, '#why-stills', /^Of this video a still each second is shown: this browser does not decode H\.264/);
  await shown(mirror, '#codec', /^single pictures, 640 × 360$/);
  await stream.selectOption('#codec-wished', 'vp8');
  await readTimes(mirror, PICTURES);
  assert.ok(await mirror.locator('#why-stills').isHidden());
  await mirror.close();
});

// Stopped is not paused, and the mirror says which.
// Proves: pages, video.
test('a mirror tells a stream that has stopped from one that has paused', async (t) => {
  const { stream, mirror } = await pages(t);
  await stream.click('#start');
  await readTimes(mirror, 5);
  await stream.evaluate(() => { globalThis.isCameraStill = true; });
  await shown(mirror, '#veil', /^The stream has paused$/);
  await stream.evaluate(() => { globalThis.isCameraStill = false; });
  await readTimes(mirror, PICTURES);
  await mirror.locator('#badge').waitFor({ state: 'visible' });
  await stream.click('#start');
  await shown(mirror, '#veil', /^The stream has stopped$/);
  await stream.click('#start');
  await readTimes(mirror, 5);
  await stream.close();
  await shown(mirror, '#veil', /^The stream has (stopped|paused)$/);
});

// The microphone beeps with each second of the clock in the pictures; the mirror plays that once it is asked to, and in step.
// Proves: pages, video.
test('sound goes beside the video, in step with it', async (t) => {
  const { stream, mirror } = await pages(t);
  await mirror.evaluate(() => {
    globalThis.pieces = { all: 0, heard: [] };
    let wasLoud = false;
    const { start } = AudioBufferSourceNode.prototype;
    AudioBufferSourceNode.prototype.start = function startNoted(when) {
      const { pieces } = globalThis;
      pieces.all += 1;
      this.buffer.getChannelData(0).forEach((value, index) => {
        // The first loud one after silence of a twentieth of a second.
        const at = Date.now() + (when - this.context.currentTime + index / this.buffer.sampleRate) * 1000;
        if (Math.abs(value) < 0.05) return;
        if (!wasLoud || at - wasLoud > 50) pieces.heard.push(at % 1000);
        wasLoud = at;
      });
      return start.call(this, when);
    };
  });
  await stream.evaluate(() => { document.getElementById('sound').click(); });
  await stream.click('#start');
  await mirror.click('#sound');
  // A machine that is busy for a moment is not what is looked for.
  let apart = Infinity;
  for (let attempt = 0; Math.abs(apart) >= IN_STEP_MS; attempt += 1) {
    assert.ok(attempt < 4, `sound is ${apart} ms behind the pictures`);
    await mirror.evaluate(() => { globalThis.pieces.heard.length = 0; });
    const seen = await readTimes(mirror, 60);
    await mirror.waitForFunction((count) => globalThis.pieces.heard.length >= count, BEEPS, { polling: 50 });
    const [sound, pictures] = [middle(await mirror.evaluate(() => globalThis.pieces.heard)), middle(seen.map(({ took }) => took))];
    apart = Math.round(sound - pictures);
    t.diagnostic(`sound is heard ${Math.round(sound)} ms, pictures are seen ${pictures} ms after they were made`);
  }
  await stream.evaluate(() => { document.getElementById('sound').click(); });
  const before = await mirror.evaluate(() => globalThis.pieces.all);
  await readTimes(mirror, 60);
  assert.ok(await mirror.evaluate(() => globalThis.pieces.all) - before < 25, 'two seconds later there is no sound any more');
  await assertDecodes(mirror);
  assert.equal(await number(stream, '#refused'), 0);
});

// From the drawing in the one page to the repaint of the other, beside the same as single pictures of as many pixels.
// Proves: pages, video.
test('how long it takes from the camera to the screen, and how many bytes', async (t) => {
  const measured = {};
  for (const [form, query] of [['video', 'video=1'], ['JPEG', 'video=0']]) {
    const { stream, mirror } = await pages(t, query);
    if (form === 'JPEG') {
      await stream.locator('#rate').fill('30');
      await stream.locator('#width').fill('1280');
    }
    await stream.click('#start');
    // A page behind another one may be repainted once a second.
    await mirror.bringToFront();
    await readTimes(mirror, 60);
    const seen = await readTimes(mirror, 200);
    const sorted = seen.map(({ took }) => took).sort((a, b) => a - b);
    const [p50, p95] = [0.5, 0.95].map((part) => sorted[Math.floor(sorted.length * part)]);
    const [codec, traffic, fps] = await Promise.all(['#codec', '#throughput', '#fps'].map((id) => mirror.textContent(id)));
    measured[form] = p50;
    t.diagnostic(`${form} at 720p30: ${p50} ms, 95 % within ${p95} ms; ${traffic} at ${fps} (${codec})`);
    await screenshot(mirror, `latency-${form.toLowerCase()}`);
    await Promise.all([stream.close(), mirror.close()]);
  }
  assert.ok(measured.video < 1000, `${measured.video} ms`);
});

/**
 * As in Safari: what hands out the frames of a camera is in workers alone. Chromium sends no camera there, so that it is a
 * moving picture of the worker's own.
 */
function processorInWorkers() {
  delete globalThis.MediaStreamTrackProcessor;
  const inWorker = () => {
    self.MediaStreamTrackProcessor = class {
      readable = new ReadableStream({
        pull: async (controller) => {
          await new Promise((resolve) => { setTimeout(resolve, 33); });
          const context = new OffscreenCanvas(320, 240).getContext('2d');
          context.fillStyle = `hsl(${performance.now() / 10} 60% 50%)`;
          context.fillRect(0, 0, 320, 240);
          controller.enqueue(new VideoFrame(context.canvas, { timestamp: Math.round(performance.now() * 1000) }));
        },
      }, { highWaterMark: 0 });
    };
  };
  const { Worker } = globalThis;
  globalThis.Worker = class extends Worker {
    constructor(url) {
      super(URL.createObjectURL(new Blob([`(${inWorker})(); importScripts(${JSON.stringify(`${url}`)});`])));
    }

    postMessage(message) {
      super.postMessage({ ...message, ...(message.track && { track: {} }) });
    }
  };
}
