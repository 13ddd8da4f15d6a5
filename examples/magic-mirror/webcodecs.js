// What video.js and sound.js ask of WebCodecs, a file to copy with them: an encoder that sets itself up, how a configuration
// is written down, and the one clock of their timestamps.

/** A codec that has failed is not chosen for so long; where there is none, one is looked for again after so long. */
const REFUSED_FOR_MS = 60_000;
const LOOKED_FOR_EVERY_MS = 5000;

/** What an encoder is asked for, best first: H.264 has the hardware, VP8 is everywhere. Level 4.0 is 1080p30. */
export const CODECS = {
  h264: ['avc1.640028', 'avc1.42E028'], vp9: ['vp09.00.40.08'], vp8: ['vp8'], av1: ['av01.0.08M.08'],
};

/** How codecs are called by people. */
export function codecName(codec = '') {
  const [, name] = [['avc1', 'H.264'], ['avc3', 'H.264'], ['vp09', 'VP9'], ['vp8', 'VP8'], ['av01', 'AV1']].find(([start]) => codec.startsWith(start)) ?? [];
  return name ?? codec;
}

/**
 * The first codec that this browser both encodes and decodes, as the settings of its encoder; null if it has none, or
 * `isRefused(codec)` says so of each.
 */
export async function chooseCodec(wanted, size, { framesPerSecond, bitrate }, isRefused = () => false) {
  if (!('VideoEncoder' in globalThis && 'VideoDecoder' in globalThis)) return null;
  for (const codec of (CODECS[wanted] ?? Object.values(CODECS).flat()).filter((name) => !isRefused(name))) {
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

/** An encoder of pictures that sets itself up for what is wished, and again when it has failed. */
export class SelfSettingEncoder {
  /** What it is set to; null while it is not. */
  settings = null;
  #encoder = null;
  #wished = '';
  /** Counts what was set up and closed: what a codec was chosen for may be over by then. */
  #turn = 0;
  #lookAgainAt = Infinity;
  #refused = new Map();
  #hooks;

  /**
   * @param {object} hooks
   * @param {(chunk: EncodedVideoChunk, about: object) => void} hooks.output
   * @param {() => void} hooks.onBegin  the next frame has to be a key frame
   * @param {() => void} hooks.onNoCodec
   */
  constructor(hooks) {
    this.#hooks = hooks;
  }

  get waiting() {
    return this.#encoder?.encodeQueueSize ?? 0;
  }

  /** Whether it is set up for this; if not, that begins. */
  ready({ codec, size, framesPerSecond, bitrate }, now) {
    const wished = [codec, size.width, size.height, framesPerSecond].join();
    if (wished !== this.#wished || now > this.#lookAgainAt) {
      this.#setUp(wished, { codec, size, framesPerSecond, bitrate }, now);
    } else if (this.settings && Math.abs(bitrate - this.settings.bitrate) > 0.05 * this.settings.bitrate) {
      this.settings.bitrate = bitrate;
      this.#try(now, () => this.#encoder.configure(this.settings));
    }
    return this.#encoder?.state === 'configured';
  }

  async #setUp(wished, { codec, size, framesPerSecond, bitrate }, now) {
    this.close();
    this.#wished = wished;
    const turn = this.#turn;
    const isRefused = (name) => now < this.#refused.get(name);
    const settings = await chooseCodec(codec, size, { framesPerSecond, bitrate }, isRefused);
    if (turn !== this.#turn) return;
    if (!settings) {
      this.#lookAgainAt = now + LOOKED_FOR_EVERY_MS;
      this.#hooks.onNoCodec();
      return;
    }
    this.settings = settings;
    this.#encoder = new VideoEncoder({
      output: (chunk, about) => { if (turn === this.#turn) this.#hooks.output(chunk, about); },
      error: (error) => { if (turn === this.#turn) this.#failed(error, performance.now()); },
    });
    this.#hooks.onBegin();
    this.#try(now, () => this.#encoder.configure(settings));
  }

  encode(frame, options, now) {
    this.#try(now, () => this.#encoder.encode(frame, options));
  }

  #try(now, work) {
    try {
      work();
    } catch (error) {
      this.#failed(error, now);
    }
  }

  /**
   * With the next frame it is set up again: with another codec, or with the same one where the browser has only taken the
   * encoder back, or a phone was turned.
   */
  #failed({ name }, now) {
    if (!['QuotaExceededError', 'DataError'].includes(name)) this.#refused.set(this.settings.codec, now + REFUSED_FOR_MS);
    this.close();
  }

  close() {
    this.#turn += 1;
    if (this.#encoder && this.#encoder.state !== 'closed') this.#encoder.close();
    this.#encoder = null;
    this.settings = null;
    this.#wished = '';
    this.#lookAgainAt = Infinity;
  }
}

/** A decoder's configuration as the member `config` of docs/video.md. */
export function configMember({ codec, codedWidth, codedHeight, description, rotation, flip }) {
  return { codec, codedWidth, codedHeight, ...(description && { description: toBase64(description) }), ...(rotation && { rotation }), ...(flip && { flip }) };
}

export function toBase64(buffer) {
  const bytes = ArrayBuffer.isView(buffer) ? new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength) : new Uint8Array(buffer);
  return btoa(String.fromCharCode(...bytes));
}

export function fromBase64(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

/** Now, in milliseconds since 1970, finer than Date.now(). */
export function wallClock() {
  return performance.timeOrigin + performance.now();
}

/** So much a shift may grow with each frame, for the sake of clocks that run apart: a millisecond in two seconds. */
const SHIFT_GROWS_US = 15;

/**
 * The timestamps of a camera and of a microphone begin anywhere; shifted by this they are of one clock, microseconds since
 * 1970. The shift is the least that has been seen, so that what a busy page took late is not dated late.
 */
export class Shift {
  us = null;

  /** @param {number} takenAt  when that which ends at this timestamp was taken, in milliseconds since 1970 */
  see(timestamp, takenAt) {
    const seen = takenAt * 1000 - timestamp;
    if (Number.isFinite(seen)) this.us = Math.min((this.us ?? seen) + SHIFT_GROWS_US, seen);
  }

  /** One that never runs backwards. */
  apply(timestamp, last = -1) {
    return Math.max(last + 1, Math.round(timestamp + (this.us ?? 0)));
  }
}
