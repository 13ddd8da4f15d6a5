// The example's video without a browser: what its line takes, what may be decoded, and the QR code. Encoder and decoder are
// the test's own; the browser's are tested by ../../browser.

import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { bitrateFor, Congestion, fittingSize, heightFor } from '../../../examples/magic-mirror/congestion.js';
import { qrCode } from '../../../examples/magic-mirror/qr.js';
import { SoundPublisher, SoundViewer } from '../../../examples/magic-mirror/sound.js';
import { VideoPublisher, VideoViewer } from '../../../examples/magic-mirror/video.js';
import { codecName, Shift } from '../../../examples/magic-mirror/webcodecs.js';
import { TrackChecker } from '../../browser/track-checker.mjs';

describe('what a line takes', () => {
  let line;
  let sequence;
  beforeEach(() => { [line, sequence] = [[], 0]; });
  /** Sends a frame each 33 ms; the broker has it `delay(now)` later and answers each 250 ms. Returns what was skipped. */
  const run = (congestion, { from = 0, seconds, delay }) => {
    let [skipped, answeredAt] = [0, from * 1000];
    for (let now = from * 1000; now < (from + seconds) * 1000; now += 33) {
      if (now - answeredAt >= 250) {
        const newest = line.findLast((frame) => frame.arrives <= now);
        if (newest) congestion.acknowledged(newest.sequence, now);
        answeredAt = now;
      }
      if (congestion.isBehind(now)) skipped += 1;
      else {
        congestion.sent(sequence, now);
        line.push({ sequence, arrives: now + delay(now) });
        sequence += 1;
      }
    }
    return skipped;
  };

  // Proves: pages, video.
  test('nothing is skipped on a line that is long but keeps up', () => {
    const congestion = new Congestion();
    assert.equal(run(congestion, { seconds: 30, delay: () => 180 }), 0);
    assert.equal(congestion.share, 1);
  });

  // Proves: pages, video.
  test('frames are skipped on a line that falls behind, and less is sent when it is far behind', () => {
    const congestion = new Congestion();
    run(congestion, { seconds: 2, delay: () => 20 });
    assert.ok(run(congestion, { from: 2, seconds: 2, delay: () => 600 }) > 10);
    assert.equal(congestion.share, 1, 'not yet a second behind');
    run(congestion, { from: 4, seconds: 10, delay: () => 1600 });
    assert.ok(congestion.share < 0.8, `${congestion.share}`);
    run(congestion, { from: 14, seconds: 200, delay: () => 20 });
    assert.equal(congestion.share, 1, 'and all of it again');
  });

  // Proves: pages, video.
  test('a line over which no answer comes any more is behind', () => {
    const congestion = new Congestion();
    run(congestion, { seconds: 1, delay: () => 20 });
    congestion.acknowledged(sequence, 1000);
    congestion.sent(1_000_000, 1000);
    assert.equal(congestion.isBehind(1300), false);
    assert.equal(congestion.isBehind(1600), true);
    assert.equal(congestion.isBehind(2100), false, 'one goes all the same');
    congestion.sent(1_000_001, 2100);
    assert.equal(congestion.isBehind(2600), true);
    congestion.restart();
    assert.equal(congestion.isBehind(2600), false, 'the next line owes nothing');
  });

  // Proves: pages, video.
  test('where nobody ever answers nothing is known', () => {
    const congestion = new Congestion();
    for (let sequence = 0; sequence < 1000; sequence += 1) congestion.sent(sequence, sequence);
    assert.equal(congestion.isBehind(60_000), false);
    assert.equal(congestion.share, 1);
  });

  // Proves: pages, video.
  test('less bitrate comes first, then a smaller picture, then the small rendition alone', () => {
    assert.deepEqual([1, 0.75, 0.5, 0.4, 0.2, 0.1].map((share) => heightFor(share, 720)), [720, 720, 720, 432, 432, 0]);
    assert.equal(heightFor(0.3, 360), 360);
    assert.equal(bitrateFor({ width: 1280, height: 720 }, 30), 2_000_000);
  });

  // Proves: pages, video.
  test('sizes are even, never larger than the picture, and keep its shape', () => {
    assert.deepEqual(fittingSize({ width: 1920, height: 1080 }, 720), { width: 1280, height: 720 });
    assert.deepEqual(fittingSize({ width: 1080, height: 1920 }, 720), { width: 720, height: 1280 });
    assert.deepEqual(fittingSize({ width: 641, height: 481 }, 720), { width: 642, height: 482 });
    assert.deepEqual(fittingSize({ width: 854, height: 480 }, 360), { width: 640, height: 360 });
  });
});

