// What happens, as it happens: filtered by the broker, kept here within a bound.

import { entryElement, KINDS } from './entry.js';
import { Feed } from './feed.js';
import { button, count, debounced, empty, field, fill, heading, make, many } from './page.js';

export const title = 'Live';

/** So many entries are kept; the oldest go. */
const KEPT = 1000;
/** So many have an element. */
const SHOWN = 250;
const FIELDS = [['channel', 'Channel', 'private-*'], ['event', 'Event', 'client-*'], ['socket_id', 'Socket id', '123.456'], ['user_id', 'User', 'ann'], ['text', 'Text', 'anything']];

export function open(view, { query, ...about }) {
  const list = entryList(about);
  const kinds = new Set((query.get('kinds') ?? '').split(',').filter((kind) => KINDS[kind]));
  const isCluster = about.status?.cluster;
  const inputs = [...FIELDS, ...(isCluster ? [['node', 'Node', 'name or id']] : [])].map(([name, label, placeholder]) => [name, label, make('input', { type: 'search', name, placeholder, value: query.get(name) ?? '', autocomplete: 'off', spellcheck: false })]);
  const isAll = make('input', { type: 'checkbox', checked: query.has('all') });
  const chips = make('div.chips', { role: 'group', 'aria-label': 'Kinds' }, Object.entries(KINDS).map(([kind, name]) => {
    const chip = button(name, () => {
      if (!kinds.delete(kind)) kinds.add(kind);
      chip.setAttribute('aria-pressed', String(kinds.has(kind)));
      change();
    });
    chip.setAttribute('aria-pressed', String(kinds.has(kind)));
    return chip;
  }));
  const filter = () => ({
    ...(kinds.size ? { kinds: [...kinds] } : {}),
    ...(isAll.checked || !about.app ? {} : { app: about.app }),
    ...Object.fromEntries(inputs.map(([name, , input]) => [name, input.value.trim()]).filter(([, value]) => value)),
  });
  const feed = new Feed(filter(), list.heard);
  const change = debounced(() => { feed.filter = filter(); });
  for (const [, , input] of inputs) input.addEventListener('input', change);
  isAll.addEventListener('change', change);
  fill(view,
    heading('Live', isCluster ? 'What happens on all nodes, from now on.' : 'What happens, from now on.', list.controls),
    make('section.panel.filters', { 'aria-label': 'Filter' }, chips,
      make('div.fields', {}, inputs.map(([, label, input]) => field(label, input)), make('label.switch', {}, isAll, 'All apps'))),
    list.element);
  return () => {
    change.stop();
    feed.close();
  };
}

/**
 * A list of entries with its controls; other views watch one connection or channel with it.
 *
 * @param {{ readonly status: object | null }} about
 * @param {string} [none]  what is said while there is none
 */
export function entryList(about, none = 'Nothing has happened yet that fits. Connections, events and refusals appear here by themselves.') {
  const kept = [];
  const rows = make('ol.entries', { 'aria-label': 'Entries, the newest first', tabIndex: -1 });
  const nothing = empty(none);
  const light = make('span.light', { role: 'status', textContent: 'Connecting…' });
  light.dataset.tone = 'wait';
  const losses = make('p.losses', { hidden: true });
  const silent = make('p.losses', { hidden: true, role: 'status' });
  const lost = { leftOut: {}, missed: 0, between: 0 };
  const waiting = [];
  let isPaused = false;

  const appOf = (entry) => about.status?.apps.find(({ id }) => id === entry.app) ?? null;
  const before = (entry) => () => {
    for (let index = kept.indexOf(entry) - 1; index >= 0; index -= 1) {
      const { event, channel, kind } = kept[index];
      if (kind === entry.kind && event === entry.event && channel === entry.channel) return kept[index];
    }
    return null;
  };
  const take = (entries) => {
    kept.push(...entries);
    kept.splice(0, Math.max(0, kept.length - KEPT));
    const isAtTop = scrollY < 40;
    const height = rows.offsetHeight;
    rows.prepend(...entries.slice(-SHOWN).reverse().map((entry) => entryElement(entry, { before: before(entry), app: () => appOf(entry), status: () => about.status })));
    // Who reads further down, or has opened one, is not moved.
    if (!isAtTop) scrollBy(0, rows.offsetHeight - height);
    while (rows.childElementCount > SHOWN) rows.lastElementChild.remove();
    nothing.hidden = kept.length > 0;
  };
  const pause = button('Pause', () => {
    isPaused = !isPaused;
    pause.setAttribute('aria-pressed', String(isPaused));
    if (!isPaused) take(waiting.splice(0));
    label();
  });
  pause.setAttribute('aria-pressed', 'false');
  const label = () => { pause.textContent = isPaused ? `Go on (${count(waiting.length)}${waiting.length >= KEPT ? '+' : ''} waiting)` : 'Pause'; };
  const clear = button('Clear', () => {
    kept.length = 0;
    waiting.length = 0;
    Object.assign(lost, { leftOut: {}, missed: 0, between: 0 });
    losses.hidden = true;
    fill(rows);
    nothing.hidden = false;
    label();
  });
  const tellLosses = () => {
    const kinds = Object.entries(lost.leftOut).map(([kind, left]) => `${count(left)} of ${(KINDS[kind] ?? kind).toLowerCase()}`);
    const told = [
      kinds.length && `Left out, because there were too many: ${kinds.join(', ')}.`,
      lost.missed && `Left out, because this page was too slow: ${many(lost.missed, 'entry', 'entries')}.`,
      (kinds.length || lost.missed) && 'A narrower filter shows them all.',
      lost.between && `Lost on the way between the nodes: ${many(lost.between, 'entry', 'entries')}.`,
    ].filter(Boolean);
    losses.textContent = told.join(' ');
    losses.hidden = told.length === 0;
  };
  const heard = {
    entries({ entries, left_out: leftOut = {}, missed = 0, lost: between = 0 }) {
      for (const [kind, left] of Object.entries(leftOut)) if (left) lost.leftOut[kind] = (lost.leftOut[kind] ?? 0) + left;
      lost.missed += missed - between;
      lost.between += between;
      tellLosses();
      if (!entries.length) return;
      if (!isPaused) {
        take(entries);
        return;
      }
      waiting.push(...entries);
      waiting.splice(0, Math.max(0, waiting.length - KEPT));
      label();
    },
    nodes(told) {
      silent.hidden = told.silent.length === 0;
      silent.textContent = silent.hidden ? '' : `Nothing is heard of what happens on ${told.silent.map(({ name }) => name).join(', ')}: ${told.silent[0].why}.`;
    },
    state(state, words) {
      light.dataset.tone = state === 'open' ? 'good' : 'bad';
      light.textContent = words;
    },
  };
  return { heard, controls: make('div.beside', {}, light, pause, clear), element: make('section.feed', { 'aria-label': 'Entries' }, silent, losses, nothing, rows) };
}
