// What the pages say when something is wrong, and that they get over it.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startBroker } from './broker.mjs';
import { exceeds, number, openBrowser, openPage, screenshot, shown } from './browser.mjs';

/** The browser itself writes a line to the console for each failed attempt to connect. */
const NO_BROKER = /WebSocket connection to .* failed|ERR_CONNECTION_REFUSED/;

/** The pages' two clients, as their addresses choose them. */
const CLIENTS = [{ client: 'pusher-js', query: '' }, { client: 'the pages’ own client', query: '?client=own' }];

for (const { client, query } of CLIENTS) {
  for (const [end, what] of [['stop', 'stopped'], ['crash', 'killed']]) {
    // A broker that has gone is said in words, nothing is called a refusal, no measurement of what is no more stays, and
    // the stream goes on by itself once the broker is back on its port.
    // Proves: pages.
    test(`with ${client} the stream survives a broker that is ${what} and started again`, async (t) => {
      const first = await startBroker(t);
      const context = await (await openBrowser(t)).newContext();
      const mirror = await openPage(t, context, `${first.url}/mirror${query}`, { forgive: NO_BROKER });
      const stream = await openPage(t, context, `${first.url}/stream${query}`, { forgive: NO_BROKER });
      await stream.click('#start');
      await exceeds(mirror, '#received', 5);
      await shown(mirror, '#latency', /ms$/);

      await first[end]();
      await shown(mirror, '#veil', /^The connection is down$/);
      await shown(mirror, '#latency', /^–$/);
      await shown(stream, '#connection', /No broker answers at .*Still trying/);
      await shown(stream, '#badge', /^Waiting for the broker$/);
      await exceeds(stream, '#skipped', 5);
      assert.ok(await stream.locator('#problem').isHidden(), await stream.locator('#problem').textContent());
      assert.equal(await number(stream, '#refused'), 0);
      const [sent, received] = [await number(stream, '#sent'), await number(mirror, '#received')];
      await screenshot(stream, `broker-${what}`);
      await screenshot(mirror, `broker-${what}-mirror`);

      const second = await startBroker(t, { port: first.port });
      assert.equal(second.port, first.port);
      await shown(stream, '#connection', /^Connected/);
      await shown(mirror, '#connection', /^Connected/);
      await exceeds(stream, '#sent', sent + 5);
      await exceeds(mirror, '#received', received + 5);
      await shown(mirror, '#latency', /ms$/);
    });
  }
}

const SIZE_LIMITS = [
  { form: 'as data URLs', query: '?binary=0', limit: 'CLIENT_EVENT_PAYLOAD_BYTES' },
  { form: 'as binary messages', query: '?video=0', limit: 'BINARY_MESSAGE_BYTES' },
];

for (const { form, query, limit } of SIZE_LIMITS) {
  // Frames over the size limit: the page says what to change, and its button changes it until frames pass.
  // Proves: pages.
  test(`frames over the size limit, ${form}, are explained and can be made smaller`, async (t) => {
    const broker = await startBroker(t, { env: { [`HELIOSTAT_APP_LIMITS_${limit}`]: '6000' } });
    const context = await (await openBrowser(t)).newContext();
    const mirror = await openPage(t, context, `${broker.url}/mirror`);
    const stream = await openPage(t, context, `${broker.url}/stream${query}`);
    await stream.click('#start');
    await shown(stream, '#problem h2', /^The frames are too big$/);
    await shown(stream, '#problem p', /6000.*client_event_payload_bytes/);
    await exceeds(stream, '#refused', 0);
    if (query === '?binary=0') await screenshot(stream, 'frames-too-big');

    await stream.getByRole('button', { name: 'Make frames smaller' }).click();
    await stream.getByRole('button', { name: 'Make frames smaller' }).click();
    await stream.getByRole('button', { name: 'Make frames smaller' }).click();
    await exceeds(mirror, '#received', 5);
    await stream.locator('#problem').waitFor({ state: 'hidden' });
  });
}