describe('a viewer', () => {
  const { VideoDecoder, EncodedVideoChunk } = globalThis;
  let decoders;
  beforeEach(() => {
    decoders = [];
    globalThis.VideoDecoder = class {
      state = 'unconfigured';
      decodeQueueSize = 0;
      decoded = [];
      constructor(hooks) { Object.assign(this, hooks); decoders.push(this); }
      configure(config) { this.config = config; this.state = 'configured'; }
      decode({ timestamp }) { this.decoded.push(timestamp); }
      close() { this.state = 'closed'; }
    };
    globalThis.EncodedVideoChunk = class { constructor(init) { Object.assign(this, init); } };
  });
  afterEach(() => { Object.assign(globalThis, { VideoDecoder, EncodedVideoChunk }); });

  const CONFIG = { codec: 'vp8', codedWidth: 64, codedHeight: 48 };
  const open = () => {
    const heard = { wanted: 0, shown: [] };
    const viewer = new VideoViewer({ show: (frame, about) => heard.shown.push(about), wantKeyFrame: () => { heard.wanted += 1; } });
    const key = (sequence, more = {}, now = sequence) => viewer.receive({ sequence, timestamp: sequence, key: true, config: CONFIG, ...more }, new Uint8Array(1), now);
    const delta = (sequence, more = {}, now = sequence) => viewer.receive({ sequence, timestamp: sequence, ...more }, new Uint8Array(1), now);
    return { viewer, heard, key, delta };
  };

  // Proves: pages, video.
  test('begins with a key frame, and decodes what follows it', () => {
    const { viewer, key, delta } = open();
    delta(4);
    assert.equal(decoders.length, 0);
    key(5);
    delta(6);
    delta(8); // 7 was of layer 1, and left out
    delta(8);
    assert.deepEqual(decoders[0].decoded, [5, 6, 8]);
    assert.deepEqual(viewer.counts, { received: 5, missing: 1, dropped: 2, errors: 0 });
    assert.equal(decoders[0].config.optimizeForLatency, true);
  });

  // Proves: pages, video.
  test('goes over to another rendition, and to another configuration, with their key frames alone', () => {
    const { key, delta } = open();
    key(5);
    delta(3, { rendition: 'small' });
    key(2, { rendition: 'small', config: { ...CONFIG, codedWidth: 32 } });
    delta(6);
    delta(3, { rendition: 'small' });
    assert.deepEqual(decoders.map(({ decoded }) => decoded), [[5], [2, 3]]);
    key(4, { rendition: 'small', config: { ...CONFIG, codedWidth: 32 } });
    assert.equal(decoders.length, 2, 'the same configuration needs no other decoder');
  });

  // Proves: pages, video.
  test('asks for a key frame when decoding fails, and waits for it', () => {
    const { heard, viewer, key, delta } = open();
    key(1);
    decoders[0].error(new Error('broken'));
    delta(2);
    assert.equal(heard.wanted, 1);
    key(3);
    delta(4);
    assert.deepEqual(decoders.map(({ decoded }) => decoded), [[1], [3, 4]]);
    assert.equal(viewer.counts.errors, 1);
    // A configuration that is none.
    decoders.length = 0;
    key(5, { config: null });
    assert.equal(viewer.counts.errors, 2);
  });

  // Proves: pages, video.
  test('lets a burst through, and waits for the next key frame when its decoder stays behind', () => {
    const { viewer, key, delta } = open();
    key(0);
    decoders[0].decodeQueueSize = 10;
    delta(1, {}, 10);
    delta(2, {}, 200);
    assert.equal(viewer.counts.dropped, 0);
    delta(3, {}, 300);
    delta(4, {}, 301);
    assert.equal(viewer.counts.dropped, 2);
    key(5, {}, 2000);
    delta(6, {}, 2001);
    assert.deepEqual(decoders.map(({ decoded, state }) => [decoded, state]), [[[0, 1, 2], 'closed'], [[5, 6], 'configured']]);
  });

  // Proves: pages, video.
  test('tells of each frame when it was filmed, and of how many the decoder holds', () => {
    const { heard, viewer, key, delta } = open();
    key(1, { capturedAt: 100 });
    delta(2, { capturedAt: 133 });
    delta(3, { capturedAt: 166 });
    assert.equal(viewer.held, 3);
    decoders[0].output({ timestamp: 2 });
    assert.equal(viewer.held, 1);
    assert.equal(heard.shown[0].members.capturedAt, 133);
  });
});

