// Which broker it is: EXPECTED_BROKER says what the run was started with.

import { expect, test } from 'heliostat-testing/vitest';

test('the broker is that of the run, or one of this worker', async ({ broker }) => {
  const { EXPECTED_BROKER, PUSHER_TEST_URL } = process.env;
  expect(EXPECTED_BROKER).toMatch(/^(shared|own)$/);
  if (EXPECTED_BROKER === 'shared') expect(broker.url).toBe(PUSHER_TEST_URL);
  else expect(PUSHER_TEST_URL).toBeUndefined();
  await broker.createApp();
});
