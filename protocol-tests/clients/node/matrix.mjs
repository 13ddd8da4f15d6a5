// Every pusher-js major beside every major of the server library, each pair with one broker and one auth endpoint.

import { after, before, describe } from 'node:test';
import { startAuthEndpoint } from './auth-endpoint.mjs';
import { startBroker } from './broker.mjs';
import { openClient, releases } from './clients.mjs';
import { libraries } from './libraries.mjs';

/**
 * Declares `suite` once per pair. `suite` gets a stage whose parts exist once the tests run:
 * `stage.broker`, `stage.library`, `stage.release`, and `stage.open(t, options)` for one more client.
 */
export function everyPair(title, suite) {
  describe(title, () => {
    let broker;
    before(async () => (broker = await startBroker()));
    after(() => broker?.stop());
    for (const release of releases) {
      for (const { major, connect } of libraries) {
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
