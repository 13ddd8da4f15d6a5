// How much video a line takes, and what is sent over it: pure arithmetic, for video.js.

/** The rendition beside the full one. */
export const SMALL = { height: 360, bitrate: 400_000 };
/** Frames that are remembered until the broker says that it has them. */
const MOST_WAITING = 120;
/** More than this unanswered, and frames are skipped; more than that, and less is sent. */
const BEHIND_MS = 250;
const FAR_BEHIND_MS = 1000;
/** The broker answers four times a second. */
const ANSWERED_EVERY_MS = 250;
const PROBED_EVERY_MS = 1000;

/** The largest even size of the picture's shape that is no higher than wished (of an upright picture: no wider). */
export function fittingSize({ width, height }, wished) {
  const scale = Math.min(1, wished / Math.min(width, height));
  const even = (length) => Math.max(2, 2 * Math.round((length * scale) / 2));
  return { width: even(width), height: even(height) };
}

/** Bits a second for a picture that moves: 2 Mb/s for 720p30. */
export function bitrateFor({ width, height }, framesPerSecond) {
  return Math.round(2_000_000 * ((width * height) / 921_600) ** 0.75 * (framesPerSecond / 30) ** 0.5);
}

/**
 * How much a line takes, from when frames were sent and when the broker said that it has them. It reads no clock.
 * Beyond 250 ms frames are skipped before they are encoded; beyond a second everything is made a quarter smaller.
 */
export class Congestion {
  /** The part of the wished bitrate that is used: 1 at best. */
  share = 1;
  isAnswered = false;
  #waiting = [];
  #measured = 0;
  #shortest = Infinity;
  #lastChange = -Infinity;
  #lastBehind = -Infinity;
  #lastSent = -Infinity;

  sent(sequence, now) {
    this.#lastSent = now;
    this.#waiting.push({ sequence, now });
    if (this.#waiting.length > MOST_WAITING) this.#waiting.shift();
  }

  acknowledged(sequence, now) {
    this.isAnswered = true;
    const newest = this.#waiting.findLastIndex((frame) => frame.sequence <= sequence);
    if (newest < 0) return;
    this.#measured = now - this.#waiting[newest].now;
    // It grows again little by little: a line may have become a longer one.
    this.#shortest = Math.min(this.#shortest + 0.5, this.#measured);
    this.#waiting.splice(0, newest + 1);
  }

  /** A new line: what was on its way on the one before is not waited for. */
  restart() {
    this.#waiting = [];
    this.#measured = 0;
    this.#shortest = Infinity;
  }

  /** By how much the broker is behind what was sent. It answers four times a second, so less than that is no sign. */
  behindMs(now) {
    if (!this.isAnswered || this.#waiting.length === 0) return 0;
    const shortest = Number.isFinite(this.#shortest) ? this.#shortest : 0;
    return Math.max(0, this.#measured - shortest, now - this.#waiting[0].now - ANSWERED_EVERY_MS - shortest);
  }

  /** Whether the next frame is to be skipped; and moves the share. */
  isBehind(now) {
    const behind = this.behindMs(now);
    if (behind > BEHIND_MS) this.#lastBehind = now;
    if (behind > FAR_BEHIND_MS && now - this.#lastChange > 1000) {
      this.share = Math.max(0.05, this.share * 0.75);
      this.#lastChange = now;
    } else if (this.share < 1 && now - Math.max(this.#lastBehind, this.#lastChange) > 5000) {
      this.share = Math.min(1, this.share * 1.1);
      this.#lastChange = now;
    }
    // One frame each second goes all the same: of a frame that was refused nobody ever hears.
    return behind > BEHIND_MS && now - this.#lastSent < PROBED_EVERY_MS;
  }
}

/** Which height goes with a share of the bitrate: less bitrate first, then a smaller picture, then the small rendition alone. */
export function heightFor(share, wished) {
  if (share >= 0.5) return wished;
  return share >= 0.2 ? Math.max(SMALL.height, Math.round(wished * 0.6)) : 0;
}
