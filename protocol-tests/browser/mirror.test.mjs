// The example's two pages: what the one films, the other shows.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startBroker } from './broker.mjs';
import { exceeds, number, openBrowser, openPage, screenshot, shown, showsDistinctPictures } from './browser.mjs';

const WINDOW = { viewport: { width: 1120, height: 820 } };
/** Different pictures the mirror must have shown before it counts as moving. */
const DISTINCT_PICTURES = 3;
/** How far a colour may be off after two rounds of JPEG; of 255. */
const COLOUR_TOLERANCE = 24;

for (const [form, query] of [['video', '?video=1'], ['single pictures', '?video=0']]) {
  // A page's camera frames go through the pipe rule and are seen on another page, with honest numbers beside them.
  // Proves: pages, video.
  test(`the mirror shows what the stream page films, as ${form}`, async (t) => {
    const broker = await startBroker(t);
    const context = await (await openBrowser(t)).newContext(WINDOW);
    const mirror = await openPage(t, context, `${broker.url}/mirror`);
    await shown(mirror, '#connection', /^Connected/);
    assert.equal(await mirror.textContent('#veil'), 'Waiting for a stream');
    const stream = await openPage(t, context, `${broker.url}/stream${query}`);
    await shown(stream, '#connection', new RegExp(`^Connected to ${broker.host}:${broker.port}$`));

    await stream.click('#start');
    await showsDistinctPictures(mirror, DISTINCT_PICTURES);
    await exceeds(mirror, '#received', 30);
    await exceeds(stream, '#sent', 30);
    await shown(mirror, '#latency-note', /exact/);

    const latency = await number(mirror, '#latency');
    assert.ok(latency >= 0 && latency < 2000, `latency ${latency} ms`);
    assert.equal(await number(mirror, '#lost'), 0);
    assert.ok(await number(stream, '#fps') > 2, 'frames per second');
    assert.match(await stream.textContent('#throughput'), /^\d.* KB\/s$/);
    assert.match(await stream.textContent('#frame-size'), /^\d.* KB$/);
    assert.equal(await number(stream, '#refused'), 0);
    await assertShowsTheFilm(mirror);
    await keepScreenshots(context, stream, mirror, form.replace(/ .*/, ''));

    await stream.click('#start');
    await shown(mirror, '#veil', /^The stream has stopped$/);
    assert.equal(await stream.textContent('#start'), 'Start streaming');
    assert.equal(await stream.evaluate(() => document.getElementById('preview').srcObject), null, 'the camera is let go');
    // Of video the broker may have left something out.
    if (form !== 'video') await shown(mirror, '#received', new RegExp(`^${await stream.textContent('#sent')}$`));
    assert.equal(await number(stream, '#fps'), 0);
  });
}

// A second start goes on where the first stopped: same numbering, nothing counted as lost.
// Proves: pages.
test('streaming can be stopped and started again', async (t) => {
  const broker = await startBroker(t);
  const context = await (await openBrowser(t)).newContext(WINDOW);
  const mirror = await openPage(t, context, `${broker.url}/mirror.html`);
  const stream = await openPage(t, context, `${broker.url}/stream.html`);

  await stream.click('#start');
  await exceeds(mirror, '#received', 5);
  await stream.click('#start');
  await shown(stream, '#start', /^Start streaming$/);
  const before = await number(stream, '#sent');
  await stream.click('#start');
  await exceeds(mirror, '#received', before + 5);
  assert.equal(await number(mirror, '#lost'), 0);
});

// Fewer pixels, fewer frames: the controls act while the stream runs.
// Proves: pages.
test('the controls change the frames', async (t) => {
  const broker = await startBroker(t);
  const context = await (await openBrowser(t)).newContext(WINDOW);
  const mirror = await openPage(t, context, `${broker.url}/mirror`);
  const stream = await openPage(t, context, `${broker.url}/stream?video=0`);
  await stream.click('#start');
  await mirror.waitForFunction(() => document.getElementById('picture').naturalWidth === 480);

  await stream.locator('#width').fill('160');
  await mirror.waitForFunction(() => document.getElementById('picture').naturalWidth === 160);
  await stream.locator('#quality').fill('10');
  await shown(stream, '#quality-shown', /^10 %$/);
  await stream.locator('#rate').fill('2');
  await shown(mirror, '#fps', /^[12]\.\d fps$/);
});

// Two browsers share no clock that a page could vouch for, and the mirror says so.
// Proves: pages.
test('a stream from another browser is marked as measured with two clocks', async (t) => {
  const broker = await startBroker(t);
  const browser = await openBrowser(t);
  const mirror = await openPage(t, await browser.newContext(WINDOW), `${broker.url}/mirror`);
  const stream = await openPage(t, await browser.newContext(WINDOW), `${broker.url}/stream`);
  await stream.click('#start');
  await shown(mirror, '#latency', /^≈ \d+ ms$/);
  await shown(mirror, '#latency-note', /two clocks/);
});

// Under a path prefix the pages find everything from their own address.
// Proves: pages.
test('the pages work under a path prefix', async (t) => {
  const broker = await startBroker(t, { args: ['--path-prefix', '/light'] });
  const context = await (await openBrowser(t)).newContext(WINDOW);
  const mirror = await openPage(t, context, `${broker.url}/light/mirror`);
  const stream = await openPage(t, context, `${broker.url}/light/stream`);
  await shown(stream, '#connection', /^Connected/);
  await stream.click('#start');
  await exceeds(mirror, '#received', 5);
});

/** The ground and the tower of the test picture are where the camera saw them. */
async function assertShowsTheFilm(mirror) {
  const expected = [
    { name: 'ground', x: 0.5, y: 0.95, colour: [45, 74, 63] },
    { name: 'tower', x: 0.8, y: 0.6, colour: [31, 42, 51] },
  ];
  const colours = await mirror.evaluate((points) => {
    const [film, image] = ['film', 'picture'].map((id) => document.getElementById(id));
    const picture = film.hidden ? image : film;
    const size = { width: picture.naturalWidth ?? picture.width, height: picture.naturalHeight ?? picture.height };
    const context = Object.assign(document.createElement('canvas'), size).getContext('2d');
    context.drawImage(picture, 0, 0);
    return points.map(({ x, y }) => [...context.getImageData(x * size.width, y * size.height, 1, 1).data].slice(0, 3));
  }, expected);
  expected.forEach(({ name, colour }, index) => {
    const off = Math.max(...colour.map((value, part) => Math.abs(value - colours[index][part])));
    assert.ok(off <= COLOUR_TOLERANCE, `${name} is ${colours[index]}, filmed as ${colour}`);
  });
}

/** Each page, and the two side by side. */
async function keepScreenshots(context, stream, mirror, form) {
  // The fake camera is called by the path of its film, which is of no interest in a picture.
  await stream.evaluate(() => { document.getElementById('source').selectedOptions[0].textContent = 'Camera'; });
  const pictures = [await screenshot(stream, `stream-${form}`), await screenshot(mirror, `mirror-${form}`)];
  const both = await context.newPage();
  await both.setViewportSize({ width: 2 * WINDOW.viewport.width + 24, height: WINDOW.viewport.height });
  const images = pictures.map((png) => `<img src="data:image/png;base64,${png.toString('base64')}">`);
  await both.setContent(`<style>body { display: flex; gap: 24px; margin: 0; background: #d8cbb4 }</style>${images.join('')}`);
  await both.waitForFunction(() => [...document.images].every(({ complete, naturalWidth }) => complete && naturalWidth > 0));
  await screenshot(both, `stream-and-mirror-${form}`);
  await both.close();
}
