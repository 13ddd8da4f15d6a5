// The server program of 2012: two pages, and a pipe client that hears each camera frame on `stream` and sends it on to
// `mirror`. The client is the original npm package; only host and port are not what they were.

import { createRequire } from 'node:module';
import { servePages } from './pages.js';
import { app, broker } from './settings.js';

const Pipe = createRequire(import.meta.url)('pusher-pipe');

servePages();

const client = Pipe.createClient({ app_id: app.id, key: app.key, secret: app.secret, ...broker });

client.subscribe(['socket_message']);
client.channel('stream').on('event:frame', (socketId, { dataUrl }) => {
  client.channel('mirror').trigger('frame', { message: 'Sending frame', dataUrl });
});
client.on('connected', () => console.log('connected'));
client.on('error', (error) => console.error(`the broker says: ${error.message} (${error.errno ?? error.code})`));
client.connect();
