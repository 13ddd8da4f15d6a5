// Every pusher-js major, beside the server libraries of then and now, all with one broker and each pair with its auth
// endpoint.

import { after, before, describe } from 'node:test';
import { startAuthEndpoint } from './auth-endpoint.mjs';
import { external, startBroker } from './broker.mjs';
import { openClient, releases } from './clients.mjs';
import { libraries } from './libraries.mjs';

/** The server libraries that meet every pusher-js: the one with callbacks, and today's with promises. */
const PARTNERS = libraries.filter(({ major }) => major === 2 || major === 5);

/**
 * Declares `suite` once per pair. `suite` gets a stage whose parts exist once the tests run:
 * `stage.broker`, `stage.library`, `stage.release`, and `stage.open(t, options)` for one more client.
 */
export function everyPair(title, suite) {
  pairs(title, { partners: PARTNERS }, suite);
}

/**
 * Declares `suite` once per pusher-js from `since` on, each with today's server library. `env` is for the broker, and then
 * it has to be one of our own.
 */
export function everyRelease(title, { since = 3, env } = {}, suite) {
  pairs(title, { since, env, partners: libraries.slice(-1) }, suite);
}

function pairs(title, { since = 3, env, partners }, suite) {
  const skip = Boolean(external && env) && 'it needs a broker with other settings';
  describe(title, { skip }, () => {
    let broker;
    before(async () => (broker = await startBroker({ env })));
    after(() => broker?.stop());
    for (const release of releases.filter(({ major }) => major >= since)) {
      for (const { major, connect } of partners) {
        describe(`pusher-js ${release.major} with server library ${major}`, () => {
          const stage = { release };
          before(async () => {
            stage.broker = broker;
            stage.library = connect(broker);
            stage.auth = await startAuthEndpoint(stage.library);
          });
          after(() => stage.auth?.stop());
          stage.open = (t, options) => openClient(t, release, broker, { auth: stage.auth, ...options }).connected();
          suite(stage);
        });
      }
    }
  });
}
