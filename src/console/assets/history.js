// What a channel keeps of its last events, and who came back to it, or to others, and with what.

import { get, of } from './api.js';
import { bytes, clock, count, duration, empty, fill, link, make, many, meter, refill, silentNodes, stamp, table, watched } from './page.js';
import { paged } from './paged.js';

const EVERY_MS = 3000;
const SHOWN = 25;
const PAYLOAD_CHARACTERS = 200;

/** A panel of what a channel keeps, the newest first. `show` is handed what the channel says of it. */
export function historyPanel(app, name) {
  const held = make('div.column');
  const list = paged({
    path: of(app, 'channels', name, 'history'),
    query: () => ({ limit: SHOWN }),
    columns: ['Time', 'Event', 'Payload', 'Position'],
    row: ({ time_ms: at, name: event, data, position }) => [
      make('time', { dateTime: stamp(at), title: stamp(at), textContent: clock(at, true) }), make('span.word', { textContent: event }),
      make('code.cell', { textContent: String(data ?? '').slice(0, PAYLOAD_CHARACTERS) }), make('code.position', { textContent: position })],
    caption: 'The events that the channel keeps, the newest first',
    none: 'It keeps none at present.',
    note: ({ complete }) => (complete ? null : 'What came before has gone meanwhile, or stands under another place. Look again from the newest.'),
  });
  const element = make('section.panel', { 'aria-label': 'History' }, make('h2', { textContent: 'History' }), held, list.element);
  let before = null;
  const show = ({ bounds, held: has, now }) => {
    const age = has.oldest_ms === null ? 0 : Math.max(0, now - has.oldest_ms);
    fill(held,
      meter('Events', has.events, bounds.events, `${count(has.events)} of ${count(bounds.events)}`),
      meter('Bytes', has.bytes, bounds.bytes, `${bytes(has.bytes)} of ${bytes(bounds.bytes)}`),
      meter('Age of the oldest', age, bounds.age_ms, `${has.events ? duration(Math.round(age / 1000) * 1000) : 'none'} of ${duration(bounds.age_ms)}`));
    const state = `${has.events} ${has.newest_ms} ${has.bytes}`;
    if (state !== before) list.refresh();
    before = state;
  };
  return { element, show };
}

/** A panel of who came back: to one channel, or by one connection. */
export function recoveriesPanel(app, query, { status }) {
  const body = make('div');
  const element = make('section.panel', { 'aria-label': 'Who came back', hidden: Boolean(query.socket_id) }, make('h2', { textContent: 'Who came back' }), body);
  const stop = watched(body, EVERY_MS, 'It is not known who came back', async () => {
    const told = await get(of(app, 'recoveries'), { ...query, limit: SHOWN });
    // Most connections have come back from nowhere.
    element.hidden = Boolean(query.socket_id) && !told.items.length;
    refill(body, silentNodes(told), told.items.length ? table(
      ['Time', ...(query.channel ? ['Connection', 'Client'] : ['Channel', 'Client']), 'Was sent', 'What has become of it', ...(status?.cluster ? ['Node'] : [])],
      told.items.map((item) => [
        make('time', { dateTime: stamp(item.at), title: stamp(item.at), textContent: clock(item.at) }),
        query.channel ? link(['connections', item.socket_id], item.socket_id) : link(['channels', item.channel], item.channel),
        item.client ? make('code', { textContent: item.client, title: 'Stands for its name, which is a secret' }) : 'came with a place',
        item.events ? `${many(item.events, 'event')}, ${bytes(item.bytes)}` : 'nothing',
        make(`span.verdict-word${item.complete ? '.good' : '.bad'}`, { textContent: item.complete ? 'It has missed nothing.' : `Not all: ${item.reason}.` }), ...(status?.cluster ? [item.node_name] : [])]), 'Who came back') : empty('Nobody of late.'));
  });
  return { element, stop };
}
