// The pages on small screens and for those who do not see them.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startBroker } from './broker.mjs';
import { exceeds, openBrowser, openPage, screenshot, shown } from './browser.mjs';

const PAGES = ['', 'stream', 'mirror'];
const PHONE = { deviceScaleFactor: 2, isMobile: true, hasTouch: true };
/** From a small old phone to a large one, in CSS pixels. */
const PHONE_WIDTHS = [320, 360, 390, 430];

// Nothing on a phone's screen needs scrolling sideways.
// Proves: pages.
test('the pages fit a phone', async (t) => {
  const broker = await startBroker(t);
  const browser = await openBrowser(t);
  for (const width of PHONE_WIDTHS) {
    const context = await browser.newContext({ ...PHONE, viewport: { width, height: 780 } });
    for (const name of PAGES) {
      const page = await openPage(t, context, `${broker.url}/${name}`);
      await shown(page, '#connection', /^Connected/);
      const needed = await page.evaluate(() => document.documentElement.scrollWidth);
      assert.ok(needed <= width, `/${name} needs ${needed} pixels of ${width}`);
    }
    await context.close();
  }
});

// Streaming from a phone-sized page, by touch, in the dark.
// Proves: pages.
test('a phone streams and another one shows it', async (t) => {
  const broker = await startBroker(t);
  const browser = await openBrowser(t);
  const context = await browser.newContext({ ...PHONE, viewport: { width: 390, height: 844 }, colorScheme: 'dark' });
  const mirror = await openPage(t, context, `${broker.url}/mirror`);
  const stream = await openPage(t, context, `${broker.url}/stream`);
  await stream.tap('#start');
  await exceeds(mirror, '#received', 10);
  for (const [name, page] of Object.entries({ stream, mirror })) {
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth) <= 390, name);
    await screenshot(page, `phone-${name}`);
  }
});

// Whatever can be operated has a name that a screen reader can say, and one heading leads each page.
// Proves: pages.
test('every control has a name', async (t) => {
  const broker = await startBroker(t);
  const context = await (await openBrowser(t)).newContext();
  for (const name of PAGES) {
    const page = await openPage(t, context, `${broker.url}/${name}`);
    await shown(page, '#connection', /^Connected/);
    const controls = await page.locator('button:visible, select:visible, input:visible, a:visible, canvas, video').all();
    assert.ok(controls.length > 0);
    for (const control of controls) {
      const accessible = await control.evaluate((element) => (
        element.getAttribute('aria-label') || element.labels?.[0]?.textContent || element.textContent
      ).trim());
      assert.notEqual(accessible, '', await control.evaluate((element) => element.outerHTML));
    }
    assert.equal(await page.locator('h1').count(), 1);
    assert.equal(await page.getAttribute('html', 'lang'), 'en');
  }
});

// What starts a stream is seen without scrolling, on a phone that lies on its side and beside a notice.
// Proves: pages.
test('the start button is always in sight', async (t) => {
  const broker = await startBroker(t);
  const browser = await openBrowser(t, { camera: 'denied' });
  for (const viewport of [{ width: 844, height: 390 }, { width: 667, height: 375 }, { width: 360, height: 640 }, { width: 1120, height: 620 }]) {
    const context = await browser.newContext({ viewport });
    const stream = await openPage(t, context, `${broker.url}/stream`);
    const isInSight = async () => {
      const { y, height } = await stream.locator('#start').boundingBox();
      assert.ok(y >= 0 && y + height <= viewport.height, `${viewport.width} × ${viewport.height}: ${y} to ${y + height}`);
    };
    await shown(stream, '#connection', /^Connected/);
    await isInSight();
    await stream.click('#start');
    await shown(stream, '#problem h2', /^The camera is not allowed$/);
    await isInSight();
    await context.close();
  }
});
