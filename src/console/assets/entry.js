// One entry of the feed: a line that says it, and what is behind the line.

import { lines } from './diff.js';
import { button, clock, copy, count, duration, fill, link, make, many, pretty, bytes, stamp } from './page.js';
import { pictureOf } from './picture.js';
import { asCurl, asPusherJs, asSent, asTest } from './snippets.js';

/** How each kind is named where there is little room. */
export const KINDS = {
  connections: 'Connections', subscriptions: 'Subscriptions', members: 'Members', events: 'Events',
  api: 'API calls', refusals: 'Refusals', webhooks: 'Webhooks', pipe: 'Pipe',
};

const channel = (entry) => entry.channel && link(['channels', entry.channel], entry.channel);
const socket = (entry) => entry.socket_id && link(['connections', entry.socket_id], entry.socket_id);
const user = (entry) => entry.user_id && make('span.user', { textContent: entry.user_id });
const code = (text) => make('code', { textContent: text });

/** What a member of an entry is called, where its own name is no word. */
const NAMES = {
  app: 'App', channel: 'Channel', event: 'Event', socket_id: 'Socket id', user_id: 'User', source: 'Sent by', except: 'Not for', receivers: 'Connections that it was for',
  receivers_elsewhere: 'of them on other nodes', out_of_reach: 'not to be reached', to_socket: 'For the connection', key: 'Key', code: 'Code', reason: 'Reason', status: 'Status',
  method: 'Method', path: 'Path', peer: 'Address', proxy: 'Through', origin: 'Origin', client: 'Client', version: 'Version', client_version: 'Version', protocol: 'Protocol',
  transport: 'Transport', count: 'Subscriptions', user_info: 'What it says of itself', duration_ms: 'Took', url: 'URL', attempt: 'Attempt', events: 'Events', error: 'Error',
  node: 'Node, by its id', node_name: 'Node', backend: 'Backend', rule: 'Rule', id: 'Id', bytes: 'Size', next_at: 'Next attempt',
};

const VALUES = {
  duration_ms: duration, bytes, source: (value) => SOURCES[value] ?? value, next_at: stamp,
};

const SOURCES = { client: 'a client', http: 'the HTTP API', pipe: 'a pipe' };

/** What each entry says, in words; keyed by `what`. */
const WORDS = {
  opened: (e) => [socket(e), ' connected'],
  closed: (e) => [socket(e), ' left', e.code ? ` with ${e.code}` : '', e.reason ? `: ${e.reason}` : ''],
  signed_in: (e) => [socket(e), ' signed in as ', user(e)],
  subscribed: (e) => [socket(e), ' subscribed to ', channel(e), e.user_id ? [' as ', user(e)] : ''],
  unsubscribed: (e) => [socket(e), ' left ', channel(e)],
  occupied: (e) => [channel(e), ' has its first subscriber'],
  vacated: (e) => [channel(e), ' has lost its last subscriber'],
  cache_miss: (e) => [channel(e), ' remembers nothing'],
  count: (e) => [channel(e), ` has ${many(e.count, 'subscription')}`],
  member_added: (e) => [user(e), ' came into ', channel(e)],
  member_removed: (e) => [user(e), ' left ', channel(e)],
  event: (e) => eventWords(e),
  sent: (e) => eventWords(e),
  call: (e) => [code(`${e.method} ${e.path}`), ` answered ${e.status} in ${duration(e.duration_ms)}`],
  message: (e) => [e.socket_id ? socket(e) : 'a client', e.channel ? [' at ', channel(e)] : '', ': ', e.reason],
  connection: (e) => ['A connection', e.key ? [' with the key ', code(e.key)] : '', ` was refused with ${e.code}: ${e.reason}`],
  request: (e) => [code(`${e.method} ${e.path}`), ` refused with ${e.status}: ${e.reason}`],
  attempt: (e) => [code(e.url), ` attempt ${e.attempt}, ${many(e.events, 'event')}: `, e.status ? `answered ${e.status}` : e.reason, ` after ${duration(e.duration_ms)}`],
};

function eventWords(entry) {
  const whom = entry.channel ? [' on ', channel(entry)] : entry.to_socket ? [' to ', link(['connections', entry.to_socket], entry.to_socket)] : [' to the user ', user(entry)];
  return [make('strong', { textContent: entry.event }), whom, make('span.quiet', { textContent: ` from ${SOURCES[entry.source] ?? entry.source}` })];
}

/** Whether an entry tells of something that went wrong. */
export function isBad(entry) {
  return entry.kind === 'refusals' || (entry.kind === 'webhooks' && !(entry.status >= 200 && entry.status < 300)) || (entry.kind === 'api' && entry.status >= 400);
}

