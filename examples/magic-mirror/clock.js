// Do the two pages read the same clock? They do if they are in one browser, and a BroadcastChannel
// reaches exactly the pages in one browser: the mirror asks for a stream by name and its page answers.

const NAME = 'heliostat-magic-mirror';
/** Streams whose answers are remembered; with one more all are asked anew. */
const MAX_STREAMS = 32;

/** On the stream page: answers whoever asks for this stream. */
export function answerForClock(stream) {
  if (!('BroadcastChannel' in globalThis)) return;
  const channel = new BroadcastChannel(NAME);
  channel.onmessage = ({ data }) => {
    if (data?.ask === stream) channel.postMessage({ answer: stream });
  };
}

/** On the mirror page: which of the streams are sent from this very browser. */
export class SameClock {
  #channel = 'BroadcastChannel' in globalThis ? new BroadcastChannel(NAME) : null;
  #asked = new Set();
  #answered = new Set();

  constructor() {
    if (!this.#channel) return;
    this.#channel.onmessage = ({ data }) => {
      if (this.#asked.has(data?.answer)) this.#answered.add(data.answer);
    };
  }

  /** The answer comes a moment after the first question; until then the clocks count as two. */
  isShared(stream) {
    if (stream && !this.#asked.has(stream)) {
      if (this.#asked.size === MAX_STREAMS) for (const known of [this.#asked, this.#answered]) known.clear();
      this.#asked.add(stream);
      this.#channel?.postMessage({ ask: stream });
    }
    return this.#answered.has(stream);
  }
}
