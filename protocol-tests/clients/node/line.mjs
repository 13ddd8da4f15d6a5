// The line between clients and a broker: a port of its own that hands connections on, and can be cut, held up, or turned
// into a black hole. It reads along: it knows what of a WebSocket has been acknowledged.

import { connect, createServer } from 'node:net';
import { once } from 'node:events';

/** What becomes of connections, and of what is said on them. */
const OPEN = 'open';
/** Nobody can be reached: new ones are ended at once. */
const CUT = 'cut';
/** New ones stand, but nothing is handed on before the line is restored: it comes late, as over a line that loses packets,
 * which TCP repeats. */
const HELD = 'held';
/** All stand, and everything that is said on them is lost: a connection that was swallowed is never of use again. */
const SWALLOWED = 'swallowed';

/**
 * A line to `broker`, which ends with the test `t`, if there is one.
 *
 * @param {{ host: string, port: number }} broker
 */
export async function openLine(broker, t) {
  const line = new Line(broker);
  await line.listen();
  t?.after(() => line.close());
  return line;
}

class Line {
  host = '127.0.0.1';
  port = 0;
  /** The address from which the broker sees those come that are handed on from now on. */
  localAddress = undefined;
  /** Whether it ends connections that ask for a WebSocket, as middle boxes do that know nothing of these. */
  refusesWebSockets = false;
  #state = OPEN;
  #target;
  #server;
  #pairs = new Set();
  #cutAfter = Infinity;
  #isCut = () => {};
  #waiting = new Set();

  constructor(broker) {
    this.#target = broker;
  }

