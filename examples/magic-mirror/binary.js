// Binary messages for pusher-js 4 to 8: a camera's picture goes over the wire as it is, without a data URL around it.
//
//   import { enableBinary } from './binary.js';
//   const binary = enableBinary(Pusher);            // once, before the first `new Pusher(…)`
//   binary.send(pusher, channel, event, bytes, { mediaType, members })   // false: send a data URL instead
//   channel.bind(event, (data) => …)                // data.blob is the picture, data.* its members
//                                                   // contentOf(data): the same as bytes, at once
//
// A broker that knows nothing of it is spoken to as ever: `send` answers false and nothing binary is sent. The layout of
// a message is specified in docs/binary.md.

const VERSION = 1;
const HEADER_BYTES = 12;
/** Channel, event, media type, user id, members: each with a length of two bytes. */
const TEXTS = 5;
const LONGEST_TEXT = 0xffff;

/** The content of the messages that were handed out. */
const contents = new WeakMap();

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: true });

/**
 * Lets every connection that `Pusher` opens from now on ask for binary messages, and hands those that come to the
 * bindings of their channel, like any other event.
 */
export function enableBinary(Pusher) {
  const runtime = Pusher.Runtime;
  const isBrowsers = runtime?.getWebSocketAPI?.()?.prototype instanceof EventTarget;
  if (!isBrowsers || typeof runtime.createWebSocket !== 'function') return { send: () => false, limit: () => 0 };
  if (runtime.heliostatBinary) return runtime.heliostatBinary;

  /** How large a message may be, of the sockets whose broker has said so. */
  const limits = new WeakMap();
  const createWebSocket = runtime.createWebSocket;

  runtime.createWebSocket = function createBinaryWebSocket(url, ...rest) {
    const socket = createWebSocket.call(this, withBinary(url), ...rest);
    socket.binaryType = 'arraybuffer';
    // Heard before pusher-js, which sets its own handler after this.
    socket.addEventListener('message', (event) => {
      if (typeof event.data === 'string') {
        if (!limits.has(socket)) limits.set(socket, grantedBytes(event.data));
        return;
      }
      // pusher-js would take it for broken JSON.
      event.stopImmediatePropagation();
      deliver(Pusher, socket, event.data);
    });
    return socket;
  };

  const limit = (pusher) => {
    const socket = socketOf(pusher);
    return (socket && pusher.connection.state === 'connected' && limits.get(socket)) || 0;
  };

  const send = (pusher, channel, event, bytes, { mediaType, members = {} }) => {
    const most = limit(pusher);
    if (most === 0) return false;
    const message = encode({ channel, event, mediaType, members, bytes });
    if (message === null || message.byteLength > most) return false;
    const socket = socketOf(pusher);
    // It may be on its way out before anybody is told.
    if (socket.readyState > WebSocket.OPEN) return false;
    socket.send(message);
    return true;
  };

  runtime.heliostatBinary = { send, limit };
  return runtime.heliostatBinary;
}

/** A message as bytes; null if one of its texts is too long for the layout. */
export function encode({ channel, event, mediaType, members = {}, bytes }) {
  const texts = [channel, event, mediaType, '', Object.keys(members).length > 0 ? JSON.stringify(members) : '']
    .map((text) => encoder.encode(text));
  if (texts.some(({ length }) => length > LONGEST_TEXT)) return null;
  const content = bytes instanceof ArrayBuffer ? new Uint8Array(bytes) : new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const before = texts.reduce((sum, { length }) => sum + length, HEADER_BYTES);
  const message = new Uint8Array(before + content.length);
  const view = new DataView(message.buffer);
  view.setUint8(0, VERSION);
  let at = HEADER_BYTES;
  texts.forEach((text, index) => {
    view.setUint16(2 + 2 * index, text.length);
    message.set(text, at);
    at += text.length;
  });
  message.set(content, at);
  return message;
}

/** What a message says; null if it is none of this version. */
export function decode(buffer) {
  const view = new DataView(buffer);
  if (buffer.byteLength < HEADER_BYTES || view.getUint8(0) !== VERSION) return null;
  let at = HEADER_BYTES;
  try {
    const [channel, event, mediaType, userId, members] = Array.from({ length: TEXTS }, (_, index) => {
      const length = view.getUint16(2 + 2 * index);
      at += length;
      return decoder.decode(new Uint8Array(buffer, at - length, length));
    });
    return { channel, event, mediaType, userId, members: members ? JSON.parse(members) : {}, bytes: new Uint8Array(buffer, at) };
  } catch {
    return null;
  }
}

/** A message as its bindings get it: its members, and a `blob` that is made when somebody asks for it. */
export function dataOf({ mediaType, members, bytes }) {
  let blob = null;
  const data = Object.defineProperty({ ...members }, 'blob', {
    enumerable: true,
    get: () => { blob ??= new Blob([bytes], { type: mediaType }); return blob; },
  });
  contents.set(data, { mediaType, members, bytes });
  return data;
}

/** What came as a binary message, as `{ mediaType, members, bytes }`: null for what came as JSON. */
export function contentOf(data) {
  return contents.get(data) ?? null;
}

/** Hands a message to the connection that its socket belongs to, as if it had come as JSON. */
function deliver(Pusher, socket, buffer) {
  const pusher = Pusher.instances.find((instance) => socketOf(instance) === socket);
  const message = decode(buffer);
  if (!pusher || !message) return;
  const { channel, event, mediaType, userId, members, bytes } = message;
  const data = dataOf({ mediaType, members, bytes });
  // What pusher-js itself emits for a frame: it counts as a sign of life, and goes to whatever is bound.
  const connection = pusher.connection.connection ?? pusher.connection;
  connection.emit('message', { event, channel, data, ...(userId && { user_id: userId }) });
}

/** The WebSocket under a connection, while there is one. */
function socketOf(pusher) {
  return pusher.connection?.connection?.transport?.socket ?? null;
}

/** How large a binary message may be, as the first frame tells; 0 if the broker does not know them. */
function grantedBytes(text) {
  try {
    const { event, data } = JSON.parse(text);
    if (event !== 'pusher:connection_established') return 0;
    return JSON.parse(data).binary_message_bytes ?? 0;
  } catch {
    return 0;
  }
}

function withBinary(url) {
  return `${url}${url.includes('?') ? '&' : '?'}binary=1`;
}
