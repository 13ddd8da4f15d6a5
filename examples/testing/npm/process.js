// A broker as a child process.

import { spawn } from 'node:child_process';
import { HeliostatError } from './errors.js';

/** How long a broker may take to end when it is told to, before it is killed. */
const STOP_DEADLINE_MS = 10_000;
/** So much of what the broker writes to standard error is kept for messages. */
const KEPT_CHARACTERS = 10_000;

/** Starts `heliostat serve --test`; answers `{ url, token, stop }`. Once it is ready, it keeps no process alive. */
export async function startBroker({ program, args = [], env = {}, startTimeoutMs = 20_000 } = {}) {
  program ??= process.env.HELIOSTAT_BIN || 'heliostat';
  const child = spawn(program, ['serve', '--test', ...args], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const exited = new Promise((resolve) => child.once('exit', resolve));
  if (child.pid) endWithThisProcess(child);
  const { line, failure } = await firstLine(child, program, startTimeoutMs);
  if (failure) {
    child.kill('SIGKILL');
    throw new HeliostatError(failure);
  }
  for (const handle of [child, child.stdout, child.stderr]) handle.unref();
  const stop = async () => {
    child.ref();
    child.kill('SIGTERM');
    const timer = setTimeout(() => child.kill('SIGKILL'), STOP_DEADLINE_MS);
    await exited;
    clearTimeout(timer);
  };
  return { url: line.control_url, token: line.token, stop };
}

/** What the broker says when it is ready, as `{ line }`; or why it is not, as `{ failure }`. */
function firstLine(child, program, deadlineMs) {
  return new Promise((resolve) => {
    let output = '';
    let complaints = '';
    const settle = (what) => {
      clearTimeout(timer);
      resolve(what);
    };
    const fail = (why) =>
      settle({ failure: complaints ? `${why}; it wrote to standard error:\n${complaints.trimEnd()}` : why });
    const timer = setTimeout(() => fail(`the broker (${program}) was not ready after ${deadlineMs} ms`), deadlineMs);
    child.once('error', (error) => {
      const missing =
        `there is no program "${program}": install heliostat, or name the program in HELIOSTAT_BIN or as { program }`;
      fail(error.code === 'ENOENT' ? missing : `the broker cannot be started: ${error.message}`);
    });
    child.once('close', (code, signal) =>
      fail(`the broker (${program}) ended before it was ready, with ${signal ?? `status ${code}`}`),
    );
    child.stderr.setEncoding('utf8').on('data', (text) => (complaints = (complaints + text).slice(-KEPT_CHARACTERS)));
    child.stdout.setEncoding('utf8').on('data', function read(text) {
      output += text;
      if (!output.includes('\n')) return;
      this.off('data', read).resume();
      try {
        settle({ line: JSON.parse(output) });
      } catch {
        fail(`expected a line of JSON from the broker (${program}), got ${JSON.stringify(output)}`);
      }
    });
  });
}

/**
 * A shell waits until the pipe from this process is gone, and then ends the broker: so it goes however this process
 * ends, SIGKILL included. The shell is out of reach of a Ctrl-C, which would end it too early.
 */
function endWithThisProcess(child) {
  const shell = spawn('sh', ['-c', 'read -r _; kill "$0"', String(child.pid)], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  // Without a shell, what this process can do at its own end must do.
  shell.once('error', () => process.once('exit', () => child.kill('SIGKILL')));
  shell.unref();
  shell.stdin.unref();
  child.once('exit', () => shell.kill('SIGKILL'));
}
