// The chat's backend. It knows Pusher by the variables that every Pusher app has, and nothing of its tests.
//
// There are no passwords here: whoever says to be Ann is Ann.

import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { fileURLToPath } from 'node:url';
import Pusher from 'pusher';

const ROOM = 'presence-lobby';
const TOPIC = 'cache-topic';

/** How often an event is published again that Pusher has failed to take. */
const RETRIES = 2;

/** How long Pusher may take to answer, in milliseconds. */
const PATIENCE_MS = 1000;

const FILES = {
  '/': ['public/index.html', 'text/html; charset=utf-8'],
  '/chat.js': ['public/chat.js', 'text/javascript; charset=utf-8'],
  '/style.css': ['public/style.css', 'text/css; charset=utf-8'],
  '/pusher.js': ['node_modules/pusher-js/dist/web/pusher.min.js', 'text/javascript; charset=utf-8'],
};

/** What Pusher is reached by: that of the environment, unless somebody knows better. */
function fromEnvironment(env = process.env) {
  return {
    appId: env.PUSHER_APP_ID,
    key: env.PUSHER_APP_KEY,
    secret: env.PUSHER_APP_SECRET,
    host: env.PUSHER_HOST,
    port: env.PUSHER_PORT,
    useTLS: env.PUSHER_SCHEME === 'https',
  };
}

/** The chat, as the handler of an HTTP server. `options` are those of the package `pusher`. */
export function chat(options = fromEnvironment(), patienceMs = PATIENCE_MS) {
  const pusher = new Pusher({ ...options, timeout: patienceMs });
  const messages = [];
  const unwelcome = new Set();
  const presence = new Map();

  // Pusher fails now and then. What it has refused for good is not tried again.
  async function publish(send) {
    for (let attempt = 0; ; attempt += 1) {
      try {
        return await send();
      } catch (error) {
        if (attempt === RETRIES || (error.status >= 400 && error.status < 500)) {
          throw Object.assign(error, { answer: 502, said: 'Pusher could not be reached.' });
        }
      }
    }
  }

  const routes = {
    // What a page must know to connect. The secret stays here.
    'GET /config': () => ({ key: options.key, host: options.host, port: Number(options.port), tls: options.useTLS }),

    'POST /user-auth': ({ socket_id, name }) => pusher.authenticateUser(socket_id, { id: name }),

    'POST /auth': ({ socket_id, channel_name, name }) => {
      if (unwelcome.has(name)) throw refusal(403, `${name} is not welcome here.`);
      return pusher.authorizeChannel(socket_id, channel_name, { user_id: name });
    },

    // Everybody but the page that sent it is told by Pusher. Its own `id` tells whether it is sent once more.
    'POST /messages': async ({ id, from, text, socket_id }) => {
      let message = messages.find((known) => known.id === id);
      if (!message) {
        message = { number: messages.length + 1, id, from, text };
        messages.push(message);
      }
      await publish(() => pusher.trigger(ROOM, 'message', message, { socket_id }));
      return message;
    },

    // For pages that have missed some.
    'GET /messages': ({ after }) => messages.filter((message) => message.number > Number(after)),

    'POST /topic': async ({ text }) => {
      await publish(() => pusher.trigger(TOPIC, 'topic', { text }));
      return {};
    },

    'POST /notes': async ({ from, to, text }) => {
      await publish(() => pusher.sendToUser(to, 'note', { from, text }));
      return {};
    },

    'POST /show-out': async ({ name }) => {
      unwelcome.add(name);
      await publish(() => pusher.terminateUserConnections(name));
      return {};
    },

    'POST /webhooks': (_, request, body) => {
      const webhook = pusher.webhook({ headers: request.headers, rawBody: body });
      if (!webhook.isValid()) throw refusal(401, 'This webhook is not signed by Pusher.');
      for (const { name, channel, user_id } of webhook.getEvents()) {
        if (channel === ROOM && name === 'member_added') presence.set(user_id, 'here');
        if (channel === ROOM && name === 'member_removed') presence.set(user_id, 'away');
      }
      return {};
    },

    // Who was ever here, as the webhooks have told it.
    'GET /people': () => Object.fromEntries(presence),
  };

  return async (request, response) => {
    const url = new URL(request.url, 'http://localhost');
    try {
      const file = request.method === 'GET' && FILES[url.pathname];
      if (file) return answer(response, 200, file[1], await readFile(new URL(file[0], import.meta.url)));
      const route = routes[`${request.method} ${url.pathname}`];
      if (!route) throw refusal(404, `There is no ${request.method} ${url.pathname}.`);
      const body = await read(request);
      const said = await route(parse(request, url, body), request, body);
      answer(response, 200, 'application/json', JSON.stringify(said));
    } catch (error) {
      const said = JSON.stringify({ error: error.said ?? 'Something went wrong.' });
      answer(response, error.answer ?? 500, 'application/json', said);
    }
  };
}

function refusal(answer, said) {
  return Object.assign(new Error(said), { answer, said });
}

function answer(response, status, type, body) {
  response.writeHead(status, { 'Content-Type': type, 'Cache-Control': 'no-store' });
  response.end(body);
}

async function read(request) {
  const parts = [];
  for await (const part of request) parts.push(part);
  return Buffer.concat(parts).toString();
}

// pusher-js sends forms, the page JSON.
function parse(request, url, body) {
  const type = request.headers['content-type'] ?? '';
  if (type.startsWith('application/x-www-form-urlencoded')) return Object.fromEntries(new URLSearchParams(body));
  if (body && type.startsWith('application/json')) return JSON.parse(body);
  return Object.fromEntries(url.searchParams);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const port = Number(process.env.PORT ?? 3000);
  createServer(chat()).listen(port, '127.0.0.1', () => console.log(`http://127.0.0.1:${port}/?name=Ann`));
}
