// Video for channels with `delivery = "video"`: a file to copy, with congestion.js. Its messages are specified in
// docs/video.md; they travel as binary messages (binary.js), but this file knows neither pusher-js nor the page.
//
//   const publisher = new VideoPublisher({ send, wishes: () => ({ codec: 'auto', height: 720, framesPerSecond: 30, small: true }) });
//   publisher.encode(videoFrame, capturedAt);        // closes the frame; skips it where the line is behind
//   channel.bind('pusher:frame_received', (data) => publisher.acknowledged(data));
//   channel.bind('pusher:keyframe_wanted', (data) => publisher.keyFrameWanted(data));
//
//   const viewer = new VideoViewer({ show: (frame, about) => { …; frame.close(); }, wantKeyFrame });
//   channel.bind('video', (data) => viewer.receive(data, contentOf(data).bytes));

import { bitrateFor, Congestion, fittingSize, heightFor, SMALL } from './congestion.js';

/** What an encoder is asked for, best first: H.264 has the hardware, VP8 is everywhere. Level 4.0 is 1080p30. */
export const CODECS = {
  h264: ['avc1.640028', 'avc1.42E028'], vp9: ['vp09.00.40.08'], vp8: ['vp8'], av1: ['av01.0.08M.08'],
};
export const MEDIA_TYPE = 'video/webcodecs';
const KEY_FRAME_EVERY_MS = 2000;
/** Frames that an encoder, and a decoder, may have waiting. */
const MOST_ENCODING = 2;
const MOST_DECODING = 3;
/** Frames of which it is remembered when they were taken or came. */
const REMEMBERED = 120;

/** How codecs are called by people. */
export function codecName(codec = '') {
  const [, name] = [['avc1', 'H.264'], ['avc3', 'H.264'], ['vp09', 'VP9'], ['vp8', 'VP8'], ['av01', 'AV1']].find(([start]) => codec.startsWith(start)) ?? [];
  return name ?? codec;
}

/** The first codec that this browser both encodes and decodes, as the settings of its encoder; null if it has none. */
export async function chooseCodec(wanted, size, { framesPerSecond, bitrate }, refused = new Set()) {
  if (!('VideoEncoder' in globalThis && 'VideoDecoder' in globalThis)) return null;
  for (const codec of (CODECS[wanted] ?? Object.values(CODECS).flat()).filter((name) => !refused.has(name))) {
    const base = {
      codec, ...size, bitrate, framerate: framesPerSecond, latencyMode: 'realtime',
      ...(codec.startsWith('avc1') && { avc: { format: 'annexb' } }),
    };
    for (const more of [{ scalabilityMode: 'L1T2', bitrateMode: 'constant' }, { bitrateMode: 'constant' }, {}]) {
      const config = { ...base, ...more };
      const answers = await Promise.all([
        VideoEncoder.isConfigSupported(config), VideoDecoder.isConfigSupported({ codec }),
      ]).catch(() => []);
      if (answers.length > 0 && answers.every(({ supported }) => supported)) return config;
    }
  }
  return null;
}

/** One encoder, its numbering and its key frames. */
class Rendition {
  sequence = 0;
  bitrate = 0;
  keyWanted = true;
  refused = new Set();
  settings = null;
  #encoder = null;
  #config = null;
  #wished = '';
  #keyAt = -Infinity;
  #taken = new Map();
  #onChunk;

  constructor(name, onChunk) {
    this.name = name;
    this.#onChunk = onChunk;
  }

  /** Whether frames that it has been given have not come out. (Those of which it makes nothing are forgotten.) */
  isBusy(now) {
    for (const [timestamp, { takenAt }] of this.#taken) if (now - takenAt > 1000) this.#taken.delete(timestamp);
    return this.#encoder.encodeQueueSize >= MOST_ENCODING || this.#taken.size > MOST_ENCODING;
  }

  /** Sets the encoder up for what is wished, if that has changed; false while it is not ready. */
  ready(codec, size, framesPerSecond, bitrate) {
    const wished = [codec, size.width, size.height, framesPerSecond].join();
    if (wished !== this.#wished) {
      this.#wished = wished;
      this.#setUp(wished, codec, size, framesPerSecond, bitrate);
    } else if (this.settings && Math.abs(bitrate - this.bitrate) > 0.05 * this.bitrate) {
      this.bitrate = bitrate;
      this.#encoder.configure({ ...this.settings, bitrate });
    }
    return this.#encoder?.state === 'configured';
  }

  async #setUp(wished, codec, size, framesPerSecond, bitrate) {
    this.close();
    const settings = await chooseCodec(codec, size, { framesPerSecond, bitrate }, this.refused);
    if (wished !== this.#wished) return;
    this.settings = settings;
    if (!settings) return;
    this.bitrate = bitrate;
    this.keyWanted = true;
    this.#encoder = new VideoEncoder({
      output: (chunk, about) => this.#output(chunk, about),
      // It is tried no more; with the next frame another codec is chosen.
      error: () => { this.refused.add(settings.codec); this.#encoder = null; this.#wished = ''; },
    });
    this.#encoder.configure(settings);
  }

