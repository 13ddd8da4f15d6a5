// Channels: which there are, and one of them in detail.

import { get, of } from './api.js';
import { Feed } from './feed.js';
import { historyPanel, recoveriesPanel } from './history.js';
import { entryList } from './live.js';
import { clock, count, debounced, duration, facts, field, fill, heading, link, make, many, pretty, table, watched } from './page.js';
import { paged } from './paged.js';
import { videoPanel } from './video.js';

export const title = 'Channels';
export const needsApp = true;

const TYPES = ['public', 'private', 'presence', 'encrypted', 'cache'];
const EVERY_MS = 3000;

export function open(view, { parts, app, ...about }) {
  if (parts.length) return one(view, app, parts[0], about);
  const search = make('input', { type: 'search', placeholder: 'room-*', autocomplete: 'off', spellcheck: false });
  const type = make('select', {}, make('option', { value: '', textContent: 'Any' }), TYPES.map((name) => make('option', { value: name, textContent: name })));
  const list = paged({
    path: of(app, 'channels'),
    query: () => {
      const text = search.value.trim();
      return { type: type.value, ...(text.includes('*') ? { pattern: text } : { prefix: text }) };
    },
    columns: ['Channel', 'Type', 'Subscriptions', 'Users'],
    row: ({ name, type: kind, cache, subscriptions, users }) => [link(['channels', name], name), cache ? `${kind}, cache` : kind, count(subscriptions), count(users)],
    caption: 'Channels',
    none: () => (search.value.trim() || type.value ? 'No channel that somebody is subscribed to fits.' : 'Nobody is subscribed to a channel. One is here as soon as a client subscribes to it.'),
  });
  const again = debounced(list.load);
  search.addEventListener('input', again);
  type.addEventListener('change', again);
  fill(view, heading('Channels', 'Those that somebody is subscribed to.'),
    make('form.panel.fields', { role: 'search', onsubmit: (event) => event.preventDefault() }, field('Name begins with, or pattern with *', search), field('Type', type)), list.element);
  list.load();
  return again.stop;
}

function one(view, app, name, about) {
  const body = make('div.stack', {}, make('p.hint', { textContent: 'Loading…' }));
  const subscribers = paged({
    path: of(app, 'channels', name, 'subscribers'),
    columns: ['Connection', 'User', ...(about.status?.cluster ? ['Node'] : [])],
    row: ({ socket_id: id, user_id: user, node_name: node }) => [link(['connections', id], id), user ? link(['users', user], user) : '–', ...(about.status?.cluster ? [node] : [])],
    caption: `Subscribers of ${name}`,
    none: 'Nobody is subscribed.',
  });
  const list = entryList(about);
  const feed = new Feed({ app, channel: name }, list.heard);
  const more = make('div.stack', { hidden: true });
  const panels = {};
  fill(view, heading(name, link('channels', 'All channels'), link('send', 'Send to it', { channel: name })), body, more,
    make('section.panel', {}, make('h2', { textContent: 'Subscribers' }), subscribers.element),
    make('section', {}, make('div.section-head', {}, make('h2', { textContent: 'Live' }), list.controls), list.element));
  subscribers.load();
  let subscriptionsBefore = null;
  let isOver = false;
  const add = (panel) => {
    more.hidden = false;
    more.append(panel.element);
    return panel;
  };
  const stop = watched(body, EVERY_MS, 'The channel is not to be had', async () => {
    const channel = await get(of(app, 'channels', name));
    if (isOver) return;
    show(body, channel);
    if (subscriptionsBefore !== null && channel.subscriptions !== subscriptionsBefore) subscribers.load();
    subscriptionsBefore = channel.subscriptions;
    if (channel.video) panels.video ??= add(videoPanel(app, name, about));
    if (channel.history) {
      panels.recoveries ??= add(recoveriesPanel(app, { channel: name }, about));
      panels.history ??= add(historyPanel(app, name));
      panels.history.show(channel.history);
    }
  });
  return () => {
    isOver = true;
    stop();
    panels.video?.stop();
    panels.recoveries?.stop();
    feed.close();
  };
}

function show(body, channel) {
  const { type, cache, subscriptions, subscriptions_here: here, users, members, members_left_out: leftOut, cached, history, decided_by: decider } = channel;
  fill(body,
    make('section.panel', {}, facts([
      ['Type', cache ? `${type}, cache` : type],
      ['Subscriptions', subscriptions === here ? count(subscriptions) : `${count(subscriptions)}, ${count(here)} of them here`],
      type === 'presence' && ['Users', count(users)],
      decider && ['Its webhooks are told by', decider.node_name ?? decider.node],
      cache && ['Remembered', cached ? `an event, for ${duration(cached.left_ms)} more` : 'nothing'],
      history && ['History', `${count(history.held.events)} of at most ${many(history.bounds.events, 'event')}`],
    ]), cached ? make('details', {}, make('summary', { textContent: 'The remembered event' }), make('pre.payload', { tabIndex: 0, textContent: pretty(cached.data) })) : null),
    members?.length ? make('section.panel', {}, make('h2', { textContent: 'Members' }),
      table(['User', 'What it says of itself'], members.map(({ user_id: id, user_info: info }) => [link(['users', id], id), info ? make('code', { textContent: info }) : '–']), 'Members'),
      leftOut ? make('p.hint', { textContent: `and ${count(leftOut)} more` }) : null) : null);
}
