// Where the broker is, and with which key to knock.
//
// A page that heliostat serves asks `dev/config.json` for the key and takes the address from its own URL,
// so the same page works under a path prefix and behind a TLS proxy. A page from any other server
// names the broker in its query: ?host=…&port=…&key=…&path=…&auth=…&client=own

const CDN = 'https://js.pusher.com/8.4/pusher.min.js';
const VENDORED = 'vendor/pusher.min.js';
const INSTALLED = 'node_modules/pusher-js/dist/web/pusher.min.js';
const DEFAULT_PORT = 6001;
const DEFAULT_KEY = 'app-key';

/**
 * @typedef {object} Settings
 * @property {boolean} served  whether heliostat itself served this page
 * @property {string} host     name or address of the broker, as a URL spells it
 * @property {number} port
 * @property {boolean} tls     follows the page: an https page may only open wss
 * @property {string} path     path prefix, '' or '/x'
 * @property {string} key
 * @property {string} appId    empty when unknown
 * @property {string} secret   empty when unknown
 * @property {string} auth     URL that signs private and presence channels
 * @property {boolean} ownClient  whether to do without pusher-js although it may be there
 * @property {string[]} addresses  by which other machines reach the broker, where it tells
 * @property {string} console  URL of the broker's console, empty where there is none that this page could lead to
 * @property {boolean} binary  whether pictures may go as binary messages where the broker takes them
 * @property {string[]} scripts  where pusher-js may be found, best first
 */

/** @returns {Promise<Settings>} */
export async function loadSettings(page = location) {
  const query = new URLSearchParams(page.search);
  const ask = !query.has('host') && page.protocol.startsWith('http');
  const config = ask ? await runningConfig() : null;
  const served = config !== null || (ask && await brokerIsHere());
  const tls = page.protocol === 'https:';
  const own = addressOf(page, tls);
  const address = served ? own : { host: own.host || '127.0.0.1', port: DEFAULT_PORT, path: '' };
  const key = query.get('key') || config?.key || DEFAULT_KEY;
  const known = key === config?.key;

  const host = query.get('host') || address.host;
  const port = portNumber(query.get('port')) ?? address.port;
  const path = query.has('path') ? prefix(query.get('path')) : address.path;
  const origin = `${tls ? 'https' : 'http'}://${host}:${port}${path}`;

  return {
    served,
    host,
    port,
    tls,
    path,
    key,
    appId: known ? config.app_id : '',
    secret: known ? config.secret : '',
    auth: query.get('auth') || `${origin}/dev/auth`,
    ownClient: query.get('client') === 'own',
    addresses: config?.addresses ?? [],
    console: config?.console ?? '',
    binary: query.get('binary') !== '0',
    scripts: served ? [config?.pusher_js || VENDORED, VENDORED, CDN] : [INSTALLED, CDN],
  };
}

/** Shows the way to the console, where there is one. */
export function showConsole({ console }) {
  const link = document.getElementById('console');
  link.hidden = !console;
  if (console) link.href = console;
}

/** The settings as the URL a client's socket is opened with; for people to read. */
export function socketUrl({ tls, host, port, path, key }) {
  return `${tls ? 'wss' : 'ws'}://${host}:${port}${path}/app/${key}`;
}

/** Where other machines find this page's folder, if this one was opened in a way that leads nowhere from there. */
export function elsewhere({ served, tls, port, path, addresses }, page = location) {
  const loopback = /^(localhost|.*\.localhost|127\.[\d.]+|\[::1\])$/.test(page.hostname);
  if (!served || !loopback) return [];
  const named = addresses.map((address) => (address.includes(':') ? `[${address}]` : address));
  return named.map((host) => `${tls ? 'https' : 'http'}://${host}:${port}${path}`);
}

/** What the broker tells about itself; null when there is none here or it keeps that to itself. */
async function runningConfig() {
  try {
    const answer = await fetch('dev/config.json', { cache: 'no-store' });
    const config = answer.ok ? await answer.json() : null;
    return config?.key ? config : null;
  } catch {
    return null;
  }
}

/** Whether the broker serves this page even though it does not tell its credentials. */
async function brokerIsHere() {
  try {
    const answer = await fetch('health', { cache: 'no-store' });
    return answer.ok && (await answer.text()).trim() === 'ok';
  } catch {
    return false;
  }
}

/** The broker's address when it served this page: the page's own, up to its last slash. */
function addressOf(page, tls) {
  return {
    host: page.hostname,
    port: portNumber(page.port) ?? (tls ? 443 : 80),
    path: prefix(page.pathname.replace(/[^/]*$/, '')),
  };
}

function prefix(text) {
  const trimmed = text.replace(/^\/+|\/+$/g, '');
  return trimmed && `/${trimmed}`;
}

function portNumber(text) {
  return /^\d{1,5}$/.test(text ?? '') ? Number(text) : null;
}
