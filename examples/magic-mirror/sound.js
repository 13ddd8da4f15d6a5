// Sound beside the video: Opus, in pieces of 40 ms, on a track of its own with the same name. A file to copy, with video.js.

import { fromBase64, toBase64 } from './video.js';

export const SOUND_TYPE = 'audio/webcodecs';
const BITRATE = 32_000;
const PIECE_US = 40_000;
/** A piece with the configuration comes so often, for those who have just come. */
const KEY_EVERY_MS = 1000;
/** So far ahead sound is handed to the loudspeaker; with more than that it is left out, so that it stays in step. */
const AHEAD_SECONDS = 0.06;
const MOST_AHEAD_SECONDS = 0.2;

/** Whether this browser takes sound from a microphone and encodes it. */
export function canSendSound() {
  return ['AudioEncoder', 'MediaStreamTrackProcessor'].every((name) => name in globalThis);
}

export class SoundPublisher {
  #encoder = null;
  #config = null;
  #keyAt = -Infinity;
  #sequence = 0;
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
    this.#read().catch(() => this.close());
  }

  async #read() {
    for (;;) {
      const { value: piece, done } = await this.#reader.read();
      if (done) return;
      if (!this.#encoder) await this.#setUp(piece);
      if (this.#encoder.state === 'configured') this.#encoder.encode(piece);
      piece.close();
    }
  }

  async #setUp({ sampleRate, numberOfChannels }) {
    const config = { codec: 'opus', sampleRate, numberOfChannels, bitrate: BITRATE, opus: { frameDuration: PIECE_US } };
    this.#encoder = new AudioEncoder({ output: (chunk, about) => this.#output(chunk, about), error: () => {} });
    if ((await AudioEncoder.isConfigSupported(config)).supported) this.#encoder.configure(config);
  }

  #output(chunk, about) {
    if (about?.decoderConfig) {
      const { codec, sampleRate, numberOfChannels, description } = about.decoderConfig;
      this.#config = { codec, sampleRate, numberOfChannels, ...(description && { description: toBase64(description) }) };
    }
    const now = performance.now();
    const key = now - this.#keyAt >= KEY_EVERY_MS;
    if (key) this.#keyAt = now;
    const bytes = new Uint8Array(chunk.byteLength);
    chunk.copyTo(bytes);
    const members = { sequence: this.#sequence, timestamp: chunk.timestamp, ...(key && { key, config: this.#config }), ...this.#options.members };
    if (this.#options.send(bytes, { mediaType: SOUND_TYPE, members })) this.#sequence += 1;
    else this.#keyAt = -Infinity;
  }

  close() {
    this.#reader.cancel().catch(() => {});
    if (this.#encoder && this.#encoder.state !== 'closed') this.#encoder.close();
  }
}

export class SoundViewer {
  /** Pieces that were played, and that were left out because they came too late to be in step. */
  counts = { played: 0, dropped: 0 };
  #context = new AudioContext({ latencyHint: 'interactive' });
  #decoder = null;
  #configured = '';
  #next = 0;

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
    const { numberOfFrames, numberOfChannels, sampleRate } = piece;
    const now = this.#context.currentTime;
    if (this.#next < now) this.#next = now + AHEAD_SECONDS;
    if (this.#context.state === 'running' && this.#next < now + MOST_AHEAD_SECONDS) {
      const buffer = this.#context.createBuffer(numberOfChannels, numberOfFrames, sampleRate);
      for (let index = 0; index < numberOfChannels; index += 1) {
        piece.copyTo(buffer.getChannelData(index), { planeIndex: index, format: 'f32-planar' });
      }
      const source = new AudioBufferSourceNode(this.#context, { buffer });
      source.connect(this.#context.destination);
      source.start(this.#next);
      this.#next += numberOfFrames / sampleRate;
      this.counts.played += 1;
    } else this.counts.dropped += 1;
    piece.close();
  }

  close() {
    if (this.#decoder && this.#decoder.state !== 'closed') this.#decoder.close();
    this.#context.close().catch(() => {});
  }
}
