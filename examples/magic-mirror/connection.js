// The page's one connection to the broker: loads pusher-js or does without, connects, and says in words how that goes.

import { enableBinary } from './binary.js';
import { Client } from './client.js';
import { reconnectSooner } from './reconnect.js';
import { socketUrl } from './settings.js';

/** How long a client may try before it reports `unavailable`; it goes on trying after that. */
const UNAVAILABLE_AFTER_MS = 5000;
/** pusher-js has to be there by then, or the page goes on without it. */
const PUSHER_JS_WITHIN_MS = 2500;
/** A connection over HTTP is given up for a WebSocket at most so often. */
const WEBSOCKET_TRIED_EVERY_MS = 60_000;

/** What sends binary messages, unless they are unwanted. */
let binary = null;

/**
 * Connects to the broker, by pusher-js or, where that cannot be loaded, by the client beside this file; resolves as soon
 * as that is known, connected or not. `userId` is how it is called where it is a member.
 */
export async function connect(settings, userId) {
  const Pusher = settings.ownClient ? null : await loadPusher(settings.scripts);
  const options = {
    // pusher-js insists on a cluster; with the hosts given it has no further meaning.
    cluster: 'heliostat',
    wsHost: settings.host,
    wsPort: settings.port,
    wssPort: settings.port,
    httpHost: settings.host,
    httpPort: settings.port,
    httpsPort: settings.port,
    ...(settings.path && { wsPath: settings.path, httpPath: `${settings.path}/pusher` }),
    forceTLS: settings.tls,
    unavailableTimeout: UNAVAILABLE_AFTER_MS,
    channelAuthorization: { endpoint: settings.auth, transport: 'ajax', ...(userId && { params: { user_id: userId } }) },
  };
  if (!Pusher) {
    const client = new Client(settings.key, { ...options, binary: settings.binary });
    if (settings.binary) binary = { limit: () => client.binaryLimit, send: (_, ...message) => client.sendBinary(...message) };
    return client;
  }
  if (settings.binary) binary = enableBinary(Pusher);
  const pusher = new Pusher(settings.key, options);
  reconnectSooner(pusher);
  preferWebSockets(pusher);
  return pusher;
}

/** Says which client the page has got. */
export function showClient(pusher, settings, element) {
  const why = settings.ownClient ? '' : ', because pusher-js could not be loaded';
  element.textContent = pusher instanceof Client
    ? `Connected by heliostat’s own small client${why}.`
    : `Connected by pusher-js ${pusher.timeline?.options?.version ?? ''}`.trim() + '.';
}

/**
 * Keeps a status light up to date: `light` gets a data-tone (`good`, `wait` or `bad`) and a sentence.
 * `changed` hears the same, as `{ tone, text }`.
 */
export function showConnection(pusher, settings, light, changed = () => {}) {
  let refusal = null;

  const show = (tone, text) => {
    light.dataset.tone = tone;
    light.textContent = text;
    changed({ tone, text });
  };
  const update = (state) => show(...describe(state, settings, refusal));

  pusher.connection.bind('error', (error) => {
    const refused = refusalIn(error);
    // An attempt that fails without a word says more about the present than a refusal of the one before.
    if (!refused || endsConnection(refused)) refusal = refused;
  });
  pusher.connection.bind('state_change', ({ current }) => {
    // Each new attempt may end differently from the one before.
    if (current === 'connected' || current === 'connecting') refusal = null;
    update(current);
  });
  // Between losing a socket and trying the next one pusher-js still calls itself connected.
  pusher.connection.bind('connecting_in', () => {
    const { state } = pusher.connection;
    update(state === 'connected' ? 'connecting' : state);
  });
  update(pusher.connection.state);
}

/**
 * What the broker refused, as `{ code, message }`, of anything that is reported as an error: the close code of a
 * connection, or a `pusher:error`, whose code may be null. null for what is no refusal: an attempt that failed, a line
 * that broke off.
 */
export function refusalIn(error) {
  const { code = null, message } = error?.error?.data ?? error?.data ?? {};
  const isBrokers = code === null || (code >= 4000 && code < 5000);
  return typeof message === 'string' && isBrokers ? { code, message } : null;
}

/** Whether a refusal is the end of the connection, and not of one message. */
export function endsConnection({ code }) {
  return code >= 4000 && code < 4300;
}

/** How large a binary message may be; 0 where the broker takes none, and until it has said that it does. */
export function binaryLimit(pusher) {
  return binary?.limit(pusher) ?? 0;
}

/** Sends a frame as a binary message. */
export function sendBinary(pusher, channel, event, bytes, about) {
  return binary?.send(pusher, channel, event, bytes, about) ?? false;
}

/**
 * After a line was cut pusher-js may come back over one of its fallbacks, which take no video, and stay there. Where a
 * WebSocket has worked on this page before, it is tried again.
 */
function preferWebSockets(pusher) {
  let hasWorked = false;
  let triedAt = -Infinity;
  pusher.connection.bind('connected', () => {
    const isWebSocket = unsentBytes(pusher) !== null;
    hasWorked ||= isWebSocket;
    const now = performance.now();
    if (isWebSocket || !hasWorked || now - triedAt < WEBSOCKET_TRIED_EVERY_MS) return;
    triedAt = now;
    setTimeout(() => {
      forgetTransport();
      pusher.disconnect();
      pusher.connect();
    });
  });
}

/** pusher-js begins with what it came by last. */
function forgetTransport() {
  try {
    for (const name of ['pusherTransportTLS', 'pusherTransportNonTLS']) localStorage.removeItem(name);
  } catch {
    // Storage is blocked: then it has remembered nothing.
  }
}

/** Bytes that were handed to the socket and have not left it; null where that cannot be seen. */
export function unsentBytes(pusher) {
  if (pusher instanceof Client) return pusher.unsentBytes;
  const socket = pusher.connection.connection?.transport?.socket;
  return typeof socket?.bufferedAmount === 'number' ? socket.bufferedAmount : null;
}

function describe(state, settings, refusal) {
  const where = `${settings.host}:${settings.port}`;
  if (refusal && state !== 'connected') {
    return state === 'disconnected'
      ? ['bad', `Refused by the broker: ${refusal.message} (${refusal.code})`]
      : ['wait', `Sent away for now: ${refusal.message} (${refusal.code}). Trying again…`];
  }
  switch (state) {
    case 'connected':
      return ['good', `Connected to ${where}`];
    case 'unavailable':
      return ['bad', `No broker answers at ${where}. Still trying…`];
    case 'failed':
      return ['bad', 'This browser can open no connection to a broker'];
    case 'disconnected':
      return ['bad', `Disconnected from ${where}`];
    default:
      return ['wait', `Connecting to ${socketUrl(settings)}…`];
  }
}

/** pusher-js from the first place that has it; null where none has, or not in time. */
async function loadPusher(scripts) {
  const late = new Promise((resolve) => { setTimeout(resolve, PUSHER_JS_WITHIN_MS, 'late'); });
  for (const url of new Set(scripts)) {
    const outcome = await Promise.race([loadScript(url), late]);
    if (outcome === 'late') return null;
    if (outcome && globalThis.Pusher) return globalThis.Pusher;
  }
  return null;
}

function loadScript(url) {
  return new Promise((resolve) => {
    const script = document.createElement('script');
    script.src = url;
    script.onload = () => resolve(true);
    script.onerror = () => { script.remove(); resolve(false); };
    document.head.append(script);
  });
}