describe('a publisher', () => {
  const { VideoEncoder, VideoDecoder } = globalThis;
  let encoders;
  let supported;
  beforeEach(() => {
    encoders = [];
    supported = () => true;
    globalThis.VideoEncoder = class {
      static isConfigSupported = async (config) => ({ supported: supported(config) });
      state = 'unconfigured';
      encodeQueueSize = 0;
      wasTold = false;
      constructor(hooks) { Object.assign(this, hooks); encoders.push(this); }
      configure(config) { this.config = config; this.state = 'configured'; }
      close() { this.state = 'closed'; }
      encode({ timestamp }, { keyFrame }) {
        const chunk = { type: keyFrame ? 'key' : 'delta', timestamp, duration: null, byteLength: 2, copyTo: (bytes) => bytes.fill(7) };
        const { codec, width: codedWidth, height: codedHeight } = this.config;
        // Like the browsers': with the first key frame alone.
        const about = this.wasTold ? {} : { decoderConfig: { codec, codedWidth, codedHeight, description: new Uint8Array([1, 2, 3]) } };
        this.wasTold = true;
        this.output(chunk, { ...about, svc: { temporalLayerId: (timestamp / 33) % 2 } });
      }
    };
    globalThis.VideoDecoder = class { static isConfigSupported = async () => ({ supported: true }); };
  });
  afterEach(() => { Object.assign(globalThis, { VideoEncoder, VideoDecoder }); });

  const open = (wishes = {}, hooks = {}) => {
    const sent = [];
    const line = { isUp: true };
    const publisher = new VideoPublisher({
      wishes: () => ({ codec: 'auto', height: 720, framesPerSecond: 30, small: true, ...wishes }),
      members: { track: 'left' },
      send: (bytes, { mediaType, members }) => {
        if (line.isUp) sent.push({ mediaType, ...members });
        return line.isUp;
      },
      ...hooks,
    });
    const closed = [];
    const film = async (...times) => {
      for (const now of times) {
        const frame = { timestamp: now, displayWidth: 1280, displayHeight: 720, close: () => closed.push(now) };
        publisher.encode(frame, now, now);
        await new Promise((resolve) => { setImmediate(resolve); });
      }
    };
    return { publisher, sent, line, film, closed };
  };

  // Proves: pages, video.
  test('repeats the configuration on each key frame, and sends one each two seconds', async () => {
    const { sent, film, closed } = open();
    await film(0, 33, 66, 99, 2066);
    assert.deepEqual(closed, [0, 33, 66, 99, 2066], 'frames are given back');
    const config = { codec: 'avc1.640028', codedWidth: 1280, codedHeight: 720, description: 'AQID' };
    assert.deepEqual(sent.map(({ sequence, key, config: repeated, layer }) => [sequence, key, repeated, layer]), [
      [0, true, config, undefined], [1, undefined, undefined, undefined], [2, undefined, undefined, 1], [3, true, config, undefined],
    ]);
    assert.ok(sent.every(({ mediaType, track }) => mediaType === 'video/webcodecs' && track === 'left'));
  });

  // Proves: pages, video.
  test('sends a key frame when one is wanted', async () => {
    const { publisher, sent, film } = open();
    await film(0, 33, 66);
    publisher.keyFrameWanted({ rendition: 'small' });
    await film(99);
    publisher.keyFrameWanted({ rendition: 'full' });
    await film(132);
    assert.deepEqual(sent.map(({ key = false }) => key), [true, false, false, true]);
  });

  // What could not be sent is missed by all that refers to it.
  // Proves: pages, video.
  test('sends no delta after a frame that could not be sent', async () => {
    const { sent, line, film } = open();
    await film(0, 33);
    line.isUp = false;
    await film(66);
    line.isUp = true;
    await film(99, 132);
    assert.deepEqual(sent.map(({ sequence, key = false }) => [sequence, key]), [[0, true], [2, true], [3, false]]);
  });

  // Whoever does not answer would hand both to everybody.
  // Proves: pages, video.
  test('sends the small rendition to a broker that answers, and it alone over a weak line', async () => {
    const { publisher, sent, film } = open();
    await film(0, 33, 66);
    assert.ok(sent.every(({ rendition }) => rendition === undefined));
    publisher.acknowledged({ sequence: sent.at(-1).sequence });
    await film(99, 132, 165);
    const small = sent.filter(({ rendition }) => rendition === 'small');
    assert.deepEqual(small.map(({ sequence }) => sequence), [0, 1]);
    assert.deepEqual([small[0].config.codedWidth, small[0].config.codedHeight], [640, 360]);
    publisher.congestion.share = 0.1;
    sent.length = 0;
    await film(198, 231);
    assert.deepEqual(sent.map(({ rendition }) => rendition), ['small', 'small']);
  });

  // Proves: pages, video.
  test('skips before it encodes: while the broker is behind, and while its encoder is', async () => {
    const { publisher, sent, film } = open({ small: false });
    await film(0, 33);
    encoders[0].encodeQueueSize = 2;
    await film(66);
    encoders[0].encodeQueueSize = 0;
    assert.equal(sent.length, 1);
    publisher.congestion.isBehind = () => true;
    await film(99);
    assert.equal(sent.length, 1);
    assert.equal(publisher.skipped, 3, 'the first one found no encoder yet');
  });

  // Proves: pages, video.
  test('takes the next codec where one is not supported or fails', async () => {
    supported = ({ codec, scalabilityMode }) => !codec.startsWith('avc1') && !scalabilityMode;
    const { publisher, sent, film } = open();
    await film(0, 33);
    assert.equal(publisher.settings.codec, 'vp09.00.40.08');
    assert.equal(publisher.settings.scalabilityMode, undefined);
    encoders[0].error(new Error('no more'));
    await film(66, 99);
    assert.equal(publisher.settings.codec, 'vp8');
    assert.deepEqual(sent.map(({ config }) => config?.codec), ['vp09.00.40.08', 'vp8']);
    assert.deepEqual(['avc1.640028', 'vp09.00.40.08', 'vp8', 'av01.0.08M.08', 'hev1'].map(codecName), ['H.264', 'VP9', 'VP8', 'AV1', 'hev1']);
  });

  // A line that was bad for a while, with nothing beside the full rendition.
  // Proves: pages, video.
  test('sets the full rendition up again after a bad line', async () => {
    for (const height of [360, 720]) {
      const { publisher, sent, film } = open({ height, small: false });
      await film(0, 33);
      publisher.congestion.share = 0.1;
      await film(66, 99);
      publisher.congestion.share = 0.25;
      sent.length = 0;
      await film(132, 165, 198);
      assert.deepEqual(sent.map(({ key = false, rendition }) => [key, rendition]), [[true, undefined], [false, undefined]], `${height}`);
    }
  });

  // Proves: pages, video.
  test('takes the same codec again where the browser has only taken the encoder back, and each a minute after it has failed', async () => {
    const { publisher, film } = open();
    await film(0, 33);
    encoders[0].error(new DOMException('Codec reclaimed due to inactivity.', 'QuotaExceededError'));
    await film(66, 99);
    assert.equal(publisher.settings.codec, 'avc1.640028');
    encoders.at(-1).encode = () => { throw new DOMException('turned', 'DataError'); };
    await film(132, 165, 198);
    assert.equal(publisher.settings.codec, 'avc1.640028');
    encoders.at(-1).error(new DOMException('broken', 'EncodingError'));
    await film(231, 264);
    assert.notEqual(publisher.settings.codec, 'avc1.640028');
    const later = performance.now() + 61_000;
    encoders.at(-1).error(new DOMException('broken', 'EncodingError'));
    await film(later, later + 33);
    assert.equal(publisher.settings.codec, 'avc1.640028');
  });

  // Proves: pages, video.
  test('says that there is no codec, and looks for one again', async () => {
    supported = () => false;
    let missing = 0;
    const { publisher, sent, film } = open({}, { onNoCodec: () => { missing += 1; } });
    await film(0, 33, 66);
    assert.equal(missing, 1);
    assert.equal(publisher.settings, null);
    supported = () => true;
    await film(6000, 6033);
    assert.equal(sent.length, 1);
  });

  // Proves: pages, video.
  test('leaves no encoder behind when it is closed while it looks for a codec', async () => {
    const { publisher, closed, film } = open();
    const filmed = film(0);
    publisher.close();
    await filmed;
    await film(33);
    assert.equal(encoders.length, 0);
    assert.deepEqual(closed, [0, 33]);
  });

  // A camera's timestamps begin anywhere.
  // Proves: pages, video.
  test('dates frames by the clock of the page, and never backwards', () => {
    const shift = new Shift();
    const take = (timestamp, takenAt, last) => {
      shift.see(timestamp, takenAt);
      return shift.apply(timestamp, last);
    };
    const late = take(1_000_000, 5_000_200);
    assert.equal(late, 5_000_200_000);
    assert.equal(take(1_033_000, 5_000_033, late), late + 1, 'the first one was late by 200 ms');
    assert.equal(take(1_400_000, 5_000_900, late + 1), 5_000_400_015, 'one that is taken late is not dated late');
    assert.equal(new Shift().apply(7), 7);
  });
});

