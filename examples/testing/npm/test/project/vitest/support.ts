// The real libraries: pusher-js as a client, `pusher` as a backend.

import PusherServer from 'pusher';
import Pusher from 'pusher-js';
import type { TestContext } from 'vitest';
import type { App } from 'heliostat-testing';

/** A client that is disconnected when its test has finished: which one that is, only the test's context knows. */
export function connect(app: App, onTestFinished: TestContext['onTestFinished']): Pusher {
  const client = new Pusher(app.key, app.clientOptions);
  onTestFinished(() => client.disconnect());
  return client;
}

export function backend(app: App): PusherServer {
  return new PusherServer(app.serverOptions);
}
