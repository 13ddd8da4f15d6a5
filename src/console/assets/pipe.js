// The pipe: its rules, those who hear it, and an event tried against the rules.

import { get, of, post } from './api.js';
import { bytes, clock, count, empty, facts, field, fill, heading, link, make, many, problem, silentNodes, stamp, table, watched } from './page.js';

export const title = 'Pipe';
export const needsApp = true;

export function open(view, { app }) {
  const body = make('div.stack');
  fill(view, heading('Pipe', 'Rules that forward events, and backends that hear them.', link('live', 'What it sends, live', { kinds: 'pipe' })), body, tryForm(app));
  return watched(body, 3000, 'The pipe is not to be had', async () => {
    const told = await get(of(app, 'pipe'));
    // Whoever goes through it by the keyboard stays where he is.
    if (body.contains(document.activeElement)) return;
    show(body, told);
    body.prepend(...[silentNodes(told)].filter(Boolean));
    body.append(...[byNode(told)].filter(Boolean));
  });
}

/** What each node has done, where there are several. */
function byNode({ nodes }) {
  if (!(nodes?.length > 1)) return null;
  return make('section.panel', {}, make('h2', { textContent: 'By node' }), table(['Node', 'Events sent', 'Backends', 'Rules'],
    nodes.map(({ node_name: name, sent, backends, rules, differs }) => [name, count(sent), count(backends), differs ? 'other ones' : rules.map(({ sent: bySingle }) => count(bySingle)).join(', ') || 'none']),
    'What each node has done'));
}

function show(body, { rules, sent, paced_out: paced, backends, hooks, webhooks }) {
  const [those, others] = [make('div.stack', {}, rules.map(ruleElement)), hearers(backends, hooks, webhooks)];
  fill(body,
    make('section', {}, make('div.section-head', {}, make('h2', { textContent: 'Rules' }), make('p.hint', { textContent: `${many(sent, 'event')} sent by rules, hooks and backends since the start, ${count(paced)} not passed on because of a pace` })),
      rules.length ? those : make('div.panel', {}, empty('This app has no rules.'))),
    make('section.panel', {}, make('h2', { textContent: 'Who else hears' }), others));
}

const DROPS = {
  payload: 'without what the filter asks for', pace: 'came before their time', replaced: 'replaced by a newer one', full: 'too many targets', target: 'no name of a channel',
};

function ruleElement(rule) {
  const { index, from, event, to, rename, matched, sent, dropped, per_second: rates } = rule;
  const pace = rule.min_interval_ms ? `one in ${rule.min_interval_ms} ms${rule.keep_latest ? ', the latest' : ''}` : rule.paced ? 'at its rate' : 'every one';
  const hears = [rule.hears_clients && 'clients', rule.hears_http && 'the HTTP API'].filter(Boolean).join(' and ');
  const reasons = Object.entries(dropped).filter(([, number]) => number > 0);
  const withRate = (number, rate) => (rates ? `${count(number)}, ${count(rate)}/s` : count(number));
  const filter = Object.keys(rule.filter ?? {}).length ? JSON.stringify(rule.filter) : null;
  return make('section.panel.rule', { 'aria-label': `Rule ${index + 1}` },
    make('h3', {}, make('span.quiet', { textContent: `${index + 1} ` }), make('code', { textContent: `${from}:${event} → ${to.length ? to.join(', ') : 'nowhere'}${rename ? `:${rename}` : ''}` })),
    facts([
      ['Hears', hears], ['Passes on', pace], filter && ['Where', make('code', { textContent: filter })],
      ['Matched', withRate(matched, rates?.matched)], ['Sent', withRate(sent, rates?.sent)],
      ['Dropped', reasons.length ? `${withRate(reasons.reduce((sum, [, number]) => sum + number, 0), rates?.dropped)}: ${reasons.map(([why, number]) => `${count(number)} ${DROPS[why] ?? why}`).join(', ')}` : '0'],
    ]),
    make('dl.lasts', {}, last('Matched last', rule.last_match, matched), last('Dropped last', rule.last_drop, reasons.reduce((sum, [, number]) => sum + number, 0))));
}

