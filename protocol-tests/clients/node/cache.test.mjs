// Cache channels: what was published last waits for who comes late.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fresh, heard } from './clients.mjs';
import { everyRelease } from './matrix.mjs';
import { shown } from './record.mjs';

everyRelease('cache channels', {}, (stage) => {
  for (const kind of ['cache-prices', 'private-cache-prices', 'presence-cache-prices']) {
    // Proves: 134, 135, 136, 137, 138, 140, 141.
    test(`a ${kind.replace(/prices$/, '')} channel says that it has nothing, then what was published last`, async (t) => {
      const name = fresh(kind);
      const early = await stage.open(t, { member: { user_id: 'ann' } });
      const misses = heard(early.pusher.subscribe(name), 'pusher:cache_miss');
      await misses.next();
      for (const p of [1, 2]) await stage.library.trigger(name, 'price', { p });
      await early.received('price', name, 2);
      early.close();

      const late = await stage.open(t, { member: { user_id: 'bob' } });
      const prices = heard(late.pusher.subscribe(name), 'price');
      assert.deepEqual((await prices.next())[0], { p: 2 });
      assert.deepEqual(late.eventsOn(name), ['price']);
      assert.deepEqual(
        late.frames.filter(({ event }) => event === 'pusher:cache_miss'),
        [],
      );
      shown(stage.release, 'cache');
    });
  }
});
