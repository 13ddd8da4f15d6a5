// Each test has an app of its own, so that all of them can use the same names.

import { delivered, event, subscribers } from 'heliostat-testing';
import { expect, test } from 'heliostat-testing/vitest';
import { backend, connect } from './support.js';

for (const text of ['first', 'second']) {
  test(`a room hears its own messages: ${text}`, async ({ pusher, onTestFinished }) => {
    connect(pusher, onTestFinished).subscribe('room');
    await pusher.until(subscribers('room', 1));
    await backend(pusher).trigger('room', 'message', { text });
    await pusher.until(event({ channel: 'room', data: { text }, count: 1 }), { holdsMs: 20 });
    await pusher.until(delivered({ channel: 'room', name: 'message', count: 1 }));
    expect(pusher.timeoutMs).toBe(4000);
  });
}

test.concurrent.for([1, 2, 3])('concurrent tests have their own, too: %i', async (count, { pusher, onTestFinished }) => {
  for (let i = 0; i < count; i++) connect(pusher, onTestFinished).subscribe('room');
  await pusher.until(subscribers('room', count), { holdsMs: 20 });
});

let deleted = '';

test('a test may delete its app itself', async ({ pusher }) => {
  await pusher.delete();
});

test('a test may leave its app', async ({ pusher }) => {
  deleted = pusher.id;
});

test('the app of a test is gone after it', async ({ broker }) => {
  expect(deleted).not.toBe('');
  await expect(broker.app(deleted)).rejects.toThrow('there is no app');
});
