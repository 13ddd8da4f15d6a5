// A broker that is restarted, as its clients see it: it ends in one of several ways, and after a gap of any length
// another answers at the same address. Used by the programs that measure how long clients take to come back.

import { connect, createServer } from 'node:net';
import { startBroker } from './broker.mjs';

/** How a broker can end: closing its sockets with one of two codes, or without a word. */
export const ENDS = ['4100', '4200', 'kill -9'];

/** How long nobody listens at its address, in milliseconds. */
export const GAPS_MS = [0, 50, 500, 2500];

/** Clients that have not come back after this are given up. */
export const PATIENCE_MS = 40_000;

/** What a page's own helper waits for before it takes matters into its own hands, in milliseconds. */
export const HELPER_MS = 1500;

/** One end of one broker. Both brokers stand behind ports of this process, which alone decides when somebody listens. */
export class Restart {
  #first;
  #second;
  #doors = [];

  /** @param {string} end  one of `ENDS` */
  static async begin(end) {
    const restart = new Restart();
    const env = { HELIOSTAT_LOGGING_LEVEL: 'off' };
    if (end !== 'kill -9') env.HELIOSTAT_SERVER_SHUTDOWN_CODE = end;
    [restart.#first, restart.#second] = await Promise.all([startBroker({ env }), startBroker({ env })]);
    return restart;
  }

  /** An address of the broker, for one client: `{ host, port, key }`. */
  async address() {
    const { host, key } = this.#first;
    const door = new Door(this.#first);
    this.#doors.push(door);
    return { host, port: await door.open(), key };
  }

  /**
   * Ends the first broker; after the gap, counted from when its connections end, the second answers everywhere. Returns
   * the time of that end.
   */
  async happen(end, gapMs) {
    const doors = this.#doors;
    const ended = Promise.race(doors.map((door) => door.lost()));
    if (gapMs > 0) doors.forEach((door) => door.close());
    else doors.forEach((door) => door.leadTo(this.#second));
    const gone = end === 'kill -9' ? this.#first.kill() : this.#first.stop();
    const at = await ended;
    if (gapMs > 0) {
      await new Promise((resolve) => { setTimeout(resolve, gapMs); });
      await Promise.all(doors.map((door) => door.leadTo(this.#second).open()));
    }
    await gone;
    return at;
  }

  async over() {
    this.#doors.forEach((door) => door.close(true));
    await this.#second.kill();
  }
}

/** A port that hands every connection on to a broker. */
class Door {
  #target;
  #port = 0;
  #server = null;
  #sockets = new Set();
  #lost = Promise.withResolvers?.() ?? withResolvers();

  constructor(target) {
    this.#target = target;
  }

  leadTo(target) {
    this.#target = target;
    return this;
  }

  /** Resolves with the time at which a connection has been ended from behind the door. */
  lost() {
    return this.#lost.promise;
  }

  async open() {
    this.#server = createServer((client) => this.#pass(client));
    await new Promise((resolve, reject) => {
      this.#server.once('error', reject).listen(this.#port, '127.0.0.1', resolve);
    });
    this.#port = this.#server.address().port;
    return this.#port;
  }

  /** Lets nobody in any more; with `clear`, sends away who is. */
  close(clear = false) {
    this.#server.close();
    if (clear) this.#sockets.forEach((socket) => socket.destroy());
  }

  #pass(client) {
    const onward = connect(this.#target.port, this.#target.host);
    for (const socket of [client, onward]) {
      socket.setNoDelay(true);
      this.#sockets.add(socket);
      socket.on('error', () => socket.destroy());
    }
    client.pipe(onward).pipe(client);
    client.on('close', () => { this.#sockets.delete(client); onward.destroy(); });
    onward.on('end', () => this.#lost.resolve(Date.now()));
    onward.on('close', () => { this.#sockets.delete(onward); this.#lost.resolve(Date.now()); client.destroySoon(); });
  }
}

function withResolvers() {
  let resolve;
  const promise = new Promise((done) => { resolve = done; });
  return { promise, resolve };
}

/** The middle one of some times in milliseconds, in seconds; clients that never came back count as the slowest. */
export function median(times) {
  const sorted = times.map((time) => time ?? Infinity).sort((a, b) => a - b);
  const middle = sorted[Math.floor((sorted.length - 1) / 2)];
  return middle === Infinity ? `> ${PATIENCE_MS / 1000}` : (middle / 1000).toFixed(middle < 100 ? 2 : 1);
}

/** A table in Markdown: a line for each client, a column for each end and gap. `times` has lists by client, end and gap. */
export function table(times) {
  const cases = ENDS.flatMap((end) => GAPS_MS.map((gap) => ({ end, gap })));
  const heads = cases.map(({ end, gap }) => `${end}, ${gap < 1000 ? `${gap} ms` : `${gap / 1000} s`}`);
  const lines = [...times].map(([client, cells]) => [client, ...cases.map(({ end, gap }) => median(cells.get(`${end} ${gap}`) ?? []))]);
  const rows = [['client', ...heads], ['---', ...heads.map(() => '---:')], ...lines];
  return rows.map((row) => `| ${row.join(' | ')} |`).join('\n');
}
