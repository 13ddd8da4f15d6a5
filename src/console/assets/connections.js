// Connections: which there are here, one of them in detail, alone in the feed, and its end.

import { get, of, post } from './api.js';
import { Feed } from './feed.js';
import { recoveriesPanel } from './history.js';
import { entryList } from './live.js';
import { bytes, button, clock, count, duration, empty, every, facts, field, fill, heading, link, make, many, problem, say, told } from './page.js';
import { paged } from './paged.js';
import { terminateButton } from './users.js';

export const title = 'Connections';
export const needsApp = true;

const EVERY_MS = 2000;

export function open(view, { parts, app, ...about }) {
  if (parts.length) return one(view, app, parts[0], about);
  const id = make('input', { type: 'search', placeholder: '123456.7890', autocomplete: 'off', spellcheck: false, required: true });
  const list = paged({
    path: of(app, 'connections'),
    columns: ['Socket id'],
    row: ({ socket_id: socket }) => [link(['connections', socket], socket)],
    caption: 'Connections',
    none: 'Nobody is connected to this node.',
  });
  fill(view, heading('Connections', 'Those of this node.', button('Look again', list.load)),
    make('form.panel.fields', { role: 'search', onsubmit: (event) => {
      event.preventDefault();
      location.hash = `#/connections/${encodeURIComponent(id.value.trim())}`;
    } }, field('Go to a socket id', id), make('button', { type: 'submit', textContent: 'Show' })), list.element);
  list.load();
  return null;
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
      fill(body, error.status === 404 ? empty('This connection is not at this node (any more). What is below was heard of it while this page was open.') : problem('The connection is not to be had', error.message));
    }
  });
  return () => {
    stop();
    recoveries.stop();
    feed.close();
  };
}

function show(body, connection, app) {
  const { client, client_version: version, protocol, transport, address, proxy, tls, origin, opened_at: opened, age_ms: age, silent_ms: silent, last_ping: ping, outbox, subscriptions, subscriptions_left_out: leftOut, user_id: user } = connection;
  fill(body,
    make('section.panel', {}, facts([
      ['Client', client ? `${client} ${version ?? ''}` : 'did not say'],
      ['Protocol', String(protocol ?? '–')],
      ['Transport', transport],
      ['Address', proxy ? `${address} through ${proxy}` : address],
      ['Encrypted', tls ? 'over TLS' : 'not as far as is known and believed'],
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
  } }, field('Close with', code, '4000–4099: it stays away; 4100–4199: it comes back later; 4200–4299: at once'), field('Reason', reason), make('button.danger', { type: 'submit', textContent: 'Close' }));
}
