// The same backend without the old package: the pipe's protocol 1.0 over a plain WebSocket, with a filter, so that
// nothing but camera frames comes.

import { createHmac } from 'node:crypto';
import WebSocket from 'ws';
import { servePages } from './pages.js';
import { app, broker } from './settings.js';

const FIRST_RETRY_MS = 250;
const LONGEST_RETRY_MS = 10_000;

function url() {
  const path = `/app/${app.id}`;
  const seconds = Math.floor(Date.now() / 1000);
  const params = `auth_key=${app.key}&auth_timestamp=${seconds}&auth_version=1.0&protocol_version=1.0`;
  const signature = createHmac('sha256', app.secret).update(`WEBSOCKET\n${path}\n${params}`).digest('hex');
  return `ws://${broker.host}:${broker.port}${path}?${params}&auth_signature=${signature}`;
}

function connect(retryMs = FIRST_RETRY_MS) {
  const socket = new WebSocket(url());
  // Without an id nothing is answered, unless something is wrong.
  const request = (method, params, id) => socket.send(JSON.stringify({ id, method, params }));
  let next = Math.min(retryMs * 2, LONGEST_RETRY_MS);

  socket.on('open', () => request('subscribe', { events: ['socket_message'], channels: ['stream'], names: ['frame'] }, 1));
  socket.on('message', (text) => {
    const { id, error, result } = JSON.parse(text);
    if (error) console.error(`the broker says: ${error.message} (${error.code})`);
    else if (id === 1) {
      next = FIRST_RETRY_MS;
      console.log('connected');
    } else if (result?.event === 'socket_message') {
      const { dataUrl } = result.data.data;
      request('send_to_channel', { channel: 'mirror', event: 'frame', data: { message: 'Sending frame', dataUrl } });
    } else if (result?.event === 'missed') console.warn(`${result.data.count} frames were missed`);
  });
  socket.on('error', (error) => console.error(error.message));
  socket.on('close', () => setTimeout(connect, next, next));
}

servePages();
connect();