describe('sound', () => {
  const NAMES = ['AudioEncoder', 'AudioDecoder', 'EncodedAudioChunk', 'MediaStreamTrackProcessor', 'AudioContext', 'AudioBufferSourceNode'];
  const before = Object.fromEntries(NAMES.map((name) => [name, globalThis[name]]));
  afterEach(() => { Object.assign(globalThis, before); });

  // Proves: pages, video.
  test('is encoded again after its encoder has failed, and no more when it is over', async () => {
    const encoders = [];
    globalThis.AudioEncoder = class {
      static isConfigSupported = async () => ({ supported: true });
      state = 'unconfigured';
      constructor(hooks) { Object.assign(this, hooks); encoders.push(this); }
      configure() { this.state = 'configured'; }
      close() { this.state = 'closed'; }
      encode({ timestamp }) {
        if (this.isBroken) throw new Error('broken');
        this.output({ timestamp, duration: 40_000, byteLength: 1, copyTo: () => {} }, { decoderConfig: { codec: 'opus', sampleRate: 48_000, numberOfChannels: 1 } });
      }
    };
    let microphone;
    const readable = new ReadableStream({ start: (controller) => { microphone = controller; } });
    globalThis.MediaStreamTrackProcessor = class { readable = readable; };
    const sent = [];
    let closed = 0;
    const publisher = new SoundPublisher({}, { send: (_, { members }) => { sent.push(members); return true; } });
    const say = async (timestamp) => {
      microphone.enqueue({ timestamp, duration: 40_000, sampleRate: 48_000, numberOfChannels: 1, close: () => { closed += 1; } });
      await new Promise((resolve) => { setImmediate(resolve); });
    };
    await say(0);
    encoders[0].close(); // so a browser leaves one that has failed
    await say(40_000);
    encoders[1].isBroken = true;
    await say(80_000);
    await say(120_000);
    assert.equal(encoders.length, 3);
    assert.deepEqual(sent.map(({ sequence, key, config }) => [sequence, key, config?.codec]), [0, 1, 2].map((number) => [number, true, 'opus']));
    assert.ok(sent.every(({ timestamp }, index) => index === 0 || timestamp > sent[index - 1].timestamp));
    assert.equal(closed, 4, 'pieces are given back');
    publisher.close();
    assert.equal(encoders[2].state, 'closed');
    await assert.rejects(() => say(160_000), 'the microphone is let go of');
  });

  // Proves: pages, video.
  test('is played as soon as it comes evenly, but no later than the pictures allow', () => {
    let decoder;
    const context = { currentTime: 0, state: 'running', destination: {}, close: async () => {}, createBuffer: () => ({ getChannelData: () => null }) };
    globalThis.AudioContext = function AudioContext() { return context; };
    globalThis.AudioDecoder = class {
      constructor(hooks) { Object.assign(this, hooks); decoder = this; }
      configure() { this.state = 'configured'; }
      decode() {}
      close() {}
    };
    globalThis.EncodedAudioChunk = class {};
    const leads = [];
    globalThis.AudioBufferSourceNode = class {
      connect() {}
      start(when) { leads.push(Math.round((when - context.currentTime) * 1000)); }
    };
    const viewer = new SoundViewer();
    viewer.receive({ key: true, config: { codec: 'opus', sampleRate: 48_000, numberOfChannels: 1 }, timestamp: 0 }, new Uint8Array(1));
    const hear = (underWayMs) => {
      context.currentTime += 1;
      const timestamp = (performance.timeOrigin + performance.now() - underWayMs) * 1000;
      decoder.output({ numberOfFrames: 1920, numberOfChannels: 1, sampleRate: 48_000, timestamp, copyTo: () => {}, close: () => {} });
    };
    const isNear = (expected) => assert.ok(Math.abs(leads.at(-1) - expected) < 10, `${leads.at(-1)} ms ahead, expected some ${expected}`);
    hear(50);
    isNear(25);
    hear(150);
    isNear(27); // 100 ms uneven: it is waited for longer from now on
    hear(50);
    isNear(125);
    viewer.follow(60);
    hear(50);
    isNear(45); // 35 ms behind the pictures
    hear(150);
    assert.deepEqual([leads.length, viewer.counts], [4, { played: 4, dropped: 1 }], 'what would be late is left out');
  });
});

