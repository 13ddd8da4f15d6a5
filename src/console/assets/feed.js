// The live feed: a WebSocket that is opened again when it ends, and what came by it.

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 10_000;

/**
 * Hears entries that fit a filter.
 *
 * @param {object} filter  as the feed takes it
 * @param {{ entries: (batch: { entries: object[], left_out: object, missed: number, lost: number }) => void,
 *   state: (state: 'open' | 'waiting', words: string) => void,
 *   nodes?: (nodes: { passing: { node: string, name: string }[], silent: { node: string, name: string, why: string }[], awaited: { node: string, name: string }[] }) => void }} heard
 */
export class Feed {
  #filter;
  #heard;
  #socket = null;
  #wait = FIRST_WAIT_MS;
  #timer = null;
  #isOver = false;

  constructor(filter, heard) {
    this.#filter = filter;
    this.#heard = heard;
    this.#open();
  }

  /** Another filter, in place of the one before. */
  set filter(filter) {
    this.#filter = filter;
    if (this.#socket?.readyState === WebSocket.OPEN) this.#sendFilter();
  }

  close() {
    this.#isOver = true;
    clearTimeout(this.#timer);
    this.#socket?.close();
  }

  #sendFilter() {
    this.#socket.send(JSON.stringify({ type: 'filter', ...this.#filter }));
  }

  #open() {
    const url = new URL('live', location.href);
    url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
    url.hash = '';
    url.search = '';
    const socket = new WebSocket(url, 'heliostat.feed.v1');
    this.#socket = socket;
    socket.onopen = () => {
      this.#wait = FIRST_WAIT_MS;
      this.#sendFilter();
    };
    socket.onmessage = ({ data }) => {
      const message = JSON.parse(data);
      if (message.type === 'filtering') this.#heard.state('open', 'Live');
      if (message.type === 'entries') this.#heard.entries(message);
      if (message.type === 'nodes') this.#heard.nodes?.(message);
      if (message.type === 'error') this.#heard.state('open', message.message);
    };
    socket.onclose = ({ code, reason }) => {
      if (this.#isOver) return;
      this.#heard.state('waiting', reason || (code === 1006 ? 'The feed is not to be had: the broker is away, or it has as many viewers as it takes' : `The feed ended (${code})`));
      this.#timer = setTimeout(() => this.#open(), this.#wait);
      this.#wait = Math.min(2 * this.#wait, LONGEST_WAIT_MS);
    };
  }
}
