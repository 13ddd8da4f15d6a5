// A broker for the file, and the real libraries: pusher-js as a client, `pusher` as a backend.

import { after, before } from 'node:test';
import PusherServer from 'pusher';
import Pusher from 'pusher-js';
import { Broker } from 'heliostat-testing';

/** The longest that any expectation of these tests may take. Reached only by a test that fails. */
export const DEADLINE_MS = 10_000;

/** One broker for all tests of the calling file: `shared.broker`. */
export function sharedBroker(options) {
  const shared = {};
  before(async () => {
    shared.broker = await Broker.start(options);
  });
  after(() => shared.broker?.stop());
  return shared;
}

/** A pusher-js connection, ended with the test. `user` is whom its backend lets in and signs in. */
export function connect(t, app, { user = 'ann', ...options } = {}) {
  const server = backend(app);
  const client = new Pusher(app.key, {
    ...app.clientOptions,
    channelAuthorization: {
      customHandler: ({ socketId, channelName }, done) =>
        done(null, server.authorizeChannel(socketId, channelName, { user_id: user })),
    },
    userAuthentication: {
      customHandler: ({ socketId }, done) => done(null, server.authenticateUser(socketId, { id: user })),
    },
    ...options,
  });
  t.after(() => client.disconnect());
  return client;
}

export function backend(app) {
  return new PusherServer(app.serverOptions);
}

/** The next `event` that a channel or a connection of pusher-js hears. */
export function heard(emitter, event) {
  return within(new Promise((resolve) => emitter.bind(event, resolve)), event);
}

/** `promise`, or a failure that says what was waited for. */
export async function within(promise, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${DEADLINE_MS} ms for ${what}`)), DEADLINE_MS);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
