// The application's own auth endpoints, as every pusher-js release and Laravel Echo call them: a form post with
// `socket_id`, and `channel_name` for a channel or nothing for the user, answered with what the server library signs. The
// rest of the form is how a test says who the member or the user is and what should go wrong.

import { createServer } from 'node:http';
import { once } from 'node:events';

/** @returns {Promise<{ url: string, userUrl: string, stop(): Promise<void> }>} */
export async function startAuthEndpoint(library) {
  const server = createServer(async (request, response) => {
    const form = new URLSearchParams(await text(request));
    if (form.has('refuse')) {
      response.writeHead(Number(form.get('refuse')), { 'content-type': 'text/plain' }).end('not you');
      return;
    }
    const channel = form.get('channel_name');
    const answer =
      request.url === '/user-auth'
        ? library.authenticateUser(form.get('socket_id'), user(form))
        : library.authorize(form.get('socket_id'), channel, member(channel, form));
    if (form.has('tamper')) answer.auth = oneDigitChanged(answer.auth);
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(answer));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const base = `http://127.0.0.1:${server.address().port}`;
  return {
    url: `${base}/auth`,
    userUrl: `${base}/user-auth`,
    async stop() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}

async function text(request) {
  let body = '';
  for await (const chunk of request.setEncoding('utf8')) body += chunk;
  return body;
}

function member(channel, form) {
  if (!channel.startsWith('presence-') || form.has('nobody')) return undefined;
  const id = form.get('user_id');
  return {
    user_id: form.has('numeric') ? Number(id) : id,
    ...(form.has('name') && { user_info: { name: form.get('name') } }),
  };
}

function user(form) {
  return {
    id: form.get('user_id'),
    ...(form.has('name') && { user_info: { name: form.get('name') } }),
    ...(form.has('watchlist') && { watchlist: form.get('watchlist').split(',') }),
  };
}

function oneDigitChanged(auth) {
  const last = auth.at(-1);
  return auth.slice(0, -1) + (last === '0' ? '1' : '0');
}
