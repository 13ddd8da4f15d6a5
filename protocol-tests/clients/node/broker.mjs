// The broker under test: one started for the calling file on a free port, or the server that the environment
// names. Nothing else here knows which of the two it is talking to.
//
//   PUSHER_HOST, PUSHER_PORT, PUSHER_APP_ID, PUSHER_APP_KEY, PUSHER_APP_SECRET   use that server, start nothing
//   PROTOCOL_TESTS_BIN                                                         the binary to start otherwise
//   PROTOCOL_TESTS_PREVIOUS_BIN                                                that of the last release, to upgrade from

import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export const BINARY =
  process.env.PROTOCOL_TESTS_BIN ?? fileURLToPath(new URL('../../../target/debug/heliostat', import.meta.url));

/** The broker that clients are connected to before it is replaced: the same one where no release is named. */
export const PREVIOUS = process.env.PROTOCOL_TESTS_PREVIOUS_BIN ?? BINARY;

/** How long a broker may take to accept connections, or to end when told to. */
const START_DEADLINE_MS = 20_000;
const STOP_DEADLINE_MS = 15_000;

/** Development mode lifts these two for the camera; the clients are to meet the values of hosted Pusher. */
const HOSTED_LIMITS = {
  HELIOSTAT_APP_LIMITS_CLIENT_EVENT_PAYLOAD_BYTES: '10240',
  HELIOSTAT_APP_LIMITS_CLIENT_EVENTS_PER_SECOND: '10',
};

/** Whether the environment names a server: then no test may stop or reconfigure it. */
export const external = Boolean(process.env.PUSHER_HOST);

/**
 * A broker to talk to: `{ host, port, appId, key, secret, log(), stop(), kill() }`.
 *
 * @param {{ port?: number, args?: string[], env?: Record<string, string>, binary?: string, own?: boolean }} [options]
 *   `port` 0 takes any free port; `env` is added to the broker's environment; `binary` is another than the one under test;
 *   `own` starts one even where the environment names a server.
 */
export async function startBroker({ port = 0, args = [], env = {}, binary = BINARY, own = false } = {}) {
  if (external && !own) return named();
  if (!existsSync(binary)) {
    throw new Error(`no broker at ${binary}: run \`cargo build\` first, or name a binary in PROTOCOL_TESTS_BIN`);
  }
  const child = spawn(binary, ['--port', String(port), ...args], {
    env: { ...withoutSettings(process.env), ...HOSTED_LIMITS, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const ended = new Promise((resolve) => child.once('close', (code, signal) => resolve({ code, signal })));
  let log = '';
  child.stderr.setEncoding('utf8').on('data', (text) => (log = (log + text).slice(-100_000)));
  const url = new URL(await listeningOn(child, ended));
  // A test that fails before it stops the broker must not leave it behind.
  const lastResort = () => child.kill('SIGKILL');
  process.once('exit', lastResort);
  return {
    host: url.hostname,
    port: Number(url.port),
    appId: '1001',
    key: 'app-key',
    secret: 'app-secret',
    /** What it has logged, as far as it is kept. */
    log: () => log,
    /** Ends it without giving it time to say anything. */
    async kill() {
      child.kill('SIGKILL');
      await ended;
      process.off('exit', lastResort);
    },
    async stop() {
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), STOP_DEADLINE_MS);
      const { code, signal } = await ended;
      clearTimeout(timer);
      process.off('exit', lastResort);
      if (code !== 0) throw new Error(`the broker did not stop cleanly: exit code ${code}, signal ${signal}`);
    },
  };
}

function named() {
  const required = (name) => {
    if (!process.env[name]) throw new Error(`PUSHER_HOST is set, so ${name} must be set as well`);
    return process.env[name];
  };
  return {
    host: process.env.PUSHER_HOST,
    port: Number(process.env.PUSHER_PORT || 80),
    appId: required('PUSHER_APP_ID'),
    key: required('PUSHER_APP_KEY'),
    secret: required('PUSHER_APP_SECRET'),
    async stop() {},
  };
}

/** The developer's own broker settings must not reach the broker under test. */
function withoutSettings(env) {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !name.startsWith('HELIOSTAT_')));
}

async function listeningOn(child, ended) {
  let output = '';
  let complaints = '';
  child.stderr.setEncoding('utf8').on('data', (text) => (complaints = (complaints + text).slice(-10_000)));
  const said = new Promise((resolve) => {
    child.stdout.setEncoding('utf8').on('data', (text) => {
      output = (output + text).slice(-10_000);
      const line = /listening on (http:\/\/\S+)/.exec(output);
      if (line) resolve(line[1]);
    });
  });
  const failure = (what) => new Error(`the broker ${what}\nstdout:\n${output}\nstderr:\n${complaints}`);
  let timer;
  try {
    return await Promise.race([
      said,
      ended.then(({ code, signal }) =>
        Promise.reject(failure(`ended at its start (${signal ?? `exit code ${code}`})`)),
      ),
      new Promise((_, reject) => {
        timer = setTimeout(
          () => reject(failure(`did not say where it listens within ${START_DEADLINE_MS} ms`)),
          START_DEADLINE_MS,
        );
      }),
    ]);
  } catch (error) {
    child.kill('SIGKILL');
    throw error;
  } finally {
    clearTimeout(timer);
  }
}
