// Shows decoded frames on a canvas, each at a repaint of its own: those that come in a burst are a little apart again.

import { wallClock } from './webcodecs.js';

/** Frames that may wait for their repaint. With one more the oldest is not shown. */
const MOST_WAITING = 2;
/** The next frame waits no longer than this for the repaint: a window that is covered, or minimised, may have one a second. */
const REPAINT_WITHIN_MS = 35;
/** A repaint that has not come by then is not waited for: nobody looks at the page, perhaps at a window that shows the canvas. */
const UNSEEN_AFTER_MS = 250;

export class Film {
  /** Frames that were decoded and not shown. */
  dropped = 0;
  #canvas;
  #context;
  #waiting = [];
  #drawing = false;
  #onShown;

  /** @param {(about: object, shownAt: number) => void} onShown  with milliseconds since 1970, when it is on the screen */
  constructor(canvas, onShown) {
    this.#canvas = canvas;
    this.#context = canvas.getContext('2d', { alpha: false, desynchronized: true });
    this.#onShown = onShown;
  }

  show(frame, about) {
    this.#waiting.push({ frame, about });
    while (this.#waiting.length > MOST_WAITING) {
      this.#waiting.shift().frame.close();
      this.dropped += 1;
    }
    if (!this.#drawing) this.#draw();
  }

  clear() {
    for (const { frame } of this.#waiting.splice(0)) frame.close();
  }

  #draw() {
    const next = this.#waiting.shift();
    this.#drawing = next !== undefined;
    if (!next) return;
    const { frame, about } = next;
    this.#paint(frame, about.config ?? {});
    frame.close();
    const paintedAt = wallClock();
    const goOn = once(() => this.#draw());
    const report = once((shownAt) => this.#onShown(about, shownAt));
    if (document.hidden) {
      // It is never repainted, and its timers hardly run.
      report(paintedAt);
      goOn();
      return;
    }
    const repaint = requestAnimationFrame(() => {
      report(wallClock());
      goOn();
    });
    setTimeout(goOn, REPAINT_WITHIN_MS);
    setTimeout(() => {
      cancelAnimationFrame(repaint);
      report(paintedAt);
    }, UNSEEN_AFTER_MS);
  }

  #paint(frame, { rotation = 0, flip = false }) {
    const { displayWidth, displayHeight } = frame;
    const isUpright = rotation % 180 === 0;
    const [width, height] = isUpright ? [displayWidth, displayHeight] : [displayHeight, displayWidth];
    const canvas = this.#canvas;
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const context = this.#context;
    context.setTransform(flip ? -1 : 1, 0, 0, 1, width / 2, height / 2);
    context.rotate((rotation * Math.PI) / 180);
    context.drawImage(frame, -displayWidth / 2, -displayHeight / 2, displayWidth, displayHeight);
  }
}

function once(work) {
  let isDone = false;
  return (...values) => {
    if (!isDone) work(...values);
    isDone = true;
  };
}
