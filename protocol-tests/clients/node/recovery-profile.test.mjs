// A short run of the reconnect profile (reconnect/README.md): nothing is lost, and nothing is out of order, however lines are cut.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { external, startBroker } from './broker.mjs';
import { run } from './reconnect/profile.mjs';

const CONFIG = fileURLToPath(new URL('recovery.toml', import.meta.url));

/** Twenty seconds, in which each client's line is cut three times; another seed would do. */
const PROFILE = { clients: 20, messages: 40, perSecond: 2, cutEveryMs: 6_000, offlineMs: 500, seed: 20_260 };

describe('the reconnect profile', { skip: external && 'the server named by PUSHER_HOST may keep no history' }, () => {
  for (const variant of ['helper', 'requests', 'echo']) {
    // Proves: recovery.
    test(`${variant}: all clients receive everything, in order`, async (t) => {
      const broker = await startBroker({ args: ['--config', CONFIG] });
      t.after(() => broker.stop());
      const outcome = await run(broker, { ...PROFILE, variant, names: true });
      assert.equal(outcome.lost, 0);
      assert.equal(outcome.disorder, 0);
      assert.equal(outcome.incomplete, 0);
      assert.ok(outcome.complete >= outcome.cuts / 2, 'clients did come back');
      // What is not acknowledged when a line is cut is what was published just before: not even one event for each cut.
      assert.ok(outcome.duplicates <= outcome.cuts, `${outcome.duplicates} came twice, of ${outcome.cuts} cuts`);
    });
  }
});
