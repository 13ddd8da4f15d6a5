// The page's one connection to the broker: loads pusher-js, connects, and says in words how that goes.

import { enableBinary } from './binary.js';
import { socketUrl } from './settings.js';

/** How long pusher-js may try before it reports `unavailable`; it goes on trying after that. */
const UNAVAILABLE_AFTER_MS = 5000;

/** What sends binary messages, unless they are unwanted. */
let binary = null;

/** Connects to the broker; resolves as soon as pusher-js is loaded, connected or not. */
export async function connect(settings) {
  const Pusher = await loadPusher(settings.scripts);
  if (settings.binary) binary = enableBinary(Pusher);
  return new Pusher(settings.key, {
    // pusher-js insists on a cluster; with wsHost given it has no further meaning.
    cluster: 'heliostat',
    wsHost: settings.host,
    wsPort: settings.port,
    wssPort: settings.port,
    ...(settings.path && { wsPath: settings.path }),
    forceTLS: settings.tls,
    enabledTransports: ['ws', 'wss'],
    unavailableTimeout: UNAVAILABLE_AFTER_MS,
    channelAuthorization: { endpoint: settings.auth, transport: 'ajax' },
  });
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
    const { code, message } = errorDetail(error);
    if (code >= 4000 && code < 4300) refusal = { code, message };
  });
  pusher.connection.bind('state_change', ({ current }) => {
    // Each new attempt may end differently from the one before.
    if (current === 'connected' || current === 'connecting') refusal = null;
    update(current);
  });
  // Between losing a socket and trying the next one pusher-js still calls itself connected.
  pusher.connection.bind('connecting_in', () => update('connecting'));
  update(pusher.connection.state);
}

/** Code and message of anything pusher-js reports as an error: a `pusher:error` frame or a close code. */
export function errorDetail(error) {
  const detail = error?.error?.data ?? error?.data ?? error?.error ?? error ?? {};
  return { code: detail.code ?? null, message: String(detail.message ?? detail.type ?? 'unknown error') };
}

/** How large a binary message may be; 0 where the broker takes none, and until it has said that it does. */
export function binaryLimit(pusher) {
  return binary?.limit(pusher) ?? 0;
}

/** Sends a frame as a binary message. */
export function sendBinary(pusher, channel, event, bytes, about) {
  return binary?.send(pusher, channel, event, bytes, about) ?? false;
}

/** Bytes that were handed to the socket and have not left it; null where that cannot be seen. */
export function unsentBytes(pusher) {
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
      return ['bad', 'This browser cannot open WebSockets'];
    case 'disconnected':
      return ['bad', `Disconnected from ${where}`];
    default:
      return ['wait', `Connecting to ${socketUrl(settings)}…`];
  }
}

async function loadPusher(scripts) {
  for (const url of new Set(scripts)) {
    if (await loadScript(url) && globalThis.Pusher) return globalThis.Pusher;
  }
  throw new Error('pusher-js could not be loaded. Run npm install in examples/magic-mirror, or go online once.');
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
