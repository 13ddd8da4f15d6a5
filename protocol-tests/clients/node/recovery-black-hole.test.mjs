// A line that swallows everything for a while: clients notice by its silence, come back and have missed nothing. Short times;
// reconnect/README.md has the trial with those of a snippet, which measures them.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { external, startBroker } from './broker.mjs';
import { releases } from './clients.mjs';
import { FATES, blackHole, pongTimeout } from './reconnect/black-hole.mjs';

const CONFIG = fileURLToPath(new URL('recovery.toml', import.meta.url));

/** After a second of silence the client asks, and a second later it gives the line up. */
const HASTY = { HELIOSTAT_CONNECTION_ACTIVITY_TIMEOUT_SECONDS: '1' };
const PONG_TIMEOUT_MS = 1_000;
const HOLE_SECONDS = 4;

describe('a black hole', { skip: external && 'the server named by PUSHER_HOST may keep no history' }, () => {
  for (const fate of Object.keys(FATES)) {
    // Proves: recovery.
    test(`${fate}: every release notices, comes back, and has missed nothing`, async (t) => {
      const broker = await startBroker({ args: ['--config', CONFIG], env: HASTY });
      t.after(() => broker.stop());
      await Promise.all(releases.map(async (release) => {
        const options = { enabledTransports: ['ws'], ...pongTimeout(release, PONG_TIMEOUT_MS) };
        const outcome = await blackHole(broker, { release, fate, seconds: HOLE_SECONDS, options });
        const { lost, ordered, complete, connections } = outcome;
        assert.deepEqual({ lost, ordered, complete }, { lost: 0, ordered: true, complete: true }, `pusher-js ${release.major}`);
        assert.ok(connections >= 2, `pusher-js ${release.major} has noticed`);
      }));
    });
  }
});
