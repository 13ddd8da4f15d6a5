// Small measuring instruments. None of them reads a clock: whoever uses them says what time it is.

/** How much of something there is per second, over a sliding window. */
export class Rate {
  #window;
  #samples = [];
  #since = null;

  constructor(windowMs = 2000) {
    this.#window = windowMs;
  }

  add(amount, now) {
    this.#since ??= now;
    this.#samples.push({ amount, now });
    this.#forget(now);
  }

  clear() {
    this.#samples = [];
    this.#since = null;
  }

  perSecond(now) {
    this.#forget(now);
    if (this.#samples.length === 0) {
      this.#since = null;
      return 0;
    }
    // A young measurement is divided by its own age; half a second at least, so that it does not leap.
    const span = Math.min(this.#window, Math.max(now - this.#since, 500));
    return this.#samples.reduce((sum, { amount }) => sum + amount, 0) * 1000 / span;
  }

  #forget(now) {
    while (this.#samples.length > 0 && this.#samples[0].now <= now - this.#window) this.#samples.shift();
  }
}

/** The last few values, in order of size: one slow frame moves their middle little. */
export class Recent {
  #size;
  #values = [];

  constructor(size = 150) {
    this.#size = size;
  }

  add(value) {
    this.#values.push(value);
    if (this.#values.length > this.#size) this.#values.shift();
  }

  clear() {
    this.#values = [];
  }

  /** In the order in which they came. */
  get values() {
    return this.#values;
  }

  /** The value that this part of them does not exceed: 0.5 is the middle; null before the first. */
  at(part) {
    const sorted = [...this.#values].sort((a, b) => a - b);
    return sorted.length > 0 ? sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] : null;
  }

  /** The distance between the smallest and the largest value; null before the first. */
  get spread() {
    return this.#values.length > 0 ? Math.max(...this.#values) - Math.min(...this.#values) : null;
  }
}

/** Streams whose numbering is remembered; the one that began first is forgotten for the next. */
const MAX_STREAMS = 32;

/** Follows numbered frames and counts those that never came. Each stream numbers its own, from 1. */
export class Gaps {
  #last = new Map();
  lost = 0;

  /** Returns how many frames are missing before this one. */
  see(stream, sequence) {
    const last = this.#last.get(stream);
    if (last !== undefined && sequence <= last) return 0;
    this.#last.set(stream, sequence);
    if (this.#last.size > MAX_STREAMS) this.#last.delete(this.#last.keys().next().value);
    const missing = last === undefined ? 0 : sequence - last - 1;
    this.lost += missing;
    return missing;
  }
}

const BYTE_UNITS = ['B', 'KB', 'MB', 'GB'];

/** 12 345 as "12.3 KB": decimal units, three digits at most. */
export function bytes(amount) {
  let unit = 0;
  while (amount >= 999.5 && unit < BYTE_UNITS.length - 1) {
    amount /= 1000;
    unit += 1;
  }
  return `${unit > 0 && amount < 99.95 ? amount.toFixed(1) : Math.round(amount)} ${BYTE_UNITS[unit]}`;
}
