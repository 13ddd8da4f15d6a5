// A broker that is stopped and started again on its port, or replaced by a newer one: every release comes back by itself.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { external, PREVIOUS, startBroker } from './broker.mjs';
import { errorCode, fresh, heard, openClient, releases } from './clients.mjs';
import { libraries } from './libraries.mjs';
import { shown } from './record.mjs';

/**
 * pusher-js comes back a second after it is told 4100. Where it then finds the port closed, its transport tries once more
 * after 15 s; and while it waits it reports itself `unavailable`.
 *
 * Newer releases may lose track of an attempt that fails in this moment: its timer then runs on after `disconnect` and
 * would keep this process alive. `--test-force-exit` ends it when the tests have.
 */
const RETURN_DEADLINE_MS = 40_000;

const options = {
  concurrency: true,
  skip: external && 'the server named by PUSHER_HOST is not ours to stop',
};

describe('a broker that restarts', options, () => {
  for (const release of releases) {
    // Proves: 53, 87.
    test(`pusher-js ${release.major} is sent away with 4100, returns and has its channels again`, async (t) => {
      const name = fresh('news');
      let broker = await startBroker({ binary: PREVIOUS });
      t.after(() => broker.stop());
      const client = await openClient(t, release, broker).connected();
      const channel = await client.subscribe(name);
      const greets = heard(channel, 'greet');
      const before = client.socketId;

      await broker.stop();
      await client.until(() => client.errors.some((error) => errorCode(error) === 4100), 'the close code 4100');
      broker = await startBroker({ port: broker.port });
      const returned = () => client.state === 'connected' && client.socketId !== before;
      await client.until(returned, 'the connection to return', RETURN_DEADLINE_MS);
      await client.received('pusher_internal:subscription_succeeded', name, 2);
      await libraries.at(-1).connect(broker).trigger(name, 'greet', { again: true });
      assert.deepEqual((await greets.next())[0], { again: true });
      shown(release, 'reconnect');
    });
  }
});
