// The example's folder served by something else than the broker.

import { test } from 'node:test';
import { startBroker } from './broker.mjs';
import { EXAMPLE, exceeds, openBrowser, openPage, shown } from './browser.mjs';
import { serve } from './serve.mjs';

// The pages opened from a static server name the broker in their query, and their links pass it on. The stream
// page's subscription is signed across origins.
// Proves: pages.
test('the pages work from a static server', async (t) => {
  const broker = await startBroker(t);
  const origin = await serve(t, { folder: EXAMPLE });
  const context = await (await openBrowser(t)).newContext();
  const query = `?host=${broker.host}&port=${broker.port}&key=app-key`;
  const mirror = await openPage(t, context, `${origin}/index.html${query}`);
  await mirror.getByRole('navigation').getByRole('link', { name: 'Mirror' }).click();
  await shown(mirror, 'h1', /^Mirror$/);
  await shown(mirror, '#connection', new RegExp(`^Connected to ${broker.host}:${broker.port}$`));

  const stream = await openPage(t, context, `${origin}/stream.html${query}`);
  await stream.click('#start');
  await exceeds(mirror, '#received', 5);
});
