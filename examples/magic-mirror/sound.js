// Sound beside the video: Opus, in pieces of 40 ms, on a track of its own with the same name. A file to copy, with webcodecs.js.

import { fromBase64, Shift, toBase64, wallClock } from './webcodecs.js';

export const SOUND_TYPE = 'audio/webcodecs';
const BITRATE = 32_000;
const PIECE_US = 40_000;
const GAP_US = 5000;
/** A piece with the configuration comes so often, for those who have just come. */
const KEY_EVERY_MS = 1000;
/** Sound is played so long after the piece that came quickest, at least; more where pieces come unevenly, up to the most. */
const LEAST_AHEAD_MS = 25;
const MOST_AHEAD_MS = 200;
/** No longer than this after the picture of the same moment. */
const BEHIND_PICTURES_MS = 35;
/** Pictures that are further away than this are of another clock. */
const OTHER_CLOCK_MS = 2000;
/** A piece that is to be played so near the end of the one before follows on it. */
const NEAR_SECONDS = 0.03;

/** Whether this browser takes sound from a microphone and encodes it. */
export function canSendSound() {
  return ['AudioEncoder', 'MediaStreamTrackProcessor'].every((name) => name in globalThis);
}

export class SoundPublisher {
  #encoder = null;
  #config = null;
  #keyAt = -Infinity;
  #sequence = 0;
  #shift = new Shift();
  #timestamp = -1;
  /** Where the last piece of the microphone ended. */
  #end = 0;
  #ended = false;
  #options;
  #reader;

  /**
   * @param {MediaStreamTrack} track  of a microphone
   * @param {object} options
   * @param {(bytes: Uint8Array, about: {mediaType: string, members: object}) => boolean} options.send
   * @param {object} [options.members]  what each message says besides
   */
  constructor(track, options) {
    this.#options = options;
    this.#reader = new globalThis.MediaStreamTrackProcessor({ track }).readable.getReader();
    this.#read();
  }

