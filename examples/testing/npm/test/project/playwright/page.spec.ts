// A page in Chromium. Each test has an app of its own, so that all of them can use the same names.

import { delivered, logged, refused, subscribers } from 'heliostat-testing';
import { expect, test } from 'heliostat-testing/playwright';
import { backend, open } from './support';

for (const text of ['first', 'second']) {
  test(`a page shows what its room is told: ${text}`, async ({ page, pusher }) => {
    await open(page, pusher, 'room');
    await pusher.until(subscribers('room', 1));
    await backend(pusher).trigger('room', 'message', { text });
    await expect(page.locator('#heard')).toHaveText(text);
    await pusher.until(delivered({ channel: 'room', data: { text }, count: 1 }), { holdsMs: 20 });
  });
}

test('a page comes back when its connection breaks', async ({ page, pusher }) => {
  await open(page, pusher, 'room');
  await pusher.until(subscribers('room', 1));
  await pusher.close({ abrupt: true });
  await pusher.until(logged({ type: 'subscribed' }, 2));
  await backend(pusher).trigger('room', 'message', { text: 'again' });
  await expect(page.locator('#heard')).toHaveText('again');
});

test('the broker is that of the run, or one of this worker', async ({ broker, pusher }) => {
  const { EXPECTED_BROKER, PUSHER_TEST_URL } = process.env;
  expect(EXPECTED_BROKER).toMatch(/^(shared|own)$/);
  if (EXPECTED_BROKER === 'shared') expect(broker.url).toBe(PUSHER_TEST_URL);
  else expect(PUSHER_TEST_URL).toBeUndefined();
  expect((await broker.app(pusher.id)).key).toBe(pusher.key);
});

test.describe.serial('after a test', () => {
  let deleted = '';

  test('it may have deleted its app itself', async ({ pusher }) => {
    await pusher.delete();
  });

  test('it may have left it', async ({ pusher }) => {
    deleted = pusher.id;
  });

  test('its app is gone', async ({ broker }) => {
    expect(deleted).not.toBe('');
    await expect(broker.app(deleted)).rejects.toThrow('there is no app');
  });
});

test.describe('of one test', () => {
  test.use({ pusherSettings: { limits: { event_payload_bytes: 10 } }, pusherWebhooks: [{ url: 'http://127.0.0.1:1/' }] });

  test('settings and webhooks are its own', async ({ page, pusher }) => {
    await open(page, pusher, 'room');
    await pusher.until(logged({ type: 'webhook_failed', name: 'channel_occupied' }));
    await expect(backend(pusher).trigger('room', 'message', { text: 'too long' })).rejects.toThrow();
    await pusher.until(refused({ status: 413, count: 1 }));
  });
});

test.fail('a failure that is expected is no news', async ({ page, pusher }) => {
  await open(page, pusher, 'expected');
  await pusher.until(subscribers('expected', 2), { timeoutMs: 20 });
});
