// Video for channels with `delivery = "video"`: a file to copy, with congestion.js and webcodecs.js. Its messages are specified
// in docs/video.md; they travel as binary messages (binary.js), but this file knows neither pusher-js nor the page.
//
//   const publisher = new VideoPublisher({ send, wishes: () => ({ codec: 'auto', height: 720, framesPerSecond: 30, small: true }) });
//   publisher.encode(videoFrame, capturedAt);        // closes the frame; skips it where the line is behind
//   channel.bind('pusher:frame_received', (data) => publisher.acknowledged(data));
//   channel.bind('pusher:keyframe_wanted', (data) => publisher.keyFrameWanted(data));
//
//   const viewer = new VideoViewer({ show: (frame, about) => { …; frame.close(); }, wantKeyFrame });
//   channel.bind('video', (data) => viewer.receive(data, contentOf(data).bytes));

import { bitrateFor, Congestion, fittingSize, heightFor, SMALL } from './congestion.js';
import { configMember, fromBase64, SelfSettingEncoder, Shift } from './webcodecs.js';

export const MEDIA_TYPE = 'video/webcodecs';
const KEY_FRAME_EVERY_MS = 2000;
/** Frames that an encoder, and a decoder, may have waiting. */
const MOST_ENCODING = 2;
const MOST_DECODING = 3;
/** Frames of which it is remembered when they were taken or came. */
const REMEMBERED = 120;

/** One encoder, its numbering and its key frames. */
class Rendition {
  sequence = 0;
  keyWanted = true;
  #encoder;
  #config = null;
  #keyAt = -Infinity;
  #taken = new Map();
  #shift = null;
  #timestamp = -1;
  #onChunk;

  constructor(name, { onChunk, onNoCodec }) {
    this.name = name;
    this.#onChunk = onChunk;
    this.#encoder = new SelfSettingEncoder({
      output: (chunk, about) => this.#output(chunk, about),
      onBegin: () => {
        this.keyWanted = true;
        this.#config = null;
        this.#taken.clear();
      },
      onNoCodec,
    });
  }

  get settings() {
    return this.#encoder.settings;
  }

  /** Whether the encoder is set up for this, and of what it has been given not too much has not come out. */
  isFree(wish, now) {
    if (!this.#encoder.ready(wish, now)) return false;
    // Those of which it makes nothing are forgotten.
    for (const [timestamp, { takenAt }] of this.#taken) if (now - takenAt > 1000) this.#taken.delete(timestamp);
    return this.#encoder.waiting < MOST_ENCODING && this.#taken.size <= MOST_ENCODING;
  }

  encode(frame, { capturedAt, shift }, now) {
    const keyFrame = this.keyWanted || now - this.#keyAt >= KEY_FRAME_EVERY_MS;
    if (keyFrame) {
      this.keyWanted = false;
      this.#keyAt = now;
    }
    this.#shift = shift;
    remember(this.#taken, frame.timestamp, { takenAt: now, capturedAt, rotation: frame.rotation, flip: frame.flip });
    this.#encoder.encode(frame, { keyFrame }, now);
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
    this.#timestamp = this.#shift.apply(chunk.timestamp, this.#timestamp);
    this.#onChunk(this, bytes, {
      sequence: this.sequence,
      timestamp: this.#timestamp,
      ...(chunk.duration && { duration: chunk.duration }),
      ...(key && { key, config: { ...this.#config, ...(rotation && { rotation }), ...(flip && { flip }) } }),
      ...(this.name !== 'full' && { rendition: this.name }),
      ...(layer > 0 && { layer: 1 }),
      ...(taken.capturedAt && { capturedAt: taken.capturedAt }),
    });
  }

  close() {
    this.#encoder.close();
  }
}

/** Encodes frames and sends them, as much as the line takes. */
export class VideoPublisher {
  congestion = new Congestion();
  skipped = 0;
  #options;
  #renditions;
  #awaitsKey = new Set();
  #shift = new Shift();
  #closed = false;

  /**
   * @param {object} options
   * @param {(bytes: Uint8Array, about: {mediaType: string, members: object}) => boolean} options.send  false: not sent
   * @param {() => {codec: string, height: number, framesPerSecond: number, small: boolean}} options.wishes
   * @param {object} [options.members]  what each message says besides: `track`, `publisher`
   * @param {(about: {bytes: number, members: object}) => void} [options.onSent]
   * @param {() => void} [options.onNoCodec]  this browser has no encoder for what is wished; it is looked for again now and then
   */
  constructor(options) {
    this.#options = options;
    const hooks = {
      onChunk: (rendition, bytes, members) => this.#send(rendition, bytes, members),
      onNoCodec: () => { if (!this.settings) options.onNoCodec?.(); },
    };
    this.#renditions = { full: new Rendition('full', hooks), small: new Rendition('small', hooks) };
  }

  /** What the encoder of the full rendition, or else the small one, is set to; null while there is none. */
  get settings() {
    const { full, small } = this.#renditions;
    return full.settings ?? small.settings;
  }

  /** Takes a frame and closes it; false if it was skipped. `capturedAt`: milliseconds since 1970. */
  encode(frame, capturedAt, now = performance.now()) {
    const done = !this.#closed && this.#encode(frame, capturedAt, now);
    frame.close();
    if (!done) this.skipped += 1;
    return done;
  }

  #encode(frame, capturedAt, now) {
    const { codec, height, framesPerSecond, small } = this.#options.wishes();
    const picture = { width: frame.displayWidth, height: frame.displayHeight };
    const behind = this.congestion.isBehind(now);
    const { share } = this.congestion;
    const full = heightFor(share, height);
    // Whoever does not answer knows no renditions either, and would hand both to everybody.
    const isSmallSent = full === 0 || (small && this.congestion.isAnswered && height > SMALL.height);
    if (full === 0) this.#renditions.full.close();
    if (!isSmallSent) this.#renditions.small.close();
    this.#shift.see(frame.timestamp, capturedAt);
    let done = false;
    for (const [rendition, isSent, size, bitrate] of [
      [this.#renditions.full, full > 0, fittingSize(picture, full), share * bitrateFor(fittingSize(picture, height), framesPerSecond)],
      [this.#renditions.small, isSmallSent, fittingSize(picture, SMALL.height), Math.min(SMALL.bitrate, SMALL.bitrate * share * 5)],
    ]) {
      const isFree = isSent && rendition.isFree({ codec, size, framesPerSecond, bitrate: Math.round(bitrate) }, now);
      if (!isFree || behind) continue;
      rendition.encode(frame, { capturedAt, shift: this.#shift }, now);
      done = true;
    }
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

function remember(map, key, value) {
  map.set(key, value);
  if (map.size > REMEMBERED) map.delete(map.keys().next().value);
}
