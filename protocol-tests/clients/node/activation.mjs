// Brokers that take turns on a socket that is held, as a service manager holds it, and those who publish meanwhile: for the
// tests of how their clients come back, here and in ../../browser.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import http from 'node:http';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

/** How often the broker is restarted. 20 is the measurement of docs/operations.md. */
export const RESTARTS = Number(process.env.RESTARTS ?? 3);

/** How long a client may be away, and how long a restart may take: a test that fails, not a figure. */
export const DEADLINE_MS = 60_000;

/** A Python that has pysher, where there is one. */
export const PYTHON = process.env.HELIOSTAT_PYTHON
  ?? fileURLToPath(new URL('../../../target/protocol-tests/venv/bin/python', import.meta.url));

/** The ways in which pages set pusher-js up. */
export const WAYS = { 'WebSockets only': { enabledTransports: ['ws', 'wss'] }, 'fallbacks on': {} };

const BINARY =
  process.env.PROTOCOL_TESTS_BIN ?? fileURLToPath(new URL('../../../target/debug/heliostat', import.meta.url));
const PUBLISHERS = 3;
const PUBLISHED_EVERY_MS = 2;

/** A program of the Python clients. */
export const pythonProgram = (name) => fileURLToPath(new URL(`../python/${name}`, import.meta.url));

/**
 * A socket that is held, and the broker that listens on it.
 *
 * @param {import('node:test').TestContext} t
 */
export async function activate(t) {
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('HELIOSTAT_')));
  const command = [pythonProgram('activator.py'), BINARY, '--development', '--log-level', 'off'];
  const activator = spawn(existsSync(PYTHON) ? PYTHON : 'python3', command, { env, stdio: ['pipe', 'pipe', 'inherit'] });
  t.after(() => activator.stdin.end());
  const said = createInterface({ input: activator.stdout })[Symbol.asyncIterator]();
  const port = Number((await said.next()).value);
  const started = async () => assert.equal((await said.next()).value, 'started');
  await started();
  return {
    address: { host: '127.0.0.1', port, appId: '1001', key: 'app-key', secret: 'app-secret' },
    /** Ends the broker, and returns when the next one listens. */
    async restart() {
      activator.stdin.write('restart\n');
      await started();
    },
    async end() {
      activator.stdin.end();
      const [code] = await once(activator, 'close');
      assert.equal(code, 0, 'a broker failed');
    },
  };
}

/**
 * Does this while publishers send one event after the other on connections that are kept. A publisher that sees an error
 * ends it. Returns how many events each has published.
 *
 * @param {new (options: object) => { trigger: Function }} Library  the `pusher` server library, of release 4 or later
 */
export async function whilePublishing(Library, address, work) {
  let over = false;
  const publishers = Promise.all(Array.from({ length: PUBLISHERS }, () => publish(Library, address, () => over)));
  const working = work().finally(() => { over = true; });
  const [published] = await Promise.all([publishers, working]);
  assert.ok(published.every((count) => count > 0), `events published: ${published}`);
  return published;
}

async function publish(Library, { appId, key, secret, host, port }, isOver) {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  const publisher = new Library({ appId, key, secret, host, port: String(port), useTLS: false, agent });
  let published = 0;
  for (; !isOver(); published += 1) {
    const answer = await publisher.trigger('news', 'greet', { published });
    assert.equal(answer.status, 200);
    await new Promise((resolve) => { setTimeout(resolve, PUBLISHED_EVERY_MS); });
  }
  agent.destroy();
  return published;
}

/** The seconds for which each client was away, as a test prints them. */
export class Absences {
  #times = new Map();

  note(name, seconds) {
    this.#times.set(name, [...(this.#times.get(name) ?? []), seconds]);
  }

  lines() {
    return [...this.#times].map(([name, unsorted]) => {
      const times = [...unsorted].sort((a, b) => a - b);
      const soon = times.filter((time) => time <= 1).length;
      const [middle, longest] = [times[Math.floor(times.length / 2)], times.at(-1)].map((time) => time.toFixed(2));
      return `${name}: back after ${middle} s (median), ${longest} s (longest); within 1 s ${soon} of ${times.length}`;
    });
  }
}
