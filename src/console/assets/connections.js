// Connections: which there are, one of them in detail, alone in the feed, and its end.

import { get, of, post } from './api.js';
import { Feed } from './feed.js';
import { recoveriesPanel } from './history.js';
import { entryList } from './live.js';
import { bytes, button, clock, count, debounced, duration, empty, every, facts, field, fill, heading, link, make, many, problem, say, told } from './page.js';
import { paged } from './paged.js';
import { terminateButton } from './users.js';

export const title = 'Connections';
export const needsApp = true;

const EVERY_MS = 2000;

export function open(view, { parts, app, ...about }) {
  if (parts.length) return one(view, app, parts[0], about);
  const sought = (placeholder) => make('input', { type: 'search', placeholder, autocomplete: 'off', spellcheck: false });
  const [id, user, channel] = [sought('123456.7890'), sought('ann'), sought('my-channel')];
  const isOneOfMany = about.status?.cluster;
  const list = paged({
    path: of(app, 'connections'),
    query: () => ({ details: 1, prefix: id.value.trim(), user_id: user.value.trim(), channel: channel.value.trim() }),
    columns: ['Connection', 'User', 'Client', 'Address', 'Connected for', ...(isOneOfMany ? ['Node'] : [])],
    row: ({ socket_id: socket, user_id: name, client, client_version: version, transport, address, age_ms: age, node_name: node }) => [
      link(['connections', socket], socket), name ? link(['users', name], name) : '–',
      client ? `${client} ${version ?? ''}` : transport ?? '–', address ?? '–', duration(age), ...(isOneOfMany ? [node] : []),
    ],
    caption: 'Connections',
    none: () => ([id, user, channel].some(({ value }) => value.trim()) ? 'No connection fits.' : 'Nobody is connected to this app.'),
  });
  const again = debounced(list.load);
  for (const input of [id, user, channel]) input.addEventListener('input', again);
  fill(view, heading('Connections', 'Those of all clients, on all nodes.', button('Look again', list.load)),
    make('form.panel.fields', { role: 'search', onsubmit: (event) => {
      event.preventDefault();
      again();
    } }, field('Socket id begins with', id), field('Signed in as', user), field('Subscribed to', channel)), list.element);
  list.load();
  return again.stop;
}

function one(view, app, socketId, about) {
  const body = make('div.stack', {}, make('p.hint', { textContent: 'Loading…' }));
  const list = entryList(about);
  const feed = new Feed({ app, socket_id: socketId }, list.heard);
  const end = closing(app, socketId);
  const recoveries = recoveriesPanel(app, { socket_id: socketId }, about);
  fill(view, heading(socketId, link('connections', 'All connections'), link('send', 'Send to it', { socket_id: socketId })), body, recoveries.element, end,
    make('section', {}, make('div.section-head', {}, make('h2', { textContent: 'Live: this connection alone' }), list.controls), list.element));
  const stop = every(EVERY_MS, async () => {
    try {
      show(body, await get(of(app, 'connections', socketId)), app);
      end.hidden = false;
    } catch (error) {
      end.hidden = true;
      fill(body, error.status === 404 ? empty('This connection is not here (any more). What is below was heard of it while this page was open.') : problem('The connection is not to be had', error.message));
    }
  });
  return () => {
    stop();
    recoveries.stop();
    feed.close();
  };
}

function show(body, connection, app) {
  const { client, client_version: version, protocol, transport, address, proxy, tls, origin, opened_at: opened, age_ms: age, silent_ms: silent, last_ping: ping, outbox, subscriptions, subscriptions_left_out: leftOut, user_id: user, node_name: node } = connection;
  fill(body,
    make('section.panel', {}, facts([
      ['Client', client ? `${client} ${version ?? ''}` : 'did not say'],
      ['Protocol', String(protocol ?? '–')],
      ['Transport', transport === 'websocket' ? 'WebSocket' : transport],
      node && ['Node', node],
      ['Address', proxy ? `${address} through ${proxy}` : address],
      ['Encrypted', tls ? 'over TLS' : 'not that the broker knows'],
      ['Origin', origin ?? 'none'],
      ['User', user ? link(['users', user], user) : 'not signed in'],
      ['Connected', `${duration(age)} ago, at ${clock(opened)}`],
      ['Last heard of', `${duration(silent)} ago`],
      ['Last ping', ping ? pingWords(ping) : 'none was needed'],
      ['Waiting to be sent', `${bytes(outbox?.bytes)} of ${bytes(outbox?.bytes_limit)}, ${many(outbox?.frames ?? 0, 'frame')}${outbox?.blocked ? '; its line takes nothing at present' : ''}`],
    ])),
    make('section.panel', {}, make('h2', { textContent: `${many(subscriptions.length + (leftOut ?? 0), 'subscription')}` }),
      subscriptions.length ? make('ul.tags', {}, subscriptions.map(({ channel }) => make('li', {}, link(['channels', channel], channel)))) : empty('It is subscribed to nothing.'),
      leftOut ? make('p.hint', { textContent: `${count(leftOut)} more are not shown.` }) : null,
      user ? terminateButton(app, user) : null));
}

/** How long the last answer took, and since when another is waited for. */
function pingWords({ round_trip_ms: took, unanswered_ms: waited }) {
  return [took !== null && `answered after ${duration(took)}`, waited !== null && `sent ${duration(waited)} ago, not answered yet`].filter(Boolean).join('; ');
}

function closing(app, socketId) {
  const code = make('input', { type: 'number', min: 4000, max: 4999, value: 4200, required: true });
  const reason = make('input', { value: 'Closed by an operator', maxLength: 100 });
  return make('form.panel.fields', { hidden: true, 'aria-label': 'Close it', onsubmit: async (event) => {
    event.preventDefault();
    await told(async () => {
      await post(of(app, 'connections', socketId, 'close'), { code: Number(code.value), reason: reason.value });
      say(`Closed with ${code.value}`);
    });
  } }, field('Close with', code), field('Reason', reason), make('button.danger', { type: 'submit', textContent: 'Close' }), make('small.whole-line', { textContent: '4000–4099: it stays away; 4100–4199: it comes back later; 4200–4299: at once' }));
}
