// The web server of the experiment: /stream sends the camera's pictures, /mirror shows them. Run by itself it serves the
// pages alone, for a backend that is somewhere else: a rule, or a hook in Rust.

import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { fileURLToPath } from 'node:url';
import { app, broker, pagesPort } from './settings.js';

const folder = new URL('pages/', import.meta.url);
const FILES = {
  '/': 'stream.html',
  '/stream': 'stream.html',
  '/mirror': 'mirror.html',
  '/pusher.js': fileURLToPath(import.meta.resolve('pusher-js/dist/web/pusher.js')),
};

/** Serves the pages and says where. */
export function servePages() {
  const server = createServer(async ({ url }, response) => {
    const { pathname } = new URL(url, 'http://pages');
    if (pathname === '/settings.json') {
      // The secret stays here.
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ ...broker, key: app.key }));
    } else if (FILES[pathname]) {
      const type = pathname.endsWith('.js') ? 'text/javascript' : 'text/html; charset=utf-8';
      const file = FILES[pathname].startsWith('/') ? FILES[pathname] : new URL(FILES[pathname], folder);
      response.writeHead(200, { 'content-type': type }).end(await readFile(file));
    } else {
      response.writeHead(404).end();
    }
  });
  server.listen(pagesPort, '127.0.0.1', () => {
    const { port } = server.address();
    console.log(`pages on http://127.0.0.1:${port}/stream and http://127.0.0.1:${port}/mirror`);
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) servePages();