/** What was noted last. Not every event is while nobody looks: how many came behind it is said. */
function last(title, note, total) {
  if (!note) return null;
  // Of several nodes each counts by itself.
  const more = note.node_name ? 0 : total - note.number;
  return make('div', {}, make('dt', { textContent: title }), make('dd', {},
    make('time', { textContent: clock(note.at, true), title: stamp(note.at) }), ' ', make('code', { textContent: note.event }), ' on ', link(['channels', note.channel], note.channel),
    note.to ? [' to ', make('code', { textContent: note.to })] : null, note.why ? `: ${note.why}` : null, more > 0 ? make('span.quiet', { textContent: ` (${count(more)} more since)` }) : null, note.node_name ? make('span.quiet', { textContent: ` at ${note.node_name}` }) : null));
}

function hearers(backends, hooks, webhooks) {
  const queue = (waiting, size) => (waiting ? `${count(waiting)} (${bytes(size)})` : '0');
  const rows = [
    ...backends.each.map((backend) => [`Backend ${backend.socket_id}`, `pipe ${backend.version}`, queue(backend.waiting, backend.waiting_bytes), count(backend.missed)]),
    ...hooks.map((hook) => [`Hook ${hook.index}`, `${count(hook.heard)} heard`, queue(hook.waiting, hook.waiting_bytes), count(hook.dropped + hook.failed + hook.panicked + hook.timed_out)]),
    ...(webhooks ? [[link('webhooks', 'Webhooks'), `${count(webhooks.delivered)} delivered`, queue(webhooks.waiting, webhooks.waiting_bytes), count(webhooks.missed)]] : []),
  ];
  return [
    rows.length ? table(['Who', 'What', 'Waiting', 'Missed'], rows, 'Those who hear events') : empty('No backend is connected, and there are no webhooks.'),
    backends.left_out ? make('p.hint', { textContent: `and ${many(backends.left_out, 'more backend')}` }) : null,
    backends.missed ? make('p.hint', { textContent: `All backends together have missed ${many(backends.missed, 'notification')} since the start.` }) : null,
  ];
}

function tryForm(app) {
  const [channel, event] = [['stream', 'Channel'], ['client-frame', 'Event']].map(([value, label]) => [label, make('input', { value, required: true, autocomplete: 'off', spellcheck: false })]);
  const source = make('select', {}, make('option', { value: 'client', textContent: 'a client' }), make('option', { value: 'http', textContent: 'the HTTP API' }));
  const data = make('textarea', { rows: 4, spellcheck: false, value: '{}' });
  const answer = make('div.stack', { 'aria-live': 'polite' });
  return make('form.panel.column', { 'aria-label': 'Try a rule', onsubmit: async (submitted) => {
    submitted.preventDefault();
    try {
      const { rules } = await post(of(app, 'pipe', 'try'), { channel: channel[1].value, event: event[1].value, data: data.value, source: source.value });
      fill(answer, rules.length ? table(['Rule', 'Matches', 'Why', 'Would send'], rules.map(({ index, matches, why, sends = [] }) => [String(index + 1), matches ? 'yes' : 'no', why, sends.map((sent) => `${sent.event} on ${sent.channel}`).join(', ') || '–']), 'What each rule would do') : empty('This app has no rules.'));
    } catch (error) {
      fill(answer, problem('It could not be tried', error.message));
    }
  } }, make('h2', { textContent: 'Try an event against the rules' }), make('p.hint', { textContent: 'Nothing is sent.' }),
  make('div.fields', {}, field(channel[0], channel[1]), field(event[0], event[1]), field('From', source)), field('Payload', data), make('button', { type: 'submit', textContent: 'Try' }), answer);
}
