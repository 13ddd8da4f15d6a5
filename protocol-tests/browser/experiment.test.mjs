// The original experiment and its three heirs: Chromium's camera on `/stream`, and the mirror's picture changing on
// `/mirror`, with each of the example's backends in between.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { cp, mkdtemp, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { startBroker } from './broker.mjs';
import { openBrowser, openPage, shown, showsDistinctPictures } from './browser.mjs';
import { cleanup } from './cleanup.mjs';

const HERE = fileURLToPath(new URL('.', import.meta.url));
const EXPERIMENT = fileURLToPath(new URL('../../examples/original-experiment/', import.meta.url));
/** The example that embeds the broker: `cargo build --example mirror-hook`. */
const HOOK = process.env.PROTOCOL_TESTS_HOOK
  ?? fileURLToPath(new URL('../../target/debug/examples/mirror-hook', import.meta.url));
const START_DEADLINE_MS = 20_000;
const DISTINCT_PICTURES = 6;

// Proves: 250, 252, 258, 260, clients.
test('the original package forwards the camera', async (t) => {
  const example = await copyOfExample(t);
  const broker = await startBroker(t, { args: await asTheReadmeSays(example) });
  const pages = await run(t, example, 'server.js', broker.port, /connected/);
  await mirrors(t, pages, /^Sending frame$/);
});

// Proves: pipe wire 1.0.
test('a modern backend forwards the camera', async (t) => {
  const example = await copyOfExample(t);
  const broker = await startBroker(t, { args: await asTheReadmeSays(example) });
  const pages = await run(t, example, 'modern.js', broker.port, /connected/);
  await mirrors(t, pages, /^Sending frame$/);
});

// Proves: pipe rules.
test('a rule forwards the camera', async (t) => {
  const example = await copyOfExample(t);
  const broker = await startBroker(t, { args: ['--config', join(example, 'rule.toml')] });
  const pages = await run(t, example, 'pages.js', broker.port, /pages/);
  await mirrors(t, pages, /^Sending frame$/);
});

// Proves: clients.
test('a hook in Rust stamps the frames of the camera and forwards them', async (t) => {
  const example = await copyOfExample(t);
  const child = start(t, HOOK, [], { PORT: '0' });
  const [, port] = await said(child, /listening on http:\/\/127\.0\.0\.1:(\d+)/);
  const pages = await run(t, example, 'pages.js', Number(port), /pages/);
  await mirrors(t, pages, /^Frame \d+$/);
});

/** The arguments with which the README starts the broker; the file that they name is taken from the copy. */
async function asTheReadmeSays(example) {
  const readme = await readFile(join(example, 'README.md'), 'utf8');
  const [, command] = /```sh\ncargo run --release(.*?)(?:#.*)?\n/.exec(readme);
  const words = command.trim().split(/ +/).filter((word) => word !== '--' && word !== '');
  return words.map((word) => word.replace('examples/original-experiment', example));
}

/** Streams the camera from one page, and sees the picture of the other change: each frame comes once. */
async function mirrors(t, pages, message) {
  const context = await (await openBrowser(t)).newContext();
  const mirror = await openPage(t, context, `${pages}/mirror`);
  await shown(mirror, '#status', /^Connected$/);
  const stream = await openPage(t, context, `${pages}/stream`);
  await stream.click('#start');
  await shown(mirror, '#message', message);
  await showsDistinctPictures(mirror, DISTINCT_PICTURES);
  // Looked at in this order, there cannot be more of them here than there, unless some came twice.
  const received = framesIn(await mirror.textContent('#status'));
  const sent = framesIn(await stream.textContent('#status'));
  assert.ok(received <= sent, `${received} frames received of ${sent} sent`);
  assert.match(await stream.textContent('#status'), /^\d+ frames sent$/);
}

function framesIn(status) {
  return Number(/^\d+/.exec(status)[0]);
}

/** A copy of the example here, so that it finds the packages that these tests installed. */
async function copyOfExample(t) {
  const folder = await mkdtemp(join(HERE, '.experiment-'));
  cleanup(t, () => rm(folder, { recursive: true, force: true }));
  await cp(EXPERIMENT, folder, { recursive: true, filter: (file) => !file.includes('node_modules') });
  return folder;
}

/** Runs one of the example's programs against the broker at a port; tells where it serves its pages. */
async function run(t, folder, program, port, ready) {
  const child = start(t, process.execPath, [join(folder, program)], { PIPE_PORT: String(port), PAGES_PORT: '0' });
  const [, pages] = await said(child, /pages on (http:\/\/127\.0\.0\.1:\d+)\/stream/);
  await said(child, ready);
  return pages;
}

function start(t, command, args, env) {
  const child = spawn(command, args, { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  child.output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text) => {
      child.output += text;
      child.emit('said');
    });
  }
  const ended = new Promise((resolve) => { child.once('close', resolve).once('error', resolve); });
  cleanup(t, async () => {
    child.kill('SIGKILL');
    await ended;
  });
  return child;
}

/** Waits until the program has printed something that fits. */
function said(child, pattern) {
  return new Promise((resolve, reject) => {
    const fail = (why) => reject(new Error(`the program ${why} before it printed ${pattern}:\n${child.output}`));
    const deadline = setTimeout(() => fail('took too long'), START_DEADLINE_MS);
    const look = () => {
      const found = pattern.exec(child.output);
      if (!found) return;
      clearTimeout(deadline);
      child.off('said', look);
      resolve(found);
    };
    child.on('said', look);
    child.once('error', ({ message }) => fail(`could not be started (${message})`));
    child.once('close', () => fail('ended'));
    look();
  });
}
