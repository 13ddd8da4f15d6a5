// Headless Chromium with a camera that films the test picture, and pages that are watched for complaints.

import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { cleanup } from './cleanup.mjs';

const EXECUTABLE = process.env.PROTOCOL_TESTS_CHROMIUM ?? '/usr/bin/chromium';
const QUIET = [
  '--headless=new', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync',
];
/** A page waits this long for what a test expects of it. */
const DEADLINE_MS = 20_000;

export const EXAMPLE = fileURLToPath(new URL('../../examples/magic-mirror/', import.meta.url));
const BUILD = new URL('../../target/protocol-tests/', import.meta.url);

/** The film in the fake camera: as long as half a day of the test picture. */
const FILM = { width: 640, height: 480, frames: 90, frameMs: 66, quality: 0.85 };

/**
 * A browser with a fresh profile, closed when the test ends.
 *
 * @param {import('node:test').TestContext} t
 * @param {{ camera?: 'film' | 'none' | 'denied', args?: string[] }} [options]
 */
export async function openBrowser(t, { camera = 'film', args = [] } = {}) {
  const cameraArgs = {
    film: async () => [
      '--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream',
      `--use-file-for-fake-video-capture=${await film()}`,
    ],
    none: async () => ['--use-fake-ui-for-media-stream'],
    denied: async () => ['--use-fake-device-for-media-stream', '--deny-permission-prompts'],
  }[camera];
  const browser = await launch([...await cameraArgs(), ...args]);
  cleanup(t, () => browser.close());
  return browser;
}

/**
 * Opens a page. Whatever it throws, and every error on its console that `forgive` does not match, fails the test.
 *
 * @param {import('node:test').TestContext} t
 * @param {import('playwright-core').BrowserContext} context
 */
export async function openPage(t, context, url, { forgive = null } = {}) {
  const page = await context.newPage();
  page.setDefaultTimeout(DEADLINE_MS);
  const complaints = [];
  page.on('pageerror', (error) => complaints.push(`${page.url()}: ${error.message}`));
  page.on('console', (message) => {
    if (message.type() === 'error' && !forgive?.test(message.text())) complaints.push(`${page.url()}: ${message.text()}`);
  });
  cleanup(t, () => {
    if (complaints.length > 0) throw new Error(`a page complained:\n${complaints.join('\n')}`);
  });
  await page.goto(url);
  return page;
}

/** Waits until the element shows a text that fits, and returns the text. */
export async function shown(page, selector, pattern) {
  await page.waitForFunction(
    ([where, source]) => new RegExp(source).test(document.querySelector(where)?.textContent ?? ''),
    [selector, pattern.source],
  );
  return page.textContent(selector);
}

/** The number an element shows. */
export async function number(page, selector) {
  return Number((await page.textContent(selector)).replace(/[^\d.]/g, ''));
}

/** Waits until the number an element shows has become greater than `limit`. */
export function exceeds(page, selector, limit) {
  return page.waitForFunction(
    ([where, bound]) => Number(document.querySelector(where).textContent.replace(/[^\d.]/g, '')) > bound,
    [selector, limit],
  );
}

/** Keeps a picture of the page as an artefact of the build, and returns it. */
export async function screenshot(page, name) {
  const folder = new URL('screenshots/', BUILD);
  await mkdir(folder, { recursive: true });
  await page.evaluate(() => scrollTo(0, 0));
  return page.screenshot({ path: fileURLToPath(new URL(`${name}.png`, folder)) });
}

function launch(args) {
  return chromium.launch({ executablePath: EXECUTABLE, args: [...QUIET, ...args] });
}

/** Films the test picture as motion JPEG, which the fake camera then plays round and round. */
async function film() {
  const source = await readFile(`${EXAMPLE}test-picture.js`, 'utf8');
  const browser = await launch([]);
  try {
    const page = await browser.newPage();
    const frames = await page.evaluate(async ([script, { width, height, frames: count, frameMs, quality }]) => {
      const { DAY_MS, drawTestPicture } = await import(`data:text/javascript,${encodeURIComponent(script)}`);
      const context = Object.assign(document.createElement('canvas'), { width, height }).getContext('2d');
      return Array.from({ length: count }, (_, index) => {
        drawTestPicture(context, DAY_MS / 4 + index * frameMs);
        return context.canvas.toDataURL('image/jpeg', quality).split(',')[1];
      });
    }, [source, FILM]);
    await mkdir(BUILD, { recursive: true });
    // Written under a name of this process's own: another one may be reading the finished film.
    const finished = fileURLToPath(new URL('camera.mjpeg', BUILD));
    const own = `${finished}.${process.pid}`;
    await writeFile(own, Buffer.concat(frames.map((frame) => Buffer.from(frame, 'base64'))));
    await rename(own, finished);
    return finished;
  } finally {
    await browser.close();
  }
}

/** Waits until the picture's own pixels have been seen to differ so many times. */
export async function showsDistinctPictures(mirror, wanted) {
  await mirror.waitForFunction((count) => {
    const [film, image] = ['film', 'picture'].map((id) => document.getElementById(id));
    const picture = !film || film.hidden ? image : film;
    if (!(picture.naturalWidth ?? picture.width)) return false;
    const canvas = Object.assign(document.createElement('canvas'), { width: 64, height: 48 });
    const context = canvas.getContext('2d');
    context.drawImage(picture, 0, 0, 64, 48);
    globalThis.seenPictures ??= new Set();
    globalThis.seenPictures.add(context.getImageData(0, 0, 64, 48).data.join());
    return globalThis.seenPictures.size >= count;
  }, wanted);
}
