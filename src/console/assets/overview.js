// How much there is and passes: figures now, an hour of it as charts, by app.

import { get } from './api.js';
import { chart } from './chart.js';
import { bytes, count, fill, heading, link, make, many, silentNodes, table, watched } from './page.js';

export const title = 'Overview';

/** What is shown as charts: levels as they are, all else per second. */
const CHARTS = [
  { title: 'Connections', series: [['connections', 'connections'], ['subscriptions', 'subscriptions']], words: count, isLevel: true },
  { title: 'Messages a second', series: [['messages_out', 'out'], ['messages_in', 'in']], words: (value) => `${count(value)}/s` },
  { title: 'Bytes a second', series: [['bytes_out', 'out'], ['bytes_in', 'in']], words: (value) => `${bytes(value)}/s` },
  { title: 'Refusals a second', series: [['refusals', 'refusals']], words: (value) => `${count(value)}/s` },
  { title: 'Webhooks a second', series: [['webhooks_delivered', 'delivered'], ['webhooks_failed', 'failed']], words: (value) => `${count(value)}/s` },
  { title: 'Channels', series: [['channels', 'channels']], words: count, isLevel: true },
];

const REFUSED = { message: 'messages of clients', request: 'requests', connection: 'connections' };

export function open(view, { query, app }) {
  const isAll = query.get('of') !== 'app';
  const body = make('div.overview');
  const toggle = make('div.tabs', { role: 'group', 'aria-label': 'Of which apps' },
    link('overview', 'All apps'), app && link('overview', `App ${app}`, { of: 'app' }));
  toggle.children[isAll ? 0 : 1]?.setAttribute('aria-current', 'true');
  fill(view, heading('Overview', 'The last hour of all nodes, kept by the broker itself.', toggle), body);
  let hovered = false;
  body.addEventListener('pointerenter', () => { hovered = true; });
  body.addEventListener('pointerleave', () => { hovered = false; });
  return watched(body, 5000, 'There are no figures', async () => {
    // A chart that one points at stays until one has read it.
    if (hovered && body.childElementCount) return;
    show(body, await get('overview', { app: isAll ? null : app }));
  });
}

function show(body, { columns, samples, interval_ms: interval, totals, apps, apps_left_out: leftOut, refusals, nodes = [], silent }) {
  const column = (name) => columns.indexOf(name);
  const times = samples.map((sample) => sample[column('at')]);
  const values = (name, isLevel) => samples.map((sample) => (isLevel ? sample[column(name)] : sample[column(name)] / (interval / 1000)));
  const latest = (name) => samples.at(-1)?.[column(name)] ?? 0;
  const tiles = [
    ['Connections', count(latest('connections'))],
    ['Subscriptions', count(latest('subscriptions'))],
    ['Channels', count(latest('channels'))],
    ['Events accepted', count(totals.events)],
    ['Refusals', count(totals.refusals), totals.refusals ? link('live', 'see them', { kinds: 'refusals' }) : null],
    ['Webhooks waiting', count(latest('webhooks_waiting')), totals.webhooks_failed ? link('webhooks', `${many(totals.webhooks_failed, 'attempt')} failed`) : null],
  ];
  const focused = body.contains(document.activeElement) && [...body.querySelectorAll('.plot')].indexOf(document.activeElement);
  const perSecond = (value) => `${count((value ?? 0) / (interval / 1000))}/s`;
  fill(body, silentNodes({ silent }),
    make('dl.tiles', {}, tiles.map(([name, value, beside]) => make('div', {}, make('dt', { textContent: name }), make('dd', { textContent: value }), beside && make('small', {}, beside)))),
    make('div.charts', {}, CHARTS.map(({ title: name, series, words, isLevel }) => chart({
      title: name, words, times, series: series.map(([key, label]) => ({ name: label, values: values(key, isLevel) })),
    }))),
    nodes.length > 1 ? make('section.panel', {}, make('h2', { textContent: 'By node' }), table(
      ['Node', 'Connections', 'Subscriptions', 'In', 'Out', 'Events', 'Refusals'],
      nodes.map((node) => [node.node_name, count(node.connections), count(node.subscriptions), perSecond(node.messages_in), perSecond(node.messages_out), perSecond(node.events), perSecond(node.refusals)]),
      'Figures by node')) : null,
    refusals?.length ? make('section.panel', {}, make('h2', { textContent: 'Refused since the start' }), table(['What', 'Code', 'How often'],
      refusals.map(({ what, code, count: often }) => [REFUSED[what] ?? what, String(code ?? '–'), count(often)]), 'Refusals by their code')) : null,
    apps?.length ? make('section.panel', {}, make('h2', { textContent: 'By app' }), table(
      ['App', 'Connections', 'Subscriptions', 'Channels', 'In', 'Out', 'Events'],
      apps.map((app) => [app.id, count(app.connections), count(app.subscriptions), count(app.channels), perSecond(app.messages_in), perSecond(app.messages_out), perSecond(app.events)]),
      'Figures by app'), leftOut ? make('p.hint', { textContent: `${many(leftOut, 'more app')} are in the sums only.` }) : null) : null);
  if (Number.isInteger(focused) && focused >= 0) body.querySelectorAll('.plot')[focused]?.focus({ preventScroll: true });
}