for (const { client, query } of CLIENTS) {
  // Frames over the rate limit: refused ones are counted on one page and missed on the other.
  // Proves: pages.
  test(`with ${client} frames over the rate limit are explained, counted, and can be sent more slowly`, async (t) => {
    const broker = await startBroker(t, { env: { HELIOSTAT_APP_LIMITS_CLIENT_EVENTS_PER_SECOND: '4' } });
    const context = await (await openBrowser(t)).newContext();
    const mirror = await openPage(t, context, `${broker.url}/mirror${query}`);
    const stream = await openPage(t, context, `${broker.url}/stream${query || '?'}&video=0`);
    await shown(mirror, '#connection', /^Connected/);
    await stream.click('#start');
    await shown(stream, '#problem h2', /^Too many frames per second$/);
    await shown(stream, '#problem p', /client_events_per_second/);
    await exceeds(mirror, '#lost', 0);

    await stream.getByRole('button', { name: 'Send fewer frames' }).click();
    assert.equal(await stream.inputValue('#rate'), '8');
    await stream.locator('#rate').fill('2');
    await stream.locator('#problem').waitFor({ state: 'hidden' });
  });
}

// With client events off the page names the setting.
// Proves: pages.
test('an app without client events is explained', async (t) => {
  const broker = await startBroker(t, { env: { HELIOSTAT_APP_CLIENT_EVENTS: 'false' } });
  const context = await (await openBrowser(t)).newContext();
  const stream = await openPage(t, context, `${broker.url}/stream`);
  await stream.click('#start');
  await shown(stream, '#problem h2', /^Client events are switched off$/);
  await shown(stream, '#problem p', /client_events = true/);
});

for (const { client, query } of CLIENTS) {
  // Pages without the endpoints that sign: the mirror needs none, the stream page says what it misses.
  // Proves: pages.
  test(`with ${client} a subscription that nobody signs is explained`, async (t) => {
    const broker = await startBroker(t, { env: { HELIOSTAT_DEVELOPMENT_AUTH_ENDPOINTS: 'false' } });
    const context = await (await openBrowser(t)).newContext();
    const mirror = await openPage(t, context, `${broker.url}/mirror${query}`, { forgive: /404/ });
    await shown(mirror, '#connection', /^Connected/);
    await shown(mirror, '#veil', /^Waiting for a stream$/);
    const stream = await openPage(t, context, `${broker.url}/stream${query}`, { forgive: /404/ });
    await shown(stream, '#problem h2', /^No permission to send on private-stream$/);
    await shown(stream, '#problem p', /dev\/auth did not sign.*\?auth=/);
  });
}

for (const { client, query } of CLIENTS) {
  // A key that no app has: the refusal is final and says why.
  // Proves: pages.
  test(`with ${client} a wrong key is shown as a refusal`, async (t) => {
    const broker = await startBroker(t);
    const context = await (await openBrowser(t)).newContext();
    const stream = await openPage(t, context, `${broker.url}/stream${query || '?'}&key=nobody`);
    await shown(stream, '#connection', /Refused by the broker: .*\(4001\)/);
  });
}

// No permission for the camera: the page says where to give it, and offers the test picture.
// Proves: pages.
test('a refused camera is explained, and the test picture works without one', async (t) => {
  const broker = await startBroker(t);
  const context = await (await openBrowser(t, { camera: 'denied' })).newContext();
  const mirror = await openPage(t, context, `${broker.url}/mirror`);
  const stream = await openPage(t, context, `${broker.url}/stream`);
  await stream.click('#start');
  await shown(stream, '#problem h2', /^The camera is not allowed$/);
  assert.equal(await stream.textContent('#start'), 'Start streaming');

  await stream.getByRole('button', { name: 'Use the test picture' }).click();
  await exceeds(mirror, '#received', 5);
  await stream.locator('#problem').waitFor({ state: 'hidden' });
});

// A machine without a camera.
// Proves: pages.
test('a missing camera is explained', async (t) => {
  const broker = await startBroker(t);
  const context = await (await openBrowser(t, { camera: 'none' })).newContext();
  const stream = await openPage(t, context, `${broker.url}/stream`);
  await stream.click('#start');
  await shown(stream, '#problem h2', /^No camera was found$/);
});

// Over plain http under a name other than localhost there is no camera at all; the page says why.
// Proves: pages.
test('a page without a secure context says what the camera needs', async (t) => {
  // On a loopback address the broker answers to loopback names only.
  const broker = await startBroker(t, { args: ['--host', '0.0.0.0', '--development'] });
  const browser = await openBrowser(t, { args: ['--host-resolver-rules=MAP broker.test 127.0.0.1'] });
  const stream = await openPage(t, await browser.newContext(), `http://broker.test:${broker.port}/stream`);
  await stream.click('#start');
  await shown(stream, '#problem h2', /^The camera needs a secure page$/);
  await shown(stream, '#problem p', /https:\/\/.*localhost/);
});