/**
 * The element of an entry.
 *
 * @param {object} entry
 * @param {{ before: () => object | null, app: () => { id: string, key: string } | null, status: () => object | null }} around  the event before it of
 *   the same name on the same channel, and the app it is of
 */
export function entryElement(entry, around) {
  const id = `entry-${entry.seq}`;
  const details = make('div.details', { id, hidden: true });
  const opener = make('button.opener', { type: 'button', 'aria-expanded': 'false', 'aria-controls': id, 'aria-label': 'Details' });
  const words = WORDS[entry.what]?.(entry) ?? [entry.what];
  const row = make(`li.entry${isBad(entry) ? '.bad' : ''}`, {},
    make('div.line', {},
      opener,
      make('time', { dateTime: stamp(entry.at), title: stamp(entry.at), textContent: clock(entry.at, true) }),
      make(`span.kind.kind-${entry.kind}`, { textContent: KINDS[entry.kind] ?? entry.kind }),
      make('span.words', {}, words, entry.node_name && make('span.node', { title: 'The node on which it happened', textContent: entry.node_name })),
      reach(entry)),
    entry.cause ? make('p.cause', {}, make('strong', { textContent: 'Why: ' }), entry.cause.sentence) : null,
    details);
  const toggle = () => {
    const isOpen = details.hidden;
    if (isOpen && !details.childElementCount) fill(details, detailsOf(entry, around));
    details.hidden = !isOpen;
    opener.setAttribute('aria-expanded', String(isOpen));
  };
  opener.addEventListener('click', toggle);
  row.querySelector('.line').addEventListener('click', ({ target }) => {
    if (!target.closest('a, button') && !String(getSelection())) toggle();
  });
  return row;
}

function reach(entry) {
  if (entry.receivers === undefined) return null;
  const { receivers, receivers_elsewhere: elsewhere, out_of_reach: lost } = entry;
  const where = elsewhere ? `, ${count(elsewhere)} of them on other nodes` : '';
  const away = lost ? `; ${count(lost)} more on other nodes, which cannot be reached` : '';
  const words = receivers === 0 ? 'nobody' : `→ ${count(receivers)}`;
  return make(`span.reach${receivers === 0 || lost ? '.nobody' : ''}`, { title: `Connections that it was for${where}${away}` }, lost ? `${words} of ${count(receivers + lost)}` : words);
}

function detailsOf(entry, around) {
  const app = around.app();
  const shown = Object.entries(entry).filter(([name]) => !['seq', 'at', 'kind', 'what', 'data', 'cause'].includes(name));
  return [
    pictureOf(entry),
    entry.data ? payloadOf(entry, around) : null,
    make('dl.facts', {}, shown.map(([name, value]) => make('div', {}, make('dt', { textContent: NAMES[name] ?? name.replaceAll('_', ' ') }), make('dd', { textContent: VALUES[name]?.(value) ?? (typeof value === 'object' ? JSON.stringify(value) : String(value)) })))),
    entry.data && app ? make('div.actions', {},
      button('Copy payload', () => copy(entry.data.text ?? entry.data.members ?? '')),
      button('Copy as curl', () => copy(asCurl(app.id, asSent(entry)))),
      button('Copy as pusher-js', () => copy(asPusherJs(entry, app.key, around.status()))),
      button('Copy as test', () => copy(asTest(entry)))) : make('div.actions', {}, button('Copy as JSON', () => copy(JSON.stringify(entry, null, 2)))),
  ];
}

function payloadOf(entry, around) {
  const { data } = entry;
  const text = pretty(data.text ?? data.members ?? '');
  const block = make('pre.payload', { tabIndex: 0, textContent: text });
  const about = [bytes(data.bytes), data.media_type, data.cut ? 'cut here' : null].filter(Boolean).join(', ');
  const compare = button('Compare with the one before', () => {
    const before = around.before();
    if (!before) {
      compare.disabled = true;
      compare.textContent = 'There is none before it here';
      return;
    }
    const isDiff = compare.getAttribute('aria-pressed') !== 'true';
    compare.setAttribute('aria-pressed', String(isDiff));
    const old = pretty(before.data?.text ?? before.data?.members ?? '');
    fill(block, isDiff ? lines(old, text).map(([mark, line]) => make(`span.diff${{ '-': '.gone', '+': '.new', ' ': '' }[mark]}`, { textContent: `${mark} ${line}\n` })) : text);
  });
  compare.setAttribute('aria-pressed', 'false');
  return make('div.payload-box', {}, make('div.payload-head', {}, make('span', { textContent: about }), compare), block);
}
