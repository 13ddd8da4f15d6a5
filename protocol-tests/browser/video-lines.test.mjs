// Video over lines that are weak or break: what comes can be decoded, and it goes on.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { number, openPage, shown, showsDistinctPictures } from './browser.mjs';
import { assertDecodes, pages, pageTools, readTimes } from './filming.mjs';
import { forwarder } from './forwarder.mjs';

/** A quarter of the 2 Mb/s that 720p30 is given. */
const WEAK_BYTES_PER_SECOND = 62_500;
const WEAK_FOR_MS = 30_000;
/** Pictures that a weak mirror sees in that time, if it sees any move: five a second. */
const WEAK_PICTURES = 150;
const CUT_FOR_MS = 5000;
const PICTURES = 20;

// A quarter of the bitrate for half a minute, with somebody beside whose line is good.
// Proves: pages, video.
test('a mirror on a weak line sees moving pictures, and is sent nothing that it cannot decode', async (t) => {
  const { broker, context, stream, mirror, tracks } = await pages(t);
  const line = await forwarder(t, broker);
  const weak = await openPage(t, context, `${line.url}/mirror`);
  await shown(weak, '#connection', /^Connected/);
  await weak.evaluate(pageTools);
  await stream.click('#start');
  await readTimes(weak, 5);
  line.slowTo(WEAK_BYTES_PER_SECOND);
  await wait(WEAK_FOR_MS / 2);
  const [before, skipped] = [await number(mirror, '#received'), await weak.textContent('#dropped')];
  await wait(WEAK_FOR_MS / 2);
  const seen = await weak.evaluate(() => globalThis.times.length);
  const judged = tracks.judge(weak);
  t.diagnostic(`${seen} pictures in ${WEAK_FOR_MS / 1000} s; ${judged.moves} moves; left out at first: ${skipped}; `
    + `${await weak.textContent('#codec')}; ${await weak.textContent('#latency')}, ${await weak.textContent('#latency-note')}`);
  assert.ok(seen >= WEAK_PICTURES, `${seen} pictures`);
  assert.deepEqual(judged.faults, []);
  assert.ok(judged.moves > 0, 'it was moved to the small rendition');
  await assertDecodes(weak);
  assert.ok(await number(mirror, '#received') - before > WEAK_PICTURES, 'the other one has got all of it');
  assert.deepEqual(tracks.judge(mirror).faults, []);
  await assertDecodes(mirror);
});

// The publisher's line is cut and at first comes back without WebSockets; its camera is exchanged for another one, its codec for another one.
// Proves: pages, video.
test('the video goes on after five seconds without a line, and with another camera', async (t) => {
  const { broker, stream, mirror, tracks, line } = await pages(t, 'video=1', { streamBroker: (broker) => forwarder(t, broker) });
  await stream.click('#start');
  await readTimes(mirror, 5);
  line.forwardTo({ host: '127.0.0.1', port: 1 });
  line.cut();
  await shown(mirror, '#veil', /paused/);
  await wait(CUT_FOR_MS);
  // pusher-js comes back over one of its fallbacks first.
  line.refuseUntil(/\/pusher\//);
  line.forwardTo(broker);
  await shown(stream, '#codec', /^H\.264/);
  await shown(stream, '#connection', /^Connected/);
  await shown(mirror, '#codec', /^H\.264, 1280 × 720/);
  await readTimes(mirror, PICTURES);
  await stream.selectOption('#source', 'test-picture');
  await showsDistinctPictures(mirror, 3);
  await stream.selectOption('#codec-wished', 'vp9');
  await shown(mirror, '#codec', /^VP9, 1280 × 720/);
  await stream.selectOption('#source', { index: 0 });
  await readTimes(mirror, PICTURES);
  await shown(mirror, '#codec', /^VP9, 1280 × 720/);
  assert.deepEqual(tracks.judge(mirror).faults, []);
  await assertDecodes(mirror);
});
