// The `pusher` server library, one adapter per major: release 2 speaks through callbacks, release 5 through
// promises, and everything else about them is the same to a test.

import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);

export const libraries = [
  { major: 2, connect: (broker, overrides) => new Release2(broker, overrides) },
  { major: 5, connect: (broker, overrides) => new Release5(broker, overrides) },
];

const settings = (broker, overrides) => ({
  appId: broker.appId,
  key: broker.key,
  secret: broker.secret,
  host: broker.host,
  port: broker.port,
  ...overrides,
});

/** Every call resolves to `{ status, body }`, or rejects with the library's own error. */
class Release2 {
  constructor(broker, overrides) {
    const Pusher = require('pusher-2');
    this.pusher = new Pusher({ ...settings(broker, overrides), encrypted: false });
  }

  trigger(channels, event, data, { socketId } = {}) {
    return this.#answer((done) => this.pusher.trigger(channels, event, data, socketId, done));
  }

  triggerBatch(batch) {
    return this.#answer((done) => this.pusher.triggerBatch(batch, done));
  }

  get(path, params) {
    return this.#answer((done) => this.pusher.get({ path, params }, done));
  }

  post(path, body) {
    return this.#answer((done) => this.pusher.post({ path, body }, done));
  }

  authorize(socketId, channel, member) {
    return this.pusher.authenticate(socketId, channel, member);
  }

  #answer(call) {
    return new Promise((resolve, reject) => {
      call((error, _request, response) => {
        if (error) reject(error);
        else resolve({ status: response.statusCode, body: response.body });
      });
    });
  }
}

class Release5 {
  constructor(broker, overrides) {
    const Pusher = require('pusher-5');
    this.pusher = new Pusher({ ...settings(broker, overrides), useTLS: false });
  }

  trigger(channels, event, data, { socketId, info } = {}) {
    return this.#answer(this.pusher.trigger(channels, event, data, { socket_id: socketId, info }));
  }

  triggerBatch(batch) {
    return this.#answer(this.pusher.triggerBatch(batch));
  }

  get(path, params) {
    return this.#answer(this.pusher.get({ path, params }));
  }

  post(path, body) {
    return this.#answer(this.pusher.post({ path, body }));
  }

  authorize(socketId, channel, member) {
    return this.pusher.authorizeChannel(socketId, channel, member);
  }

  async #answer(call) {
    const response = await call;
    return { status: response.status, body: await response.text() };
  }
}

/** The status and the text a developer sees when a call is refused: release 2 and 5 name the first differently. */
export async function refusal(call) {
  const answer = await call.then(
    (answer) => ({ answer }),
    (error) => ({ error }),
  );
  if (!answer.error) throw new Error(`expected a refusal, got ${answer.answer.status} ${answer.answer.body}`);
  const { name, status, statusCode, body } = answer.error;
  if (name !== 'PusherRequestError') throw answer.error;
  return { status: status ?? statusCode, body };
}
