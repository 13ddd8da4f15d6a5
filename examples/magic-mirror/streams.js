// Which streams arrive at present, told apart by their random names. It reads no clock: whoever uses it says what time
// it is.

/** Without a frame for this long a stream has ended. */
const ENDED_AFTER_MS = 3000;
/** Streams that are remembered; the one that was silent for longest is forgotten for the next. */
const MAX_STREAMS = 32;

export class Streams {
  #seen = new Map();

  /** Notes a frame. */
  see(name, now) {
    const first = this.#goesOn(name, now) ? this.#seen.get(name).first : now;
    this.#seen.delete(name);
    this.#seen.set(name, { first, last: now });
    if (this.#seen.size > MAX_STREAMS) this.#seen.delete(this.#seen.keys().next().value);
  }

  /**
   * The names of those that send side by side, in the order in which they began. One that ended when another began, as
   * when a page is loaded anew, is not among them.
   */
  present(now) {
    const present = [...this.#seen].filter(([name]) => this.#goesOn(name, now)).sort(([, a], [, b]) => a.first - b.first);
    const newest = present.at(-1)?.[1].first;
    return present.filter(([, { first, last }]) => first === newest || last > newest).map(([name]) => name);
  }

  #goesOn(name, now) {
    const seen = this.#seen.get(name);
    return seen !== undefined && now - seen.last < ENDED_AFTER_MS;
  }
}