  async #read() {
    for (;;) {
      const { value: piece, done } = await this.#reader.read().catch(() => ({ done: true }));
      if (done) return;
      if (this.#ended) {
        piece.close();
        return;
      }
      // Encoders count on over what is missing between the pieces: the time is looked at anew.
      if (Math.abs(piece.timestamp - this.#end) > GAP_US) this.#shift = new Shift();
      this.#end = piece.timestamp + piece.duration;
      try {
        if (!this.#encoder || this.#encoder.state === 'closed') await this.#setUp(piece);
        if (this.#encoder.state === 'configured') this.#encoder.encode(piece);
      } catch {
        // It is set up again with the next piece.
        this.#closeEncoder();
      } finally {
        piece.close();
      }
    }
  }

  async #setUp({ sampleRate, numberOfChannels }) {
    const config = { codec: 'opus', sampleRate, numberOfChannels, bitrate: BITRATE, opus: { frameDuration: PIECE_US } };
    this.#keyAt = -Infinity;
    // One that has failed is closed, and there is another one with the next piece.
    this.#encoder = new AudioEncoder({ output: (chunk, about) => this.#output(chunk, about), error: () => {} });
    if ((await AudioEncoder.isConfigSupported(config)).supported) this.#encoder.configure(config);
  }

  #output(chunk, about) {
    if (about?.decoderConfig) {
      const { codec, sampleRate, numberOfChannels, description } = about.decoderConfig;
      this.#config = { codec, sampleRate, numberOfChannels, ...(description && { description: toBase64(description) }) };
    }
    const now = performance.now();
    if (!this.#config) return;
    const key = now - this.#keyAt >= KEY_EVERY_MS;
    if (key) this.#keyAt = now;
    this.#shift.see(chunk.timestamp + (chunk.duration ?? PIECE_US), wallClock());
    this.#timestamp = this.#shift.apply(chunk.timestamp, this.#timestamp);
    const bytes = new Uint8Array(chunk.byteLength);
    chunk.copyTo(bytes);
    const members = { sequence: this.#sequence, timestamp: this.#timestamp, ...(key && { key, config: this.#config }), ...this.#options.members };
    if (this.#options.send(bytes, { mediaType: SOUND_TYPE, members })) this.#sequence += 1;
    else this.#keyAt = -Infinity;
  }

  close() {
    this.#ended = true;
    this.#reader.cancel().catch(() => {});
    this.#closeEncoder();
  }

  #closeEncoder() {
    if (this.#encoder && this.#encoder.state !== 'closed') this.#encoder.close();
  }
}

export class SoundViewer {
  /** Pieces that were played, and that were left out because they came too late to be in step. */
  counts = { played: 0, dropped: 0 };
  #context = new AudioContext({ latencyHint: 'interactive' });
  #decoder = null;
  #configured = '';
  /** When the piece before ends. */
  #next = 0;
  /** How long pieces are on their way, in milliseconds of two clocks: the quickest of late, and how far the others are from it. */
  #quickest = null;
  #uneven = 0;
  #pictures = null;

  /** A picture was on the screen so long after its timestamp. */
  follow(lateMs) {
    this.#pictures = this.#pictures === null ? lateMs : this.#pictures + (lateMs - this.#pictures) / 10;
  }

  receive({ key, config, timestamp }, bytes) {
    try {
      if (key && JSON.stringify(config) !== this.#configured) this.#begin(config);
      if (this.#decoder?.state !== 'configured') return;
      this.#decoder.decode(new EncodedAudioChunk({ type: 'key', timestamp, data: bytes }));
    } catch {
      this.#configured = '';
    }
  }

  #begin({ description, ...config }) {
    if (this.#decoder && this.#decoder.state !== 'closed') this.#decoder.close();
    this.#configured = '';
    this.#decoder = new AudioDecoder({ output: (piece) => this.#play(piece), error: () => { this.#configured = ''; } });
    this.#decoder.configure({ ...config, ...(description && { description: fromBase64(description) }) });
    this.#configured = JSON.stringify({ ...config, ...(description && { description }) });
  }

  #play(piece) {
    const { numberOfFrames, numberOfChannels, sampleRate, timestamp } = piece;
    const now = this.#context.currentTime;
    const underWay = wallClock() - timestamp / 1000;
    let when = now + (this.#late(underWay) - underWay) / 1000;
    if (this.#next >= now && Math.abs(when - this.#next) < NEAR_SECONDS) when = this.#next;
    if (this.#context.state === 'running' && when >= now && when >= this.#next - NEAR_SECONDS) {
      const buffer = this.#context.createBuffer(numberOfChannels, numberOfFrames, sampleRate);
      for (let index = 0; index < numberOfChannels; index += 1) {
        piece.copyTo(buffer.getChannelData(index), { planeIndex: index, format: 'f32-planar' });
      }
      const source = new AudioBufferSourceNode(this.#context, { buffer });
      source.connect(this.#context.destination);
      source.start(when);
      this.#next = when + numberOfFrames / sampleRate;
      this.counts.played += 1;
    } else this.counts.dropped += 1;
    piece.close();
  }

  /** How long after its timestamp a piece is to be heard: late enough for most, and in step with the pictures. */
  #late(underWay) {
    // What was quick once says nothing for long: lines and clocks change.
    this.#quickest = Math.min(underWay, (this.#quickest ?? underWay) + (underWay - (this.#quickest ?? underWay)) / 50);
    this.#uneven = Math.max(this.#uneven * 0.995, underWay - this.#quickest);
    const least = this.#quickest + LEAST_AHEAD_MS;
    const wished = Math.min(least + this.#uneven, this.#quickest + MOST_AHEAD_MS);
    const pictures = this.#pictures !== null && Math.abs(this.#pictures - this.#quickest) < OTHER_CLOCK_MS ? this.#pictures : Infinity;
    return Math.max(least, Math.min(wished, pictures + BEHIND_PICTURES_MS));
  }

  close() {
    if (this.#decoder && this.#decoder.state !== 'closed') this.#decoder.close();
    this.#context.close().catch(() => {});
  }
}