  encode(frame, capturedAt, now) {
    const keyFrame = this.keyWanted || now - this.#keyAt >= KEY_FRAME_EVERY_MS;
    if (keyFrame) {
      this.keyWanted = false;
      this.#keyAt = now;
    }
    remember(this.#taken, frame.timestamp, { takenAt: now, capturedAt, rotation: frame.rotation, flip: frame.flip });
    this.#encoder.encode(frame, { keyFrame });
  }

  #output(chunk, about) {
    const key = chunk.type === 'key';
    const taken = this.#taken.get(chunk.timestamp) ?? {};
    for (const timestamp of this.#taken.keys()) if (timestamp <= chunk.timestamp) this.#taken.delete(timestamp);
    // An encoder gives its configuration only when it changes.
    if (about?.decoderConfig) this.#config = configMember(about.decoderConfig);
    if (key && !this.#config) return;
    const bytes = new Uint8Array(chunk.byteLength);
    chunk.copyTo(bytes);
    const layer = key ? 0 : about?.svc?.temporalLayerId ?? 0;
    const { rotation = taken.rotation, flip = taken.flip } = this.#config ?? {};
    this.#onChunk(this, bytes, {
      sequence: this.sequence,
      timestamp: chunk.timestamp,
      ...(chunk.duration && { duration: chunk.duration }),
      ...(key && { key, config: { ...this.#config, ...(rotation && { rotation }), ...(flip && { flip }) } }),
      ...(this.name !== 'full' && { rendition: this.name }),
      ...(layer > 0 && { layer: 1 }),
      ...(taken.capturedAt && { capturedAt: taken.capturedAt }),
    });
  }

  close() {
    if (this.#encoder?.state === 'configured') this.#encoder.close();
    this.#encoder = null;
    this.#config = null;
    this.#taken.clear();
    this.settings = null;
  }
}

/** Encodes frames and sends them, as much as the line takes. */
export class VideoPublisher {
  congestion = new Congestion();
  skipped = 0;
  #options;
  #renditions;
  #awaitsKey = new Set();
  #closed = false;

  /**
   * @param {object} options
   * @param {(bytes: Uint8Array, about: {mediaType: string, members: object}) => boolean} options.send  false: not sent
   * @param {() => {codec: string, height: number, framesPerSecond: number, small: boolean}} options.wishes
   * @param {object} [options.members]  what each message says besides: `track`, `publisher`
   * @param {(about: {bytes: number, members: object}) => void} [options.onSent]
   */
  constructor(options) {
    this.#options = options;
    const onChunk = (rendition, bytes, members) => this.#send(rendition, bytes, members);
    this.#renditions = { full: new Rendition('full', onChunk), small: new Rendition('small', onChunk) };
  }

  /** What the encoder of the full rendition, or else the small one, is set to; null before the first frame. */
  get settings() {
    const { full, small } = this.#renditions;
    const used = full.settings ? full : small;
    return used.settings && { ...used.settings, bitrate: used.bitrate };
  }

  /** Takes a frame and closes it; false if it was skipped. `capturedAt`: milliseconds since 1970. */
  encode(frame, capturedAt, now = performance.now()) {
    const { codec, height, framesPerSecond, small } = this.#options.wishes();
    const picture = { width: frame.displayWidth, height: frame.displayHeight };
    const behind = this.congestion.isBehind(now);
    const { share } = this.congestion;
    const full = heightFor(share, height);
    // Whoever does not answer knows no renditions either, and would hand both to everybody.
    const isSmallSent = full === 0 || (small && this.congestion.isAnswered && height > SMALL.height);
    const wanted = [
      full > 0 && [this.#renditions.full, fittingSize(picture, full), (size) => share * bitrateFor(fittingSize(picture, height), framesPerSecond)],
      isSmallSent && [this.#renditions.small, fittingSize(picture, SMALL.height), () => Math.min(SMALL.bitrate, SMALL.bitrate * share * 5)],
    ];
    let done = false;
    for (const [rendition, size, bitrate] of wanted.filter(Boolean)) {
      const ready = rendition.ready(codec, size, framesPerSecond, Math.round(bitrate(size)));
      if (!ready || behind || rendition.isBusy(now)) continue;
      rendition.encode(frame, capturedAt, now);
      done = true;
    }
    if (full === 0) this.#renditions.full.close();
    frame.close();
    if (!done) this.skipped += 1;
    return done;
  }

  #send(rendition, bytes, members) {
    if (this.#closed) return;
    // After a frame that could not be sent, what refers to it is not sent either.
    if (this.#awaitsKey.has(rendition) && !members.key) return;
    const about = { mediaType: MEDIA_TYPE, members: { ...members, ...this.#options.members } };
    rendition.sequence += 1;
    if (!this.#options.send(bytes, about)) {
      this.#awaitsKey.add(rendition);
      rendition.keyWanted = true;
      return;
    }
    this.#awaitsKey.delete(rendition);
    if (rendition.name === 'full' || !this.#renditions.full.settings) this.congestion.sent(members.sequence, performance.now());
    this.#options.onSent?.({ bytes: bytes.length, members });
  }

  /** The broker has got this frame. */
  acknowledged({ rendition = 'full', sequence }, now = performance.now()) {
    const counted = this.#renditions.full.settings ? 'full' : 'small';
    if (rendition === counted) this.congestion.acknowledged(sequence, now);
  }

  /** The next frame of one rendition, or of each, is to be a key frame. */
  keyFrameWanted({ rendition } = {}) {
    for (const one of Object.values(this.#renditions)) if (!rendition || rendition === one.name) one.keyWanted = true;
  }

  close() {
    this.#closed = true;
    for (const rendition of Object.values(this.#renditions)) rendition.close();
  }
}

/** Decodes one track. Frames are shown in order; after an error, or when the decoder falls behind, from the next key frame on. */
export class VideoViewer {
  counts = { received: 0, missing: 0, dropped: 0, errors: 0 };
  /** The configuration and the rendition of what is shown at present. */
  config = null;
  rendition = 'full';
  #options;
  #decoder = null;
  #configured = '';
  #last = null;
  #came = new Map();
  #fullSince = null;

  /**
   * @param {object} options
   * @param {(frame: VideoFrame, about: object) => void} options.show  has to close the frame
   * @param {() => void} options.wantKeyFrame  called when decoding has failed
   * @param {(reason: string) => void} [options.onTrouble]
   */
  constructor(options) {
    this.#options = options;
  }

  /** Frames that were handed to the decoder and have not come out of it. */
  get held() {
    return this.#came.size;
  }

  receive(members, bytes, now = performance.now()) {
    const { sequence, timestamp, key = false, rendition = 'full', config } = members;
    this.counts.received += 1;
    if (!key) {
      // Only deltas that build on what has been decoded; those of layer 1 may be missing between them.
      const fits = this.#last && rendition === this.rendition && sequence > this.#last.sequence;
      if (!fits || this.#isOverfull(now)) {
        this.counts.dropped += 1;
        return;
      }
    }
    if (this.#last && rendition === this.rendition && sequence > this.#last.sequence) {
      this.counts.missing += sequence - this.#last.sequence - 1;
    }
    try {
      if (key) this.#begin(config, rendition);
      this.#last = { sequence };
      remember(this.#came, timestamp, { members, receivedAt: now, bytes: bytes.byteLength });
      this.#decoder.decode(new EncodedVideoChunk({ type: key ? 'key' : 'delta', timestamp, data: bytes }));
    } catch (error) {
      this.#failed(error);
    }
  }

  /** Nothing is shown until the next key frame. */
  reset() {
    if (this.#decoder && this.#decoder.state !== 'closed') this.#decoder.close();
    this.#decoder = null;
    this.#configured = '';
    this.#last = null;
    this.#came.clear();
    this.#fullSince = null;
  }

  #begin(config, rendition) {
    const wished = JSON.stringify(config);
    this.rendition = rendition;
    this.config = config;
    if (this.#decoder && wished === this.#configured && this.#fullSince === null) return;
    this.reset();
    this.#configured = wished;
    this.#decoder = new VideoDecoder({ output: (frame) => this.#output(frame), error: (error) => this.#failed(error) });
    // Whoever shows the frame turns it: not every decoder does.
    const { rotation, flip, description, ...rest } = config;
    this.#decoder.configure({ ...rest, ...(description && { description: fromBase64(description) }), optimizeForLatency: true });
  }

  #output(frame) {
    const came = this.#came.get(frame.timestamp);
    // What came before it and did not come out has been swallowed.
    for (const timestamp of this.#came.keys()) {
      this.#came.delete(timestamp);
      if (timestamp === frame.timestamp) break;
    }
    this.#options.show(frame, { ...came, config: this.config, rendition: this.rendition });
  }

  /** Whether more waits than should, and that for longer than a burst takes: then all waits for the next key frame. */
  #isOverfull(now) {
    if (this.#decoder.decodeQueueSize <= MOST_DECODING) this.#fullSince = null;
    else this.#fullSince ??= now;
    if (this.#fullSince === null || now - this.#fullSince < 250) return false;
    this.#last = null;
    return true;
  }

  #failed(error) {
    this.counts.errors += 1;
    this.reset();
    this.#options.onTrouble?.(error.message);
    this.#options.wantKeyFrame();
  }
}

function configMember({ codec, codedWidth, codedHeight, description, rotation, flip }) {
  return { codec, codedWidth, codedHeight, ...(description && { description: toBase64(description) }), ...(rotation && { rotation }), ...(flip && { flip }) };
}

export function toBase64(buffer) {
  const bytes = ArrayBuffer.isView(buffer) ? new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength) : new Uint8Array(buffer);
  return btoa(String.fromCharCode(...bytes));
}

export function fromBase64(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

function remember(map, key, value) {
  map.set(key, value);
  if (map.size > REMEMBERED) map.delete(map.keys().next().value);
}
