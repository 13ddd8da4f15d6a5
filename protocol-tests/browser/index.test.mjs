// The front page: snippets that run as they stand.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { APP, startBroker } from './broker.mjs';
import { openBrowser, openPage, screenshot, shown } from './browser.mjs';
import { serve } from './serve.mjs';

const IN_BROWSERS = ['pusher-js', 'echo'];
const ON_SERVERS = ['node', 'python', 'php', 'ruby', 'env'];
const HERE = fileURLToPath(new URL('.', import.meta.url));

// Every snippet names the broker it was served by; only those for servers hold the secret.
// Proves: pages.
test('the snippets are filled with address and credentials', async (t) => {
  const broker = await startBroker(t);
  const context = await (await openBrowser(t)).newContext({ viewport: { width: 1120, height: 980 } });
  const page = await openPage(t, context, `${broker.url}/`);
  await shown(page, '#connection', /^Connected/);

  for (const id of [...IN_BROWSERS, ...ON_SERVERS]) {
    const code = await snippet(page, id);
    for (const value of [broker.host, String(broker.port), APP.key]) assert.ok(code.includes(value), `${id}: ${value}`);
    assert.equal(code.includes(APP.secret), ON_SERVERS.includes(id), `${id}: secret`);
    assert.equal(code.includes(APP.id), ON_SERVERS.includes(id), `${id}: app id`);
  }
  await screenshot(page, 'index');
});

// Where other machines reach the broker, the front page has links that a phone can open; a page that was itself opened by
// such an address needs none.
// Proves: pages.
test('the front page tells what a phone can open', async (t) => {
  const broker = await startBroker(t);
  const browser = await openBrowser(t, { args: ['--host-resolver-rules=MAP broker.test 127.0.0.1'] });
  const context = await browser.newContext();
  const page = await openPage(t, context, `${broker.url}/`);
  await shown(page, '#connection', /^Connected/);
  assert.ok(await page.locator('#elsewhere').isHidden(), 'nobody else reaches it');

  const exposed = await startBroker(t, { args: ['--host', '0.0.0.0', '--development', '--path-prefix', '/light'] });
  await context.route('**/dev/config.json', async (route) => {
    const answer = await route.fetch();
    const settings = await answer.json();
    assert.ok(Array.isArray(settings.addresses));
    await route.fulfill({ response: answer, json: { ...settings, addresses: ['192.168.1.20', 'fd00::20'] } });
  });
  await page.goto(`http://127.0.0.1:${exposed.port}/light/`);
  await page.locator('#elsewhere').waitFor({ state: 'visible' });
  const links = await page.locator('#elsewhere a').evaluateAll((all) => all.map(({ href, textContent }) => [href, textContent]));
  const urls = [`http://192.168.1.20:${exposed.port}/light/mirror`, `http://[fd00::20]:${exposed.port}/light/mirror`];
  assert.deepEqual(links, urls.map((url) => [`${url}.html`, url]));
  await screenshot(page, 'index-exposed');

  await context.unroute('**/dev/config.json');
  await page.goto(`http://broker.test:${exposed.port}/light/`);
  await shown(page, '#connection', /^Connected/);
  assert.ok(await page.locator('#elsewhere').isHidden());
});

// The copy button puts the whole snippet on the clipboard; the tabs can be walked with the keyboard.
// Proves: pages.
test('a snippet is chosen by keyboard and copied by its button', async (t) => {
  const broker = await startBroker(t);
  const context = await (await openBrowser(t)).newContext({ permissions: ['clipboard-read', 'clipboard-write'] });
  const page = await openPage(t, context, `${broker.url}/`);
  await page.getByRole('tab', { name: 'pusher-js' }).focus();
  await page.keyboard.press('ArrowLeft');
  assert.equal(await page.getByRole('tab', { name: '.env' }).getAttribute('aria-selected'), 'true');
  assert.ok(await page.locator('#snippet-env').isVisible());
  assert.ok(!await page.locator('#snippet-pusher-js').isVisible());

  await page.locator('#snippet-env').getByRole('button', { name: 'Copy' }).click();
  await shown(page, '#snippet-env .copy', /^Copied$/);
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), await snippet(page, 'env'));
});

// The pusher-js snippet, run in a page, hears what the Node snippet, run by Node, sends.
// Proves: pages.
test('the snippets for pusher-js and Node run unchanged', async (t) => {
  const broker = await startBroker(t);
  const context = await (await openBrowser(t)).newContext();
  const page = await openPage(t, context, `${broker.url}/`);
  await page.waitForSelector('#snippet-node', { state: 'attached' });
  const [inBrowser, onServer] = [await snippet(page, 'pusher-js'), await snippet(page, 'node')];

  const subscriber = await pageOf(t, context, inBrowser);
  await subscriber.waitForFunction(() => globalThis.Pusher.instances[0]?.channel('my-channel')?.subscribed);
  const [heard] = await Promise.all([
    subscriber.waitForEvent('console'),
    promisify(execFile)(process.execPath, ['--input-type=module', '--eval', onServer], { cwd: HERE }),
  ]);
  assert.deepEqual(await heard.args()[0].jsonValue(), { message: 'hello' });
});

// The links lead to the pages, from every page.
// Proves: pages.
test('the pages link to each other', async (t) => {
  const broker = await startBroker(t);
  const context = await (await openBrowser(t)).newContext();
  const page = await openPage(t, context, `${broker.url}/`);
  await page.getByRole('navigation').getByRole('link', { name: 'Stream' }).click();
  await shown(page, 'h1', /^Stream$/);
  await page.getByRole('navigation').getByRole('link', { name: 'Mirror' }).click();
  await shown(page, 'h1', /^Mirror$/);
  await page.getByRole('link', { name: 'heliostat' }).click();
  await page.waitForSelector('#snippet-env', { state: 'attached' });
});

function snippet(page, id) {
  return page.locator(`#snippet-${id} pre`).textContent();
}

/** A page that runs `code` as a module, with an import map for the library's name. */
async function pageOf(t, context, code) {
  const imports = { 'pusher-js': 'data:text/javascript,export default globalThis.Pusher' };
  const origin = await serve(t, { pages: {
    '/': '<!doctype html><link rel="icon" href="data:,"><script src="/node_modules/pusher-js/dist/web/pusher.js"></script>'
      + `<script type="importmap">${JSON.stringify({ imports })}</script><script type="module">${code}</script>`,
  } });
  return openPage(t, context, `${origin}/`);
}
