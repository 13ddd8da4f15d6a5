// Starts the broker under test on a port of its own, and stops it the way an operator would.

import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { cleanup } from './cleanup.mjs';

const BINARY = process.env.PROTOCOL_TESTS_BIN ?? fileURLToPath(new URL('../../target/debug/heliostat', import.meta.url));
const PUSHER_JS = fileURLToPath(new URL('node_modules/pusher-js/dist/web/pusher.min.js', import.meta.url));

const START_DEADLINE_MS = 20_000;
const STOP_DEADLINE_MS = 15_000;
/** So much of the broker's log is kept for the message of a failed start. */
const LOG_KEPT_CHARACTERS = 8_000;

/** What development mode uses when nothing else is said. */
export const APP = { id: '1001', key: 'app-key', secret: 'app-secret' };

/**
 * A broker in development mode, for one test; it is stopped when the test ends.
 *
 * @param {import('node:test').TestContext} t
 * @param {{ port?: number, args?: string[], env?: Record<string, string> }} [options]  port 0 is any free one
 * @returns {Promise<{ url: string, host: string, port: number, reload: () => void, stop: () => Promise<void>,
 *   crash: () => Promise<void>, adminUrl: () => Promise<string> }>}  `reload` makes it read its configuration again; `crash`
 *   ends it without a word; `adminUrl` is where its admin listener is, if it has one
 */
export async function startBroker(t, { port = 0, args = [], env = {} } = {}) {
  if (!existsSync(BINARY)) {
    throw new Error(`no broker at ${BINARY}: run cargo build first, or name one in PROTOCOL_TESTS_BIN`);
  }
  const child = spawn(BINARY, ['--port', String(port), ...args], {
    // The page is to load the library that these tests installed, not one from the network.
    env: { ...withoutSettings(process.env), HELIOSTAT_DEVELOPMENT_PUSHER_JS: PUSHER_JS, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const kill = () => child.kill('SIGKILL');
  process.once('exit', kill);
  const ended = new Promise((resolve) => { child.once('close', (code, signal) => resolve({ code, signal })); });

  let stopping = null;
  const stop = () => {
    stopping ??= (async () => {
      child.kill('SIGTERM');
      const deadline = setTimeout(kill, STOP_DEADLINE_MS);
      const { code, signal } = await ended;
      clearTimeout(deadline);
      process.off('exit', kill);
      if (code !== 0) throw new Error(`the broker did not stop cleanly: exit code ${code}, signal ${signal}`);
    })();
    return stopping;
  };
  cleanup(t, stop);
  /** As it ends when it crashes, or its machine does: without a word to anybody. */
  const crash = async () => {
    stopping = ended;
    kill();
    await ended;
    process.off('exit', kill);
  };

  const admin = adminUrl(child, ended);
  const url = new URL(await listening(child, ended));
  const reload = () => { child.kill('SIGHUP'); };
  return { url: url.origin, host: url.hostname, port: Number(url.port), reload, stop, crash, adminUrl: () => admin };
}

/** Settings of the developer's own broker must not reach this one. */
function withoutSettings(env) {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !name.startsWith('HELIOSTAT_')));
}

/** The address on the line by which the broker says where its admin listener is; `null` if it ends without one. */
function adminUrl(child, ended) {
  return new Promise((resolve) => {
    let output = '';
    child.stdout.on('data', (text) => {
      output = (output + text).slice(-LOG_KEPT_CHARACTERS);
      const found = /serves the admin listener on (http:\/\/[^\s/]+)/.exec(output);
      if (found) resolve(found[1]);
    });
    ended.then(() => resolve(null));
  });
}

/** The address on the line by which the broker says that it accepts connections. */
function listening(child, ended) {
  return new Promise((resolve, reject) => {
    let output = '';
    let log = '';
    const fail = (why) => {
      child.kill('SIGKILL');
      reject(new Error(`${why}\n${output}\n${log}`));
    };
    const deadline = setTimeout(() => fail(`the broker did not start within ${START_DEADLINE_MS} ms`), START_DEADLINE_MS);
    child.stdout.setEncoding('utf8').on('data', (text) => {
      output = (output + text).slice(-LOG_KEPT_CHARACTERS);
      const found = /listening on (http:\/\/\S+)/.exec(output);
      if (!found) return;
      clearTimeout(deadline);
      resolve(found[1]);
    });
    child.stderr.setEncoding('utf8').on('data', (text) => { log = (log + text).slice(-LOG_KEPT_CHARACTERS); });
    ended.then(({ code, signal }) => {
      clearTimeout(deadline);
      fail(`the broker ended before it listened: exit code ${code}, signal ${signal}`);
    });
  });
}
