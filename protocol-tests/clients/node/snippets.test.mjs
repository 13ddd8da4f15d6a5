// The snippets of docs/compatibility.md and of the broker's start page do what they promise: run as they stand, with
// nothing but the address and the credentials of the broker under test filled in.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { snippets } from '../../../examples/magic-mirror/snippets.js';
import { startBroker } from './broker.mjs';
import { openClient, releases, within } from './clients.mjs';
import { libraries } from './libraries.mjs';

const PAGE = new URL('../../../docs/compatibility.md', import.meta.url);
/** The releases that are installed here under names of their own. */
const INSTALLED = { pusher: 'pusher-5', 'pusher-js': 'pusher-js-8', 'laravel-echo': 'laravel-echo-2' };
/** How often the server side says it again until the client has subscribed. */
const REPEAT_MS = 100;

describe('snippets', () => {
  let broker, directory;
  before(async () => {
    broker = await startBroker();
    // In here, names of packages are looked up among those of this suite.
    const parent = fileURLToPath(new URL('node_modules/.snippets/', import.meta.url));
    mkdirSync(parent, { recursive: true });
    directory = mkdtempSync(parent);
  });
  after(async () => {
    rmSync(directory, { recursive: true, force: true });
    await broker?.stop();
  });

  const page = readFileSync(PAGE, 'utf8');
  const marked = [...page.matchAll(/### ([^\n]+)\n(?:(?!\n### )[^])*?<!-- run: node (client|server) -->\n```js\n([^]*?)```/g)];
  for (const [, title, side, code] of marked) {
    // Proves: clients.
    test(`${title} of docs/compatibility.md`, (t) => sides[side](t, filledIn(code)));
  }

  // Proves: clients.
  test('every marked snippet of docs/compatibility.md was found', () => {
    assert.equal(marked.length, page.match(/<!-- run: node /g).length);
  });

  for (const [id, side] of [
    ['pusher-js', 'client'],
    ['echo', 'client'],
    ['node', 'server'],
  ]) {
    // Proves: pages.
    test(`${id} of the start page`, async (t) => {
      const { host, port, appId, key, secret } = broker;
      const settings = { host, port, appId, key, secret, path: '', tls: false, auth: `http://${host}:${port}/dev/auth` };
      const { code } = snippets(settings).find((snippet) => snippet.id === id);
      await sides[side](t, code);
    });
  }

  // What is printed for pusher-js leaves it the fallbacks, and tells it where they are: without them it waits 15 s after
  // an attempt that failed. The gem for Ruby takes `use_tls` and ignores `scheme`.
  // Proves: pages.
  test('the start page restricts no transports, and turns TLS off and on by the word that the library knows', () => {
    const settings = { host: 'broker.example', port: 6001, appId: '1', key: 'k', secret: 's', auth: '' };
    for (const [tls, path] of [[false, ''], [true, '/light']]) {
      const all = Object.fromEntries(snippets({ ...settings, tls, path }).map(({ id, code }) => [id, code]));
      for (const code of Object.values(all)) assert.doesNotMatch(code, /enabledTransports/);
      for (const id of ['pusher-js', 'echo']) {
        for (const line of ["httpHost: 'broker.example',", 'httpPort: 6001,', 'httpsPort: 6001,']) assert.ok(all[id].includes(line), line);
        assert.equal(all[id].includes("httpPath: '/light/pusher',"), path !== '');
      }
      assert.ok(all.ruby.includes(`use_tls: ${tls}`) && !all.ruby.includes('scheme'), all.ruby);
    }
  });

  const printed = ['README.md', 'docs/compatibility.md', 'docs/testing.md', 'examples/testing/chat/public/chat.js',
    'examples/original-experiment/pages/stream.html', 'examples/original-experiment/pages/mirror.html'];
  for (const file of printed) {
    // Proves: clients.
    test(`${file} restricts no transports, and says where the fallbacks are`, () => {
      const text = readFileSync(new URL(`../../../${file}`, import.meta.url), 'utf8');
      assert.doesNotMatch(text, /enabledTransports/);
      assert.equal(text.match(/\bwsHost:/g).length, text.match(/\bhttpHost:/g).length);
    });
  }

  const filledIn = (code) =>
    code
      .replaceAll('localhost', broker.host)
      .replaceAll('6001', String(broker.port))
      .replaceAll('app-key', broker.key)
      .replaceAll('app-secret', broker.secret)
      .replaceAll("'1001'", `'${broker.appId}'`);

  const sides = {
    /** It prints what is published on `my-channel` as `my-event`. */
    async client(t, code) {
      const child = run(t, code);
      const library = libraries.at(-1).connect(broker);
      let said = '';
      const heard = new Promise((resolve) => {
        child.stdout.on('data', (text) => {
          said += text;
          if (/hello/.test(said)) resolve();
        });
      });
      const again = setInterval(() => library.trigger('my-channel', 'my-event', { message: 'hello' }), REPEAT_MS);
      t.after(() => clearInterval(again));
      await within(heard, 'the snippet to print the event', () => `it printed ${JSON.stringify(said)}`);
    },

    /** It publishes `my-event` on `my-channel`, and ends. */
    async server(t, code) {
      const client = await openClient(t, releases.at(-1), broker).connected();
      await client.subscribe('my-channel');
      const child = run(t, code);
      const ended = await within(new Promise((resolve) => child.once('close', resolve)), 'the snippet to end');
      assert.equal(ended, 0);
      const [event] = await client.received('my-event', 'my-channel');
      assert.deepEqual(event.data, { message: 'hello' });
    },
  };

  /** Runs the program in a process of its own, which ends with the test. */
  function run(t, code) {
    const here = code.replace(/from '([^']+)'/g, (whole, name) => (INSTALLED[name] ? `from '${INSTALLED[name]}'` : whole));
    const file = join(directory, `${Math.random().toString(36).slice(2)}.mjs`);
    // What browsers have: the page's own name for the global object.
    writeFileSync(file, `globalThis.window ??= globalThis;\n${here}`);
    const child = spawn(process.execPath, [file], { stdio: ['ignore', 'pipe', 'inherit'] });
    child.stdout.setEncoding('utf8');
    t.after(() => child.kill('SIGKILL'));
    return child;
  }
});
