// Pages that film the time: what is drawn into the camera's picture is read back from the mirror's.

import assert from 'node:assert/strict';
import { startBroker } from './broker.mjs';
import { exceeds, openBrowser, openPage, shown } from './browser.mjs';
import { readBinaryMessage, TrackChecker } from './track-checker.mjs';

const WINDOW = { viewport: { width: 1120, height: 820 } };

/** A mirror that is connected, and a stream page whose camera films the time. */
export async function pages(t, query = 'video=1', { streamBroker = null } = {}) {
  const broker = await startBroker(t);
  const context = await (await openBrowser(t)).newContext(WINDOW);
  const tracks = record(context);
  const open = async (path) => {
    const page = await openPage(t, context, broker.url + path);
    await page.evaluate(pageTools);
    return page;
  };
  const mirror = await open('/mirror');
  await shown(mirror, '#connection', /^Connected/);
  const stream = await context.newPage();
  await stream.addInitScript(filmTime);
  const line = streamBroker ? await streamBroker(broker) : broker;
  await stream.goto(`${line.url}/stream?${query}`);
  await shown(stream, '#connection', /^Connected/);
  return { broker, context, mirror, stream, open, tracks, line };
}

/** Notes what the pages' sockets send and are sent of tracks. */
function record(context) {
  const sent = [];
  const lines = [];
  context.on('page', (page) => page.on('websocket', (socket) => {
    const received = [];
    lines.push({ page, received });
    const noting = (list) => ({ payload }) => {
      if (typeof payload === 'string') return;
      const { event, mediaType, members } = readBinaryMessage(payload);
      list.push({ event, mediaType, members });
    };
    socket.on('framesent', noting(sent));
    socket.on('framereceived', noting(received));
  }));
  return {
    /** What was wrong with all that a page was sent, and how often it was moved to another rendition. */
    judge: (page) => {
      const faults = [];
      let [frames, moves] = [0, 0];
      for (const { received } of lines.filter((line) => line.page === page)) {
        const checker = new TrackChecker();
        // A rule calls the event otherwise.
        for (const { event, members } of sent) checker.sent(event.replace(/^client-/, ''), members);
        for (const { event, mediaType, members } of received) checker.take(event, mediaType, members);
        faults.push(...checker.faults);
        frames += checker.frames;
        moves += checker.moves;
      }
      return { faults, frames, moves };
    },
  };
}

/** In place of the camera: a moving picture with the time of its drawing as squares along its upper edge. */
function filmTime() {
  const [WIDTH, HEIGHT, SQUARE] = [1280, 720, 40];
  /** A tone of a tenth of a second at each full second of the clock that is in the pictures. */
  const beep = () => {
    const [RATE, MILLISECONDS] = [48_000, 10];
    const length = (RATE * MILLISECONDS) / 1000;
    const microphone = new MediaStreamTrackGenerator({ kind: 'audio' });
    const writer = microphone.writable.getWriter();
    let written = Date.now();
    setInterval(() => {
      for (; written < Date.now(); written += MILLISECONDS) {
        const isLoud = written % 1000 < 100;
        const data = Float32Array.from({ length }, (_, index) => (isLoud ? 0.5 * Math.sin(index / 8) : 0));
        writer.write(new AudioData({
          format: 'f32', sampleRate: RATE, numberOfFrames: length, numberOfChannels: 1, timestamp: written * 1000, data,
        })).catch(() => {});
      }
    }, MILLISECONDS);
    return new MediaStream([microphone]);
  };
  navigator.mediaDevices.getUserMedia = async (wished) => {
    if (wished.audio) return beep();
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
      // A one, a zero, 24 bits, and their remainder by 31: a picture that is half the one before is hardly ever taken for a time.
      const bits = (value, width) => [...value.toString(2).padStart(width, '0')].map(Number);
      [1, 0, ...bits(time, 24), ...bits(time % 31, 5)].forEach((bit, index) => {
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
export function pageTools() {
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
    const drawn = value(2, 26);
    if (bits[0] !== 1 || bits[1] !== 0 || value(26, 31) !== drawn % 31) return;
    if (drawn === last) return;
    last = drawn;
    globalThis.times.push({ drawn, took: (Date.now() - drawn) % 2 ** 24 });
  };
  look();
}

/** The next so many different times that the mirror shows. */
export async function readTimes(page, count) {
  await page.evaluate(() => { globalThis.times.length = 0; });
  await page.waitForFunction((wanted) => globalThis.times.length >= wanted, count, { polling: 50 });
  return page.evaluate((wanted) => globalThis.times.slice(0, wanted), count);
}

export function middle(values) {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
}

export async function assertDecodes(mirror) {
  assert.doesNotMatch(await mirror.textContent('#dropped'), /error/);
  assert.ok(await mirror.locator('#problem').isHidden(), await mirror.locator('#problem').textContent());
  await exceeds(mirror, '#received', 0);
}