// The code of "HELIOSTAT" as another program draws it would have to choose the same mask; what a reader needs is looked at
// instead: its three corners, its timing, and a size that grows with the text.
// Proves: pages.
test('a QR code has its corners, and is as large as its text needs', () => {
  for (const [length, size] of [[1, 21], [17, 21], [18, 25], [53, 29], [106, 37], [154, 45], [230, 53]]) {
    const rows = qrCode('x'.repeat(length));
    assert.equal(rows.length, size, `${length} bytes`);
    const corner = ['1111111', '1000001', '1011101', '1011101', '1011101', '1000001', '1111111'];
    const at = (x, y) => corner.map((_, row) => rows[y + row].slice(x, x + 7).map(Number).join(''));
    for (const [x, y] of [[0, 0], [size - 7, 0], [0, size - 7]]) assert.deepEqual(at(x, y), corner);
    assert.ok(rows[6].slice(8, size - 8).every((isDark, index) => isDark === (index % 2 === 0)));
  }
  assert.equal(qrCode('x'.repeat(231)), null);
});

describe('the checker of what viewers were sent', () => {
  const frame = (sequence, isKey, more = {}) => ({
    sequence, timestamp: 0, ...isKey && { key: true, config: { codec: 'vp8', codedWidth: 16, codedHeight: 16 } }, ...more,
  });
  const small = { rendition: 'small' };
  const faults = (...frames) => {
    const checker = new TrackChecker();
    checker.sent('v', { sequence: 4, layer: 1 });
    frames.forEach((members) => checker.take('v', 'video/webcodecs', members));
    return checker.faults;
  };

  // Proves: video.
  test('what a decoder could not use is a fault', () => {
    assert.deepEqual(faults(frame(1, true), frame(2), frame(3), frame(5)), []);
    assert.deepEqual(faults(frame(1, true), frame(9, true, small), frame(10, false, small), frame(2, true)), []);
    assert.match(faults(frame(1)).join(), /before any key frame/);
    assert.match(faults(frame(1, true), frame(3)).join(), /3 is an orphan/);
    assert.match(faults(frame(1, true), frame(2), frame(2)).join(), /2 came after 2/);
    assert.match(faults(frame(1, true), frame(2, false, small)).join(), /another rendition/);
    assert.match(faults({ sequence: 1, timestamp: 0, key: true }).join(), /no configuration/);
  });
});
