// How many subscribers a channel has, told to each of them. pusher-js hands it on since 7.2.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fresh, heard } from './clients.mjs';
import { everyRelease } from './matrix.mjs';
import { shown } from './record.mjs';

everyRelease('subscription counts', { env: { HELIOSTAT_APP_SUBSCRIPTION_COUNT: 'true' } }, (stage) => {
  for (const kind of ['news', 'private-room']) {
    // Proves: 161, 162.
    test(`the subscribers of a channel such as ${kind} are told how many they are`, async (t) => {
      const name = fresh(kind);
      const first = await stage.open(t);
      const second = await stage.open(t);
      const channel = first.pusher.subscribe(name);
      const counts = heard(channel, 'pusher:subscription_count');
      await first.received('pusher_internal:subscription_count', name);
      await second.subscribe(name);
      second.pusher.unsubscribe(name);
      const frames = await first.received('pusher_internal:subscription_count', name, 3);
      // Newer releases read the data in place, older ones leave it to the handlers they do not have.
      const told = frames.map(({ data }) => (typeof data === 'string' ? JSON.parse(data) : data).subscription_count);
      assert.deepEqual(told, [1, 2, 1]);
      if (stage.release.major < 7) return;
      for (const count of [1, 2, 1]) assert.deepEqual((await counts.next())[0], { subscription_count: count });
      assert.equal(channel.subscriptionCount, 1);
      shown(stage.release, 'subscription count');
    });
  }
});
