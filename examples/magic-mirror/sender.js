// Takes pictures at a steady pace and hands them on. A picture that cannot leave at once is skipped,
// never queued: late frames would only make the mirror older than it is.

/**
 * @typedef {object} Frame
 * @property {string} [dataUrl]  the picture, a JPEG as a data URL
 * @property {Blob} [blob]       the same as it is, for a binary message
 * @property {number} sentAt    milliseconds since 1970, by this machine's clock
 * @property {number} sequence  1 for the first frame that was sent, then without gaps
 * @property {string} stream    a random name of this stream, new with every page load
 * @property {boolean} [still]  it is one of the stills beside a video
 */

export class FrameSender {
  #video;
  #options;
  #canvas = document.createElement('canvas');
  #timer = null;
  #encoding = false;
  #sequence = 0;
  #stream = crypto.randomUUID?.() ?? Math.random().toString(36).slice(2);

  /**
   * @param {HTMLVideoElement} video
   * @param {object} options
   * @param {() => {framesPerSecond: number, quality: number, width: number}} options.wishes  quality 0 to 1, width in pixels
   * @param {() => boolean} options.binary  whether to take the next picture as a blob
   * @param {() => object} [options.members]  what each frame says besides
   * @param {() => boolean} options.clear  whether a frame could leave right now
   * @param {(frame: Frame) => boolean | Promise<boolean>} options.deliver  sends; false when it could not
   * @param {(frame: Frame) => void} options.onSent
   * @param {() => void} options.onSkipped
   */
  constructor(video, options) {
    this.#video = video;
    this.#options = options;
  }

  get stream() {
    return this.#stream;
  }

  start() {
    this.stop();
    let due = performance.now();
    const tick = () => {
      const now = performance.now();
      // The next frame is due one interval after this one was; time lost altogether is not made up for.
      due = Math.max(due + 1000 / this.#options.wishes().framesPerSecond, now);
      this.#timer = setTimeout(tick, due - now);
      this.#frame();
    };
    tick();
  }

  stop() {
    clearTimeout(this.#timer);
    this.#timer = null;
  }

  async #frame() {
    if (this.#video.readyState < HTMLMediaElement.HAVE_CURRENT_DATA) return;
    const { binary, clear, deliver, members = () => ({}), onSent, onSkipped } = this.#options;
    if (this.#encoding || !clear()) {
      onSkipped();
      return;
    }
    this.#encoding = true;
    try {
      const picture = binary() ? { blob: await this.#takeBlob() } : { dataUrl: this.#draw().toDataURL('image/jpeg', this.#quality) };
      const frame = { ...picture, sentAt: Date.now(), sequence: this.#sequence + 1, stream: this.#stream, ...members() };
      // Stopped while the picture was being compressed: it is not sent any more.
      if (this.#timer === null) return;
      if (await deliver(frame)) {
        this.#sequence = frame.sequence;
        onSent(frame);
      } else {
        onSkipped();
      }
    } finally {
      this.#encoding = false;
    }
  }

  get #quality() {
    return this.#options.wishes().quality;
  }

  #takeBlob() {
    const canvas = this.#draw();
    return new Promise((resolve) => canvas.toBlob(resolve, 'image/jpeg', this.#quality));
  }

  /** The present picture at the size that is wished for. */
  #draw() {
    const { width } = this.#options.wishes();
    const { videoWidth, videoHeight } = this.#video;
    const canvas = this.#canvas;
    const height = Math.max(1, Math.round((width * videoHeight) / videoWidth));
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    canvas.getContext('2d', { alpha: false }).drawImage(this.#video, 0, 0, width, height);
    return canvas;
  }
}
