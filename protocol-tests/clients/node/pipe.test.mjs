// The rule of development mode, `stream:frame=mirror:frame`: what one page sends on `stream`, another sees on `mirror`.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { external, startBroker } from './broker.mjs';
import { openClient, releases } from './clients.mjs';

/** More of both than client events may have: pictures of a camera's size, as many as it takes in a few seconds. */
const FRAMES = 60;
const PICTURE_BYTES = 100_000;
/** What a mirror may lag behind; the broker drops a reader that is behind by more than it keeps for one. */
const LAG = 4;

const options = { skip: external && 'the server named by PUSHER_HOST has rules of its own' };

describe('a pipe rule', options, () => {
  let broker;
  before(async () => (broker = await startBroker()));
  after(() => broker?.stop());

  for (const release of releases) {
    // Proves: 258, 260.
    test(`pusher-js ${release.major} streams pictures that a mirror page receives whole and in order`, async (t) => {
      const page = await openClient(t, release, broker).connected();
      const mirror = await openClient(t, release, broker).connected();
      await page.subscribe('stream');
      await mirror.subscribe('stream');
      await mirror.subscribe('mirror');
      for (let n = 0; n < FRAMES; n++) {
        // `channel.trigger` of these releases insists on `client-`; the message it would have sent is this.
        page.pusher.send_event('frame', { n, dataUrl: picture(n) }, 'stream');
        await mirror.received('frame', 'mirror', n - LAG);
      }
      const frames = await mirror.received('frame', 'mirror', FRAMES);
      frames.forEach(({ data }, n) => {
        assert.equal(data.n, n);
        assert.equal(data.dataUrl, picture(n));
      });
      assert.equal(frames.length, FRAMES);
      assert.deepEqual(mirror.eventsOn('stream'), []);
      assert.deepEqual(page.errors, []);
    });
  }
});

function picture(n) {
  return `data:image/webp;base64,${n}`.padEnd(PICTURE_BYTES, 'QUJD');
}
