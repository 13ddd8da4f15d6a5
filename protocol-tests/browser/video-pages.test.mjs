// Video from page to page: what is drawn into it is read back from the mirror. The camera is a canvas with the time of its
// drawing in it, as black and white squares.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startBroker } from './broker.mjs';
import { exceeds, number, openBrowser, openPage, screenshot, shown, showsDistinctPictures } from './browser.mjs';

const WINDOW = { viewport: { width: 1120, height: 820 } };
const CODECS = { h264: 'H.264', vp9: 'VP9', vp8: 'VP8', av1: 'AV1' };
/** A picture with a readable time that a mirror must have shown, of each codec. */
const PICTURES = 20;
/** A viewer who comes late waits for the next scheduled key frame at the longest. */
const FIRST_PICTURE_MS = 4000;

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
      assert.ok(seen.every(({ drawn }, index) => index === 0 || drawn >= seen[index - 1].drawn), 'the pictures come in order');
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

// A hidden mirror is sent nothing, and has its picture again when it is seen.
// Proves: pages, video.
test('a hidden mirror gives up its pictures until it is seen again', async (t) => {
  const { stream, mirror } = await pages(t);
  const setHidden = (isHidden) => mirror.evaluate((value) => {
    Object.defineProperty(document, 'hidden', { configurable: true, get: () => value });
    document.dispatchEvent(new Event('visibilitychange'));
  }, isHidden);
  await stream.click('#start');
  await readTimes(mirror, PICTURES);
  await setHidden(true);
  await shown(mirror, '#throughput', /^[0-9.]+ (B|KB)\/s$/);
  await mirror.waitForFunction(() => {
    const received = document.getElementById('received').textContent;
    const now = performance.now();
    if (globalThis.before?.received !== received) globalThis.before = { received, now };
    return now - globalThis.before.now > 900;
  });
  await setHidden(false);
  await readTimes(mirror, PICTURES);
  await shown(mirror, '#codec', /^H\.264/);
  await assertDecodes(mirror);
});

