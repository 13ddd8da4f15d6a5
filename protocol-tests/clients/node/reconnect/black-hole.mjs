// A line that swallows everything for a while and tells nobody: neither side learns of it from its sockets. When does the
// client notice, when is it back, and what has it missed?

import { performance } from 'node:perf_hooks';
import { reconnectSooner } from '../../../../examples/magic-mirror/reconnect.js';
import { connectionOptions, named, releases } from '../clients.mjs';
import { libraries } from '../libraries.mjs';
import { openLine } from '../line.mjs';

/** What becomes of what is said meanwhile. */
export const FATES = {
  /** It comes late, as over a line whose packets were lost and are repeated by TCP. */
  held: (line) => line.hold(),
  /** It is lost for ever, with the connections that it was said on, as where a router has forgotten them. */
  swallowed: (line) => line.swallow(),
};

const PATIENCE_MS = 60_000;
const PACE_MS = 500;
const PONG_TIMEOUT_MS = 5_000;

/**
 * One client of a release, on a line that is a black hole for so many seconds, while messages are published all the time.
 *
 * @param {{ release: object, fate: keyof typeof FATES, seconds: number, helper?: boolean, options?: object }} trial
 * @returns {Promise<object>}  counts, and times in milliseconds
 */
export async function blackHole(broker, { release, fate, seconds, helper = false, options = { enabledTransports: undefined } }) {
  const line = await openLine(broker);
  const behind = { ...broker, host: line.host, port: line.port };
  const all = {
    ...connectionOptions(release, behind), httpsPort: line.port, wssPort: line.port,
    ...named(release, behind), ...pongTimeout(release), ...options,
  };
  if (!all.enabledTransports) delete all.enabledTransports;
  const pusher = new release.Pusher(broker.key, all);
  if (helper) reconnectSooner(pusher);
  const name = `black-hole-${release.major}-${fate}-${helper}`;
  const [received, resumed] = [[], []];
  pusher.connection.bind('error', () => {});
  const channel = pusher.subscribe(name);
  channel.bind('pusher:resumed', (data) => resumed.push(data));
  channel.bind('message', ({ n }) => received.push({ n, at: performance.now() }));
  try {
    await until(() => channel.subscribed, 'the subscription');
    const counter = count(libraries.at(-1).connect(broker), name);
    await until(() => received.length >= 4, 'the first messages');
    const [droppedAt, heardBefore] = [performance.now(), received.length];
    FATES[fate](line);
    await pause(seconds * 1000);
    const returnedAt = performance.now();
    line.restore();
    await until(() => received.length > heardBefore, 'its return').catch(() => {});
    await pause(2_000);
    const last = await counter.end();
    await until(() => new Set(received.map(({ n }) => n)).size === last, 'the last message').catch(() => {});
    const back = received[heardBefore]?.at;
    const numbers = received.map(({ n }) => n);
    const unique = [...new Set(numbers)];
    return {
      lost: last - unique.length,
      duplicates: numbers.length - unique.length,
      ordered: unique.every((n, index) => index === 0 || n > unique[index - 1]),
      // A connection that has survived is told nothing more.
      complete: resumed.slice(1).every(({ complete }) => complete),
      connections: resumed.length,
      backAfterDropMs: back && back - droppedAt,
      backAfterReturnMs: back && back - returnedAt,
    };
  } finally {
    pusher.disconnect();
    await line.close();
  }
}

/** The time after which a ping is given up, under the name that the release knows. */
export function pongTimeout({ major }, ms = PONG_TIMEOUT_MS) {
  return major < 6 ? { pong_timeout: ms } : { pongTimeout: ms };
}

/** Publishes numbers at a steady pace until it is ended. */
function count(library, channel) {
  let n = 0;
  let over = false;
  const work = (async () => {
    while (!over) {
      n += 1;
      await library.trigger(channel, 'message', { n });
      await pause(PACE_MS);
    }
  })();
  return {
    async end() {
      over = true;
      await work;
      return n;
    },
  };
}

async function until(holds, what) {
  const deadline = performance.now() + PATIENCE_MS;
  while (!holds()) {
    if (performance.now() > deadline) throw new Error(`waited ${PATIENCE_MS} ms for ${what}`);
    await pause(20);
  }
}

function pause(ms) {
  return new Promise((resolve) => { setTimeout(resolve, ms); });
}

export const TRIALS = releases.flatMap((release) => Object.keys(FATES).flatMap((fate) => [false, true].map((helper) => ({ release, fate, helper }))));
