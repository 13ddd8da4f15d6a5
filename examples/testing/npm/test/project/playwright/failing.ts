// Tests that fail on purpose, for what is reported of them.

import { subscribers } from 'heliostat-testing';
import { expect, test } from 'heliostat-testing/playwright';
import { open } from './support';

test('waits for one subscriber too many', async ({ page, pusher }) => {
  await open(page, pusher, 'half-full');
  await pusher.until(subscribers('half-full', 1));
  await pusher.until(subscribers('half-full', 2), { timeoutMs: 100 });
});

test('expects something else', async ({ page, pusher }) => {
  await open(page, pusher, 'elsewhere');
  await pusher.until(subscribers('elsewhere', 1));
  await expect(page.locator('#heard')).toHaveText('something', { timeout: 100 });
});

test('passes', async ({ page, pusher }) => {
  await open(page, pusher, 'fine');
  await pusher.until(subscribers('fine', 1));
});
