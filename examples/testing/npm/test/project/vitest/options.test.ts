// Settings and webhooks of a test's app, for a file or for some of its tests.

import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { connections, refused, webhook } from 'heliostat-testing';
import { test as base } from 'heliostat-testing/vitest';
import { connect } from './support.js';

const test = base.extend({ pusherSettings: { limits: { connections: 1 } } });

test('settings are those of the file', async ({ pusher, onTestFinished }) => {
  connect(pusher, onTestFinished);
  await pusher.until(connections(1));
  connect(pusher, onTestFinished);
  await pusher.until(refused({ code: 4004, count: 1 }));
});

const endpoint = createServer((request, response) => request.resume().on('end', () => response.end('{}')));
const told = base.extend({
  pusherWebhooks: async ({}, use) => {
    await once(endpoint.listen(0, '127.0.0.1'), 'listening');
    await use([{ url: `http://127.0.0.1:${(endpoint.address() as AddressInfo).port}/webhook` }]);
    endpoint.close();
  },
});

told('webhooks may be a fixture of their own', async ({ pusher, onTestFinished }) => {
  connect(pusher, onTestFinished).subscribe('room');
  await pusher.until(webhook({ name: 'channel_occupied', channel: 'room', count: 1 }));
});
