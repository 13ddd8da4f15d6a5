// The pipe: its rules, those who hear it, and an event tried against the rules.

import { get, of, post } from './api.js';
import { bytes, count, empty, facts, field, fill, heading, link, make, problem, silentNodes, table, watched } from './page.js';

export const title = 'Pipe';
export const needsApp = true;

export function open(view, { app }) {
  const body = make('div.stack');
  fill(view, heading('Pipe', 'Rules that forward events, and backends that hear them.', link('live', 'What it sends, live', { kinds: 'pipe' })), body, tryForm(app));
  return watched(body, 3000, 'The pipe is not to be had', async () => {
    const told = await get(of(app, 'pipe'));
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

function show(body, { rules, sent, paced_out: paced, backends }) {
  const pace = (rule) => (rule.min_interval_ms ? `one in ${rule.min_interval_ms} ms${rule.keep_latest ? ', the latest' : ''}` : rule.paced ? 'at its rate' : 'every one');
  const hears = (rule) => [rule.hears_clients && 'clients', rule.hears_http && 'the HTTP API'].filter(Boolean).join(' and ');
  fill(body,
    make('section.panel', {}, make('h2', { textContent: 'Rules' }), rules.length ? table(
      ['Rule', 'Hears', 'Passes on'],
      rules.map((rule) => [make('code', { textContent: `${rule.from}${rule.event ? `:${rule.event}` : ''} → ${[].concat(rule.to).join(', ')}${rule.rename ? `:${rule.rename}` : ''}` }), hears(rule), pace(rule)]), 'Rules of the pipe') : empty('This app has no rules.')),
    make('section.panel', {}, make('h2', { textContent: 'Since the start' }), facts([
      ['Events sent', count(sent)], ['Not passed on because of a pace', count(paced)],
      ['Backends connected', count(backends.connected)],
      ['Waiting for them', `${count(backends.waiting)} (${bytes(backends.waiting_bytes)})`],
      ['Missed by them', count(backends.missed)],
    ])));
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
