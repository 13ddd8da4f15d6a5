// `heliostat doctor` behind nginx, HAProxy and Caddy: it finds nothing in the files of docs/operations.md, and names each of the
// mistakes that are put into them here.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { BINARY, startBroker } from '../broker.mjs';
import { authority, certificate, freePort, startProxy } from './proxy.mjs';

const TOKEN = 'a-token-for-the-doctor-alone';
const TRUSTING = { HELIOSTAT_SERVER_TRUSTED_PROXIES: '127.0.0.1', HELIOSTAT_APP_CLIENT_EVENTS: 'true' };
/** Most of each examination is waiting. */
const AT_ONCE = 2 * availableParallelism();
/** A proxy with so short a time-out ends what is silent, and a slow machine still gets all else through. */
const SHORT = '3s';
const IDLE = ['--idle', '8'];
const DEADLINE_MS = 120_000;

/** Where answers are flushed at once, Caddy goes on with what its clients have left, until the broker speaks there. */
const ENDED_BY = { caddy: 'SIGKILL' };

/** It judges how many files this machine gives the broker. */
const OF_THE_MACHINE = 'capacity';

/** What it warns of where this machine is busy with other things. */
const OF_SLOWNESS = /people notice this|the first packet was lost/;

/** Nothing listens there, and it is given to nobody. */
const nobody = 1;

/** What needs the WebSocket, and is not tried where there is none. */
const BY_SOCKET = ['greeting', 'client events', 'round trip', 'forwarding', 'idle'];

/**
 * What is wrong with a file: `change` makes it of the good one; `finds` has, for each check that has to complain, what has to be
 * in each of its complaints, in order; `untried` the checks that cannot be made then. All others have to be content.
 */
