// A small server for pages that do not come from the broker. (Pages made up inside the browser will not do:
// it does not let those reach the local network.)

import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cleanup } from './cleanup.mjs';

const TYPES = { '.html': 'text/html; charset=utf-8', '.css': 'text/css', '.js': 'text/javascript' };
const LIBRARIES = fileURLToPath(new URL('node_modules/', import.meta.url));

/**
 * Serves the given pages (path to HTML), the files of `folder` if there is one, the installed libraries under
 * /node_modules/, and some of their files (path to file) elsewhere. Returns its origin.
 */
export async function serve(t, { pages = {}, folder = null, libraries = {} } = {}) {
  const read = (path) => {
    if (path in pages) return pages[path];
    if (path in libraries) return readFile(LIBRARIES + libraries[path]);
    if (path.startsWith('/node_modules/')) return readFile(LIBRARIES + path.slice('/node_modules/'.length));
    if (!folder) throw new Error(`nothing at ${path}`);
    return readFile(folder + path.slice(1));
  };
  const server = createServer(async ({ url }, response) => {
    // URL() has already resolved any `..`.
    const { pathname } = new URL(url, 'http://static');
    try {
      const body = await read(pathname);
      response.writeHead(200, { 'content-type': TYPES[extname(pathname) || '.html'] ?? 'application/octet-stream' }).end(body);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  cleanup(t, () => new Promise((resolve) => {
    server.close(resolve);
    server.closeAllConnections();
  }));
  return `http://127.0.0.1:${server.address().port}`;
}
