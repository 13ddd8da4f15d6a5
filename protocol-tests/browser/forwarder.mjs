// A port that hands every connection on to a broker, and can do so badly.

import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';
import { cleanup } from './cleanup.mjs';

/** A request head longer than this is passed on unread. */
const HEAD_BYTES = 16_384;
const TLS_HANDSHAKE = 0x16;
/** What a slow line passes on at a time. */
const SLICE_BYTES = 1024;

/**
 * Forwards connections to `broker` until it is told another. Connections that ask for a WebSocket fare as `upgrades`
 * says: they `pass`, they are answered with an error (`refuse`), or they are accepted and never answered (`hang`), as
 * middle boxes do that know nothing of WebSockets. So do attempts at TLS, which it does not speak, unless they pass.
 *
 * @param {import('node:test').TestContext} t
 * @param {{ host: string, port: number }} broker
 * @param {'pass' | 'refuse' | 'hang'} upgrades
 */
export async function forwarder(t, broker, upgrades = 'pass') {
  let target = broker;
  let bytesPerSecond = Infinity;
  let awaited = null;
  const sockets = new Set();
  const keep = (socket) => {
    sockets.add(socket);
    socket.on('error', () => socket.destroy());
    socket.on('close', () => sockets.delete(socket));
  };
  const pass = (client, head) => {
    const onward = connect(target.port, target.host);
    keep(onward);
    onward.write(head);
    client.pipe(onward);
    passOn(onward, client, () => bytesPerSecond).catch(() => client.destroy());
    client.on('close', () => onward.destroy());
    onward.on('close', () => client.destroy());
  };
  const fail = (client) => {
    if (upgrades === 'hang') client.resume();
    else client.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n');
  };

  const server = createServer((client) => {
    keep(client);
    client.setNoDelay(true);
    let head = Buffer.alloc(0);
    const read = (bytes) => {
      head = Buffer.concat([head, bytes]);
      const tls = head[0] === TLS_HANDSHAKE;
      if (!tls && !head.includes('\r\n\r\n') && head.length < HEAD_BYTES) return;
      client.off('data', read);
      client.pause();
      const text = head.toString('latin1');
      if (awaited?.test(text)) awaited = null;
      const blocked = tls || /^upgrade: *websocket/im.test(text);
      if (blocked && (upgrades !== 'pass' || awaited)) fail(client);
      else pass(client, head);
    };
    client.on('data', read);
  });
  await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  cleanup(t, () => new Promise((resolve) => {
    server.close(resolve);
    for (const socket of sockets) socket.destroy();
  }));
  const { port } = server.address();
  return {
    host: '127.0.0.1',
    port,
    url: `http://127.0.0.1:${port}`,
    forwardTo: (other) => { target = other; },
    /** WebSockets are refused until a request comes that this pattern fits. */
    refuseUntil: (pattern) => { awaited = pattern; },
    /** From now on connections are sent no more than this. */
    slowTo: (rate) => { bytesPerSecond = rate; },
    /** Ends every connection, without a word. */
    cut: () => { for (const socket of sockets) socket.destroy(); },
  };
}

async function passOn(from, to, rate) {
  let free = performance.now();
  for await (const chunk of from) {
    const size = Number.isFinite(rate()) ? SLICE_BYTES : chunk.length;
    for (let at = 0; at < chunk.length; at += size) {
      const slice = chunk.subarray(at, at + size);
      if (!to.write(slice)) await once(to, 'drain');
      free = Math.max(free, performance.now() - 20) + (slice.length * 1000) / rate();
      if (free > performance.now()) await wait(free - performance.now());
    }
  }
  to.end();
}