  async listen() {
    this.#server = createServer((client) => this.#accept(client));
    this.#server.listen(this.port, this.host);
    await once(this.#server, 'listening');
    this.port = this.#server.address().port;
  }

  /** Ends all connections without a word, and those that come, until `restore`. */
  cut() {
    this.#state = CUT;
    this.#end();
  }

  /** Ends all connections without a word; those that come wait for `restore`. */
  cutAndHold() {
    this.#state = HELD;
    this.#end();
  }

  /** Does so as soon as so many more bytes have gone to clients, wherever in a frame that is; resolves when it has. */
  cutAfter(bytes) {
    this.#cutAfter = bytes;
    return new Promise((resolve) => { this.#isCut = resolve; });
  }

  /** Nothing is handed on any more, either way, and nobody is told; what is said comes when the line is restored. */
  hold() {
    this.#state = HELD;
    this.#pairs.forEach((pair) => pair.pause());
  }

  /** What clients say is not handed on any more: no acknowledgement comes. */
  holdClients() {
    this.#pairs.forEach((pair) => pair.client.pause());
  }

  /** Whatever is said is lost, and nobody is told. */
  swallow() {
    this.#state = SWALLOWED;
    this.#pairs.forEach((pair) => pair.lose());
  }

  restore() {
    this.#state = OPEN;
    this.#pairs.forEach((pair) => pair.resume());
  }

  /** Resolves when the broker knows of everything on a WebSocket that it has arrived: the last frame was followed by a ping,
   * and that has been echoed. */
  async acknowledged() {
    const holds = () => [...this.#pairs].some((pair) => pair.acknowledged);
    while (!holds()) await new Promise((resolve) => { this.#waiting.add(resolve); });
  }

  async close() {
    this.#server.close();
    this.#end();
    await once(this.#server, 'close');
  }

  #end() {
    this.#pairs.forEach((pair) => pair.end());
  }

  #accept(client) {
    client.on('error', () => {});
    if (this.#state === CUT) {
      client.resetAndDestroy();
      return;
    }
    const pair = new Pair(client, {
      dial: () => connect({ port: this.#target.port, host: this.#target.host, localAddress: this.localAddress }),
      refuses: (head) => this.refusesWebSockets && isHandshake(head),
      toClient: (bytes) => this.#passing(bytes),
      changed: () => {
        this.#waiting.forEach((look) => look());
        this.#waiting.clear();
      },
      over: () => this.#pairs.delete(pair),
    });
    this.#pairs.add(pair);
    if (this.#state === OPEN) pair.resume();
    if (this.#state === SWALLOWED) pair.lose();
  }

  /** What of these bytes goes to a client. */
  #passing(bytes) {
    const passed = bytes.subarray(0, this.#cutAfter);
    this.#cutAfter -= passed.length;
    if (this.#cutAfter === 0) {
      this.#cutAfter = Infinity;
      setImmediate(() => {
        this.cutAndHold();
        this.#isCut();
      });
    }
    return passed;
  }
}

/** A client's connection, and the one to the broker that it is handed on by. */
class Pair {
  client;
  #onward = null;
  #lost = false;
  #hands;
  #sent = new Frames(({ opcode, payload }) => {
    // An answer to the client's own ping says nothing.
    if (opcode !== PONG) this.#notice(opcode === PING ? payload : null);
  });
  #said = new Frames(({ opcode, payload }) => {
    if (opcode === PONG && payload === this.#lastPing) this.#echo();
  });
  /** The payload of the ping that was the last frame to the client but for answers to its own pings, if one was. */
  #lastPing = null;
  acknowledged = false;

  constructor(client, hands) {
    this.client = client;
    this.#hands = hands;
    client.setNoDelay(true);
    client.pause();
    client.on('close', () => this.#closed(client));
  }

  pause() {
    this.client.pause();
    this.#onward?.pause();
  }

  /** Reads on, so that an end is noticed, and hands nothing on. */
  lose() {
    this.#lost = true;
    this.client.resume();
    this.#onward?.resume();
  }

  resume() {
    if (this.#lost) return;
    if (this.#onward === null) this.#handOn();
    this.client.resume();
    this.#onward.resume();
  }

  end() {
    this.client.destroy();
    this.#onward?.destroy();
  }

  #handOn() {
    const [client, onward] = [this.client, this.#hands.dial()];
    this.#onward = onward;
    onward.setNoDelay(true);
    onward.on('error', () => {});
    client.on('data', (bytes) => {
      if (this.#lost) return;
      if (this.#hands.refuses(bytes)) {
        this.end();
        return;
      }
      onward.write(bytes);
      this.#said.read(bytes);
    });
    onward.on('data', (bytes) => {
      if (this.#lost) return;
      const passed = this.#hands.toClient(bytes);
      client.write(passed);
      this.#sent.read(passed);
    });
    for (const [from, to] of [[client, onward], [onward, client]]) {
      from.on('end', () => this.#lost || to.end());
      from.on('close', () => this.#lost || to.destroy());
    }
    onward.on('close', () => this.#closed(onward));
  }

  /** Of a connection that was swallowed neither side hears of the other's end. */
  #closed() {
    if (this.client.destroyed && (this.#onward?.destroyed ?? true)) this.#hands.over();
  }

  #notice(ping) {
    this.#lastPing = ping;
    this.acknowledged = false;
  }

  #echo() {
    this.acknowledged = true;
    this.#hands.changed();
  }
}

function isHandshake(head) {
  return /^upgrade: *websocket/im.test(head.toString('latin1'));
}

const PING = 0x9;
const PONG = 0xa;

/** Reads the frames of one side of a WebSocket, behind the head of its handshake. */
class Frames {
  #bytes = Buffer.alloc(0);
  #greeted = false;
  #tell;

  constructor(tell) {
    this.#tell = tell;
  }

  read(more) {
    this.#bytes = Buffer.concat([this.#bytes, more]);
    if (!this.#greeted) {
      const end = this.#bytes.indexOf('\r\n\r\n');
      if (end < 0) return;
      // Of a request that is no handshake nothing is read.
      if (!isHandshake(this.#bytes.subarray(0, end))) this.read = () => {};
      this.#greeted = true;
      this.#bytes = this.#bytes.subarray(end + 4);
    }
    for (let frame = this.#next(); frame; frame = this.#next()) this.#tell(frame);
  }

  #next() {
    const bytes = this.#bytes;
    if (bytes.length < 2) return null;
    const masked = bytes[1] & 0x80;
    let [length, at] = [bytes[1] & 0x7f, 2];
    if (length === 126) [length, at] = [bytes.length < 4 ? Infinity : bytes.readUInt16BE(2), 4];
    else if (length === 127) [length, at] = [bytes.length < 10 ? Infinity : Number(bytes.readBigUInt64BE(2)), 10];
    const mask = masked ? bytes.subarray(at, at + 4) : null;
    if (masked) at += 4;
    if (bytes.length < at + length) return null;
    const payload = Buffer.from(bytes.subarray(at, at + length));
    if (mask) payload.forEach((byte, index) => { payload[index] = byte ^ mask[index % 4]; });
    this.#bytes = bytes.subarray(at + length);
    return { opcode: bytes[0] & 0x0f, payload: payload.toString('latin1') };
  }
}
