// The `pusher` server library, one adapter per way of calling it: up to release 3 it speaks through callbacks, from 4 on
// through promises, and everything else about its majors is the same to a test.

import { createRequire } from 'node:module';
import { installedVersion } from './record.mjs';

const require = createRequire(import.meta.url);

export const libraries = [
  [1, (...settings) => new Callbacks(...settings)],
  [2, (...settings) => new Callbacks(...settings)],
  [3, (...settings) => new Callbacks(...settings)],
  [4, (...settings) => new Promises(...settings)],
  [5, (...settings) => new Today(...settings)],
].map(([major, connect]) => ({ major, connect: (broker, overrides) => connect(major, broker, overrides) }));

/** Those that publish on encrypted channels and hand out their keys. */
export const encrypting = libraries.filter(({ major }) => major >= 3);

/** Every call resolves to `{ status, body }`, or rejects with the library's own error. */
class Library {
  client = 'npm pusher';

  constructor(major, broker, overrides) {
    const Pusher = require(`pusher-${major}`);
    this.version = installedVersion(`pusher-${major}`);
    this.pusher = new Pusher({
      appId: broker.appId,
      key: broker.key,
      secret: broker.secret,
      host: broker.host,
      port: broker.port,
      ...overrides,
    });
  }

  authorize(socketId, channel, member) {
    return this.pusher.authenticate(socketId, channel, member);
  }
}

class Callbacks extends Library {
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

  #answer(call) {
    return new Promise((resolve, reject) => {
      call((error, _request, response) => {
        if (error) reject(error);
        else resolve({ status: response.statusCode, body: response.body });
      });
    });
  }
}

class Promises extends Library {
  trigger(channels, event, data, { socketId } = {}) {
    return this.answer(this.pusher.trigger(channels, event, data, socketId));
  }

  triggerBatch(batch) {
    return this.answer(this.pusher.triggerBatch(batch));
  }

  get(path, params) {
    return this.answer(this.pusher.get({ path, params }));
  }

  post(path, body) {
    return this.answer(this.pusher.post({ path, body }));
  }

  async answer(call) {
    const response = await call;
    return { status: response.status, body: await response.text() };
  }
}

class Today extends Promises {
  trigger(channels, event, data, { socketId, info } = {}) {
    return this.answer(this.pusher.trigger(channels, event, data, { socket_id: socketId, info }));
  }

  authorize(socketId, channel, member) {
    return this.pusher.authorizeChannel(socketId, channel, member);
  }

  authenticateUser(socketId, user) {
    return this.pusher.authenticateUser(socketId, user);
  }

  sendToUser(id, event, data) {
    return this.answer(this.pusher.sendToUser(id, event, data));
  }

  terminateUserConnections(id) {
    return this.answer(this.pusher.terminateUserConnections(id));
  }
}

/** The status and the text a developer sees when a call is refused: callbacks and promises name the first differently. */
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
