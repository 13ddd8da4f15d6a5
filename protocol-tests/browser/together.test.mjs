// Several pages that stream at once, and what a page remembers.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startBroker } from './broker.mjs';
import { exceeds, openBrowser, openPage, screenshot, shown } from './browser.mjs';

// Two streams on one mirror are said on every page that is concerned; the mirror can keep to one of them.
// Proves: pages.
test('two pages that stream at once are told apart', async (t) => {
  const broker = await startBroker(t);
  const context = await (await openBrowser(t)).newContext({ viewport: { width: 1120, height: 820 } });
  const mirror = await openPage(t, context, `${broker.url}/mirror`);
  const first = await openPage(t, context, `${broker.url}/stream?video=0`);
  await first.click('#start');
  await exceeds(mirror, '#received', 5);
  for (const page of [mirror, first]) assert.ok(await page.locator('#company').isHidden());

  const second = await openPage(t, context, `${broker.url}/stream?binary=0`);
  await second.click('#start');
  await shown(mirror, '#company h2', /^2 pages are streaming$/);
  await shown(mirror, '#company p', /by turns/);
  for (const page of [mirror, first, second]) await page.locator('#company').waitFor({ state: 'visible' });
  // Both are sent from this browser, whichever is shown.
  await shown(mirror, '#latency-note', /exact/);
  await screenshot(mirror, 'two-streams-mirror');
  await screenshot(second, 'two-streams-stream');

  // The two send in different forms: once one was chosen, only its own arrives.
  await mirror.getByRole('button', { name: 'Show only one' }).click();
  await shown(mirror, '#company p', /^One of them is shown\.$/);
  await formStays(mirror, /^binary messages$/);
  await mirror.getByRole('button', { name: 'Show the next one' }).click();
  await formStays(mirror, /^data URLs$/);

  await second.click('#start');
  for (const page of [mirror, first, second]) await page.locator('#company').waitFor({ state: 'hidden' });
  await formStays(mirror, /^binary messages$/);
});

// A page that is loaded anew begins another stream under another name: that is no second one.
// Proves: pages.
test('a stream page that is loaded anew is no second stream', async (t) => {
  const broker = await startBroker(t);
  const context = await (await openBrowser(t)).newContext();
  const mirror = await openPage(t, context, `${broker.url}/mirror`);
  const stream = await openPage(t, context, `${broker.url}/stream`);
  await stream.click('#start');
  await exceeds(mirror, '#received', 5);
  await mirror.evaluate(() => {
    globalThis.companies = 0;
    const company = document.getElementById('company');
    new MutationObserver(() => { if (!company.hidden) globalThis.companies += 1; }).observe(company, { attributes: true });
  });
  await stream.reload();
  const before = Number(await mirror.textContent('#received'));
  await stream.click('#start');
  await exceeds(mirror, '#received', before + 20);
  assert.ok(await mirror.locator('#company').isHidden());
  assert.equal(await mirror.evaluate(() => globalThis.companies), 0);
});

// Sliders, the choice of the picture and the mirror's switch stand as they were left.
// Proves: pages.
test('the controls are as they were left when a page is loaded anew', async (t) => {
  const broker = await startBroker(t);
  const context = await (await openBrowser(t)).newContext();
  const stream = await openPage(t, context, `${broker.url}/stream?video=0`);
  await stream.locator('#rate').fill('7');
  await stream.locator('#width').fill('320');
  await stream.locator('#quality').fill('35');
  await stream.locator('#source').selectOption('test-picture');
  await stream.reload();
  await shown(stream, '#rate-shown', /^7 per second$/);
  await shown(stream, '#width-shown', /^320 pixels$/);
  await shown(stream, '#quality-shown', /^35 %$/);
  assert.equal(await stream.inputValue('#source'), 'test-picture');

  const mirror = await openPage(t, context, `${broker.url}/mirror`);
  await mirror.check('#flip');
  await mirror.reload();
  await mirror.locator('#screen.flipped').waitFor();
  assert.ok(await mirror.isChecked('#flip'));
});

const STORAGES = {
  'is blocked': () => Object.defineProperty(globalThis, 'localStorage', { get() { throw new DOMException('no', 'SecurityError'); } }),
  'is full': () => { Storage.prototype.setItem = () => { throw new DOMException('full', 'QuotaExceededError'); }; },
  'holds nonsense': () => ['rate', 'width', 'quality', 'source', 'flip'].forEach((id, index) => {
    localStorage.setItem(`heliostat:${id}`, ['{', '"many"', '{"a":1}', '"no-such-camera"', '"yes"'][index]);
  }),
};

for (const [what, spoil] of Object.entries(STORAGES)) {
  // Proves: pages.
  test(`the pages work where the browser's storage ${what}`, async (t) => {
    const broker = await startBroker(t);
    const context = await (await openBrowser(t)).newContext();
    await context.addInitScript(spoil);
    const mirror = await openPage(t, context, `${broker.url}/mirror`);
    const stream = await openPage(t, context, `${broker.url}/stream?video=0`);
    await shown(stream, '#rate-shown', /^12 per second$/);
    assert.equal(await stream.inputValue('#source'), '');
    await stream.locator('#rate').fill('9');
    await shown(stream, '#rate-shown', /^9 per second$/);
    await stream.click('#start');
    await exceeds(mirror, '#received', 5);
  });
}

/** While ten more frames come, they come in this form alone. */
async function formStays(mirror, form) {
  await shown(mirror, '#form', form);
  await mirror.evaluate(() => {
    globalThis.forms = new Set();
    globalThis.watching?.disconnect();
    const element = document.getElementById('form');
    globalThis.watching = new MutationObserver(() => globalThis.forms.add(element.textContent));
    globalThis.watching.observe(element, { childList: true });
  });
  await exceeds(mirror, '#received', Number((await mirror.textContent('#received')).replace(/\D/g, '')) + 10);
  const forms = await mirror.evaluate(() => [...globalThis.forms]);
  assert.equal(forms.length, 1, forms.join(', '));
  assert.match(forms[0], form);
}
