// Tests that fail on purpose, for what is reported of them.

import { subscribers } from 'heliostat-testing';
import { expect, test } from 'heliostat-testing/vitest';
import { connect } from './support.js';

test('waits for one subscriber too many', async ({ pusher, onTestFinished }) => {
  connect(pusher, onTestFinished).subscribe('half-full');
  await pusher.until(subscribers('half-full', 1));
  await pusher.until(subscribers('half-full', 2));
});

test('expects something else', async ({ pusher, onTestFinished }) => {
  connect(pusher, onTestFinished).subscribe('elsewhere');
  await pusher.until(subscribers('elsewhere', 1));
  expect(1).toBe(2);
});

test('passes', async ({ pusher, onTestFinished }) => {
  connect(pusher, onTestFinished).subscribe('fine');
  await pusher.until(subscribers('fine', 1));
});