// The publisher's page is loaded anew, and later changes its codec and its size: the mirror goes on.
// Proves: pages, video.
test('the mirror goes on when the stream page is loaded anew, and when codec and size change', async (t) => {
  const { stream, mirror } = await pages(t);
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
  await stream.selectOption('#size', '360');
  await shown(mirror, '#codec', /^VP8, 640 × 360/);
  await readTimes(mirror, PICTURES);
  await assertDecodes(mirror);
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
  await page.setContent(`<img id="picture" src="${broker.url}/apps/1001/channels/mirror/mjpeg?event=frame">`, { waitUntil: 'commit' });
  await page.waitForFunction(() => document.getElementById('picture')?.naturalWidth > 0);
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

// The fake microphone beeps; the mirror plays that once it is asked to.
// Proves: pages, video.
test('sound goes beside the video', async (t) => {
  const { stream, mirror } = await pages(t);
  await mirror.evaluate(() => {
    globalThis.pieces = { all: 0, loud: 0 };
    const { start } = AudioBufferSourceNode.prototype;
    AudioBufferSourceNode.prototype.start = function startNoted(...when) {
      globalThis.pieces.all += 1;
      if (this.buffer.getChannelData(0).some((value) => Math.abs(value) > 0.05)) globalThis.pieces.loud += 1;
      return start.apply(this, when);
    };
  });
  await stream.evaluate(() => { document.getElementById('sound').click(); });
  await stream.click('#start');
  await mirror.click('#sound');
  await mirror.waitForFunction(() => globalThis.pieces.all > 50 && globalThis.pieces.loud > 5);
  await readTimes(mirror, PICTURES);
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

/** A mirror that is connected, and a stream page whose camera films the time. */
async function pages(t, query = 'video=1') {
  const broker = await startBroker(t);
  const context = await (await openBrowser(t)).newContext(WINDOW);
  const open = async (path) => {
    const page = await openPage(t, context, broker.url + path);
    await page.evaluate(pageTools);
    return page;
  };
  const mirror = await open('/mirror');
  await shown(mirror, '#connection', /^Connected/);
  const stream = await context.newPage();
  await stream.addInitScript(filmTime);
  await stream.goto(`${broker.url}/stream?${query}`);
  await shown(stream, '#connection', /^Connected/);
  return { broker, context, mirror, stream, open };
}

/** In place of the camera: a moving picture with the time of its drawing as squares along its upper edge. */
function filmTime() {
  const [WIDTH, HEIGHT, SQUARE] = [1280, 720, 40];
  const { getUserMedia } = navigator.mediaDevices;
  navigator.mediaDevices.getUserMedia = async (wished) => {
    if (wished.audio) return getUserMedia.call(navigator.mediaDevices, wished);
    const canvas = Object.assign(document.createElement('canvas'), { width: WIDTH, height: HEIGHT });
    const context = canvas.getContext('2d');
    const draw = () => {
      if (globalThis.isCameraStill) return;
      const time = Date.now() % 2 ** 24;
      context.fillStyle = `hsl(${(time / 20) % 360} 60% 50%)`;
      context.fillRect(0, SQUARE, WIDTH, HEIGHT);
      context.fillStyle = '#fff';
      for (let index = 0; index < 8; index += 1) {
        const angle = time / 700 + index;
        context.fillRect(WIDTH / 2 + 400 * Math.cos(angle) - 40, HEIGHT / 2 + 220 * Math.sin(angle) - 40, 80, 80);
      }
      // A one, a zero, 24 bits, and how many of those are ones.
      const bits = [...time.toString(2).padStart(24, '0')].map(Number);
      const ones = bits.reduce((sum, bit) => sum + bit, 0);
      [1, 0, ...bits, ...[...ones.toString(2).padStart(5, '0')].map(Number)].forEach((bit, index) => {
        context.fillStyle = bit ? '#fff' : '#000';
        context.fillRect(index * SQUARE, 0, SQUARE, SQUARE);
      });
    };
    draw();
    setInterval(draw, 1000 / 30);
    return canvas.captureStream(30);
  };
}

/**
 * On the mirror: reads the time in the picture at each repaint, and notes each one that is new. A page that is open behind
 * another one may have one repaint a second, so it is looked at in between as well.
 */
function pageTools() {
  const [PROBE, BITS, SQUARES] = [8, 31, 32];
  const context = Object.assign(document.createElement('canvas'), { width: SQUARES * PROBE, height: 2 }).getContext('2d', { willReadFrequently: true });
  globalThis.times = [];
  let last = null;
  const look = () => {
    const again = [requestAnimationFrame(() => { clearTimeout(again[1]); look(); }), setTimeout(() => { cancelAnimationFrame(again[0]); look(); }, 50)];
    const [film, image] = ['film', 'picture'].map((id) => document.getElementById(id));
    const picture = film.hidden ? image : film;
    const [width, height] = [picture.naturalWidth ?? picture.width, picture.naturalHeight ?? picture.height];
    if (!width || picture.hidden) return;
    // The middle of the squares, of 32 of which the picture is as wide.
    context.drawImage(picture, 0, height / 45, width, height / 90, 0, 0, SQUARES * PROBE, 2);
    const { data } = context.getImageData(0, 0, SQUARES * PROBE, 1);
    const bits = Array.from({ length: BITS }, (_, index) => (data[4 * (index * PROBE + PROBE / 2)] > 127 ? 1 : 0));
    const value = (from, to) => Number.parseInt(bits.slice(from, to).join(''), 2);
    const ones = bits.slice(2, 26).reduce((sum, bit) => sum + bit, 0);
    if (bits[0] !== 1 || bits[1] !== 0 || value(26, 31) !== ones) return;
    const drawn = value(2, 26);
    if (drawn === last) return;
    last = drawn;
    globalThis.times.push({ drawn, took: (Date.now() % 2 ** 24) - drawn });
  };
  look();
}

/** The next so many different times that the mirror shows. */
async function readTimes(page, count) {
  await page.evaluate(() => { globalThis.times.length = 0; });
  await page.waitForFunction((wanted) => globalThis.times.length >= wanted, count, { polling: 50 });
  return page.evaluate((wanted) => globalThis.times.slice(0, wanted), count);
}

async function assertDecodes(mirror) {
  assert.doesNotMatch(await mirror.textContent('#dropped'), /error/);
  assert.ok(await mirror.locator('#problem').isHidden(), await mirror.locator('#problem').textContent());
  await exceeds(mirror, '#received', 0);
}