const MISTAKES = [
  {
    what: 'the headers of an upgrade are not passed on',
    kind: 'nginx',
    change: without(/proxy_set_header (Upgrade|Connection) .*\n/g),
    finds: { upgrade: [[/Upgrade/, /proxy_set_header Upgrade/]] },
    untried: BY_SOCKET,
  },
  {
    what: 'it is told nothing more than where to pass requests on to',
    kind: 'nginx',
    change: without(/proxy_(http_version|set_header|buffering|read_timeout|send_timeout) .*\n/g),
    finds: {
      upgrade: [[/426/, /proxy_http_version 1\.1/]],
      fallbacks: [[/XHR streaming, XHR polling, .*400/, /proxy_http_version 1\.1/]],
      CORS: [[/a poll of a page .*400/, /unchanged/]],
    },
    untried: BY_SOCKET,
  },
  {
    what: 'answers are collected',
    kind: 'nginx',
    change: instead(/proxy_buffering off;/, 'proxy_buffering on; proxy_ignore_headers X-Accel-Buffering;'),
    finds: {
      fallbacks: [[/XHR streaming, XHR streaming of SockJS, server-sent events of SockJS, the endless page of SockJS.*while a WebSocket was greeted in .*keeps the answer back/, /proxy_buffering off/]],
    },
  },
  {
    what: 'answers are compressed',
    kind: 'nginx',
    change: instead(/proxy_buffering off;/, 'proxy_buffering off; gzip on; gzip_proxied any; gzip_types application/javascript text/event-stream;'),
    finds: { fallbacks: [[/XHR streaming.*Content-Encoding: gzip/, /gzip off/]] },
  },
  {
    what: 'what is silent is cut',
    kind: 'nginx',
    change: instead(/proxy_read_timeout 100s;/, `proxy_read_timeout ${SHORT};`),
    args: IDLE,
    finds: {
      idle: [
        [/WebSocket.*cut after/, /proxy_read_timeout/], [/stream.*cut after/, /proxy_read_timeout/], [/poll.*cut after .*504/, /proxy_read_timeout/],
      ],
    },
  },
  {
    what: 'nobody says who the client is',
    kind: 'nginx',
    change: without(/proxy_set_header X-Forwarded-.*\n/g),
    finds: {
      forwarding: [[/at 127\.0\.0\.1:\d+, which is the proxy/, /X-Forwarded-For/], [/it does not, though it did/, /X-Forwarded-Proto/]],
    },
  },
  {
    what: 'long bodies are refused',
    kind: 'nginx',
    change: instead(/listen /, 'client_max_body_size 1k; listen '),
    finds: { 'body size': [[/413/, /client_max_body_size/]] },
  },
  {
    what: 'the port of the broker is another',
    kind: 'nginx',
    change: (file) => file.replace(/server 127\.0\.0\.1:\d+;/, `server 127.0.0.1:${nobody};`),
    finds: Object.fromEntries(['upgrade', 'signature', 'fallbacks'].map((check) => [check, [[/502/, /right address and\s+port/]]])),
    untried: [...BY_SOCKET, 'CORS', 'body size'],
  },
  {
    what: 'only some paths are passed on',
    kind: 'nginx',
    change: instead(/location \/ \{/, 'location ~ ^/apps?/ {'),
    finds: { fallbacks: [[/404 Not Found by nginx.*page of the proxy's own/, /\/pusher\//]] },
    untried: ['CORS'],
  },
  {
    what: 'the query is left out',
    kind: 'nginx',
    change: instead(/proxy_pass http:\/\/heliostat;/, 'proxy_pass http://heliostat$uri;'),
    finds: {
      greeting: [[/no activity_timeout/, /query/]],
      signature: [[/Missing parameter/, /the query was lost/]],
      // Sessions of an unknown protocol are opened, and answered otherwise.
      fallbacks: [[/XHR streaming: .*subscription/, /./], [/XHR polling: .*subscription/, /./], [/the endless page of SockJS, JSONP.*500/, /the query was lost/]],
    },
    untried: [...BY_SOCKET.filter((check) => check !== 'greeting'), 'body size'],
  },
  {
    what: 'the proxy adds CORS headers of its own',
    kind: 'nginx',
    change: instead(/proxy_buffering off;/, 'proxy_buffering off; add_header Access-Control-Allow-Origin * always;'),
    finds: { CORS: Array(3).fill([/Access-Control-Allow-Origin twice/, /add_header/]) },
  },
  {
    what: 'the certificate has ended',
    kind: 'nginx',
    certified: 'ended',
    finds: { tls: [[/has expired/, /renew it/]] },
  },
  {
    what: 'the certificate is for another name',
    kind: 'haproxy',
    certified: 'other',
    finds: { tls: [[/not for 127\.0\.0\.1 but for other\.example/, /names 127\.0\.0\.1/]] },
  },
  {
    what: 'silent WebSockets are cut',
    kind: 'haproxy',
    change: instead(/timeout tunnel 100s/, `timeout tunnel ${SHORT}`),
    args: IDLE,
    finds: { idle: [[/WebSocket.*cut after/, /timeout tunnel/]] },
  },
  {
    what: 'silent answers are cut',
    kind: 'haproxy',
    change: instead(/timeout server 100s/, `timeout server ${SHORT}`),
    args: IDLE,
    finds: { idle: [[/stream.*cut after/, /timeout server/], [/poll.*cut after .*504/, /timeout server/]] },
  },
  {
    what: "the client's address is not told",
    kind: 'haproxy',
    change: without(/option forwardfor\n/),
    finds: { forwarding: [[/which is the proxy/, /option forwardfor/]] },
  },
  {
    what: 'it is not told that it was TLS',
    kind: 'haproxy',
    change: without(/http-request set-header X-Forwarded-Proto https\n/),
    finds: { forwarding: [[/it does not, though it did/, /X-Forwarded-Proto/]] },
  },
  {
    what: 'answers are collected',
    kind: 'haproxy',
    change: instead(/option http-no-delay/, 'http-response wait-for-body time 60s'),
    finds: { fallbacks: [[/XHR streaming.*keeps the answer back/, /wait-for-body/]] },
  },
  {
    what: 'what browsers ask before is refused',
    kind: 'haproxy',
    change: instead(/option http-no-delay/, 'http-request deny if METH_OPTIONS'),
    finds: { CORS: [[/OPTIONS.*403/, /OPTIONS/]] },
  },
  {
    what: 'the CORS headers of the broker are taken out',
    kind: 'haproxy',
    change: instead(/option http-no-delay/, 'http-response del-header Access-Control-Allow-Origin'),
    finds: { CORS: Array(3).fill([/no Access-Control-Allow-Origin/, /del-header/]) },
  },
  {
    what: 'the port of the broker is another',
    kind: 'haproxy',
    change: (file) => file.replace(/server one 127\.0\.0\.1:\d+/, `server one 127.0.0.1:${nobody}`),
    finds: Object.fromEntries(['upgrade', 'signature', 'fallbacks'].map((check) => [check, [[/503/, /health checks/]]])),
    untried: [...BY_SOCKET, 'CORS', 'body size'],
  },
  {
    what: 'answers are collected',
    kind: 'caddy',
    change: (file) => file.replace(/\treverse_proxy \{\s+to (\S+)/, '\treverse_proxy /pusher/* $1 {\n\t\tbuffer_responses\n\t}\n$&'),
    finds: { fallbacks: [[/XHR streaming, .*keeps the answer back/, /buffer_responses/]] },
  },
  {
    what: 'long bodies are refused',
    kind: 'caddy',
    change: instead(/\treverse_proxy \{/, '\trequest_body {\n\t\tmax_size 1KB\n\t}\n\treverse_proxy {'),
    finds: { 'body size': [[/(413|502).*not by the broker/, /max_size/]] },
  },
  {
    what: 'the proxy says that nothing is TLS',
    kind: 'caddy',
    change: instead(/flush_interval -1/, 'flush_interval -1\n\t\theader_up X-Forwarded-Proto http'),
    finds: { forwarding: [[/it does not, though it did/, /X-Forwarded-Proto/]] },
  },
  {
    what: 'a part of the path is cut off',
    kind: 'caddy',
    change: instead(/\treverse_proxy \{/, '\t@app path /app/*\n\turi @app strip_prefix /app\n\treverse_proxy {'),
    finds: { greeting: [[/4005/, /pass the path on/]] },
    untried: BY_SOCKET.filter((check) => check !== 'greeting'),
  },
];

let broker, folder, certificates;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'heliostat-doctor-'));
  const by = await authority(folder);
  const [good, ended, other] = await Promise.all([
    certificate(by, folder, { name: 'good' }),
    certificate(by, folder, { name: 'ended', until: '20210101000000Z' }),
    certificate(by, folder, { name: 'other', subject: 'DNS:other.example' }),
  ]);
  certificates = { authority: `${by}.crt`, good, ended, other };
  const admin = await freePort();
  broker = await startBroker({ args: [`--admin=${admin}`], env: { ...TRUSTING, HELIOSTAT_ADMIN_TOKEN: TOKEN } });
  broker.admin = `http://127.0.0.1:${admin}`;
});

after(async () => {
  await broker?.stop();
  await rm(folder, { recursive: true });
});

// Proves: clients.
describe('heliostat doctor', { concurrency: AT_ONCE }, () => {
  for (const kind of ['nginx', 'haproxy', 'caddy']) {
    test(`is content with the file for ${kind}`, async (t) => {
      const proxy = await startProxy(t, kind, [broker], { certified: certificates.good, end: ENDED_BY[kind] });
      const { findings, code } = await examined(proxy);
      assertFound(findings, {});
      assert.equal(code, 0);
    });
  }
  for (const { what, kind, change, certified = 'good', args = [], finds, untried = [] } of MISTAKES) {
    test(`${kind}: ${what}`, async (t) => {
      let changed = false;
      const proxy = await startProxy(t, kind, [broker], {
        certified: certificates[certified],
        end: ENDED_BY[kind],
        change(file) {
          const other = change ? change(file) : file;
          changed = other !== file || !change;
          return other;
        },
      });
      assert.ok(changed, 'the file is another one');
      const { findings, code } = await examined(proxy, args);
      assertFound(findings, finds, untried);
      assert.equal(code, 1);
    });
  }
});

/** What the doctor says of what is at the proxy. */
async function examined({ host, port }, args = []) {
  const child = spawn(BINARY, [
    'doctor', `https://${host}:${port}`, '--app', `${broker.appId}:${broker.key}:${broker.secret}`, '--json',
    '--ca-file', certificates.authority, '--admin', broker.admin, '--token', TOKEN, ...args,
  ], { stdio: ['ignore', 'pipe', 'pipe'], timeout: DEADLINE_MS });
  let [told, complaint] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text) => (told += text));
  child.stderr.setEncoding('utf8').on('data', (text) => (complaint += text));
  const [code] = await once(child, 'close');
  assert.equal(complaint, '');
  return { code, findings: told.trim().split('\n').map((line) => JSON.parse(line)) };
}

/** These checks complain, in these words, those are not tried, and all others are content. */
function assertFound(findings, finds, untried = []) {
  const shown = () => findings.map(({ mark, check, tried, came, change }) => `${mark} ${check}: ${tried}: ${came} → ${change}`).join('\n');
  for (const check of new Set([...findings.map(({ check }) => check), ...Object.keys(finds), ...untried])) {
    if (check === OF_THE_MACHINE) continue;
    const own = findings.filter((finding) => finding.check === check);
    assert.ok(own.length > 0, `nothing is told of ${check}\n${shown()}`);
    const skipped = own.filter(({ mark }) => mark === 'skipped');
    assert.equal(skipped.length > 0, untried.includes(check), `${check} is ${skipped.length ? 'not ' : ''}tried\n${shown()}`);
    const complaints = own.filter(({ mark, change }) => ['fault', 'warning'].includes(mark) && !OF_SLOWNESS.test(change));
    const expected = finds[check] ?? [];
    assert.equal(complaints.length, expected.length, `complaints of ${check}\n${shown()}`);
    expected.forEach(([what, toDo], n) => {
      const { tried, came, change } = complaints[n];
      assert.match(`${tried}: ${came}`, what, shown());
      assert.match(change, toDo, shown());
    });
  }
}

function without(pattern) {
  return (file) => file.replace(pattern, '');
}

function instead(pattern, by) {
  return (file) => file.replace(pattern, by.replaceAll('$', '$$$$'));
}
