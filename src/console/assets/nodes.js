// The nodes that are one broker.

import { get } from './api.js';
import { duration, empty, facts, fill, heading, make, table, watched } from './page.js';

export const title = 'Nodes';

export function open(view, about) {
  const body = make('div.stack');
  fill(view, heading('Nodes', 'Those that are one broker with this one.'), body);
  return watched(body, 3000, 'The nodes are not to be had', async () => show(body, await get('nodes'), about));
}

function show(body, told, { status }) {
  const { nodes, self, ...rest } = told;
  if (!nodes.length) {
    fill(body, make('section.panel', {}, empty('This node is alone. Several are one broker with ', make('code', { textContent: '--cluster redis://…' }), '.'), facts([['Node', self], ['Version', status?.version], ['Up', duration(status?.uptime_ms)]])));
    return;
  }
  const columns = [...new Set(nodes.flatMap((node) => Object.keys(node)))];
  fill(body, make('section.panel', {}, table(columns.map(words), nodes.map((node) => columns.map((name) => cell(name, node[name]))), 'Nodes')),
    Object.keys(rest).length ? make('section.panel', {}, make('h2', { textContent: 'The engine between them' }), facts(Object.entries(rest).map(([name, value]) => [words(name), cell(name, value)]))) : null);
}

const words = (name) => name.replaceAll('_', ' ').replace(/ ms$/, '').replace(/^./, (first) => first.toUpperCase());

function cell(name, value) {
  if (value === null || value === undefined) return '–';
  if (typeof value === 'number' && name.endsWith('_ms')) return duration(value);
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  return typeof value === 'object' ? make('code', { textContent: JSON.stringify(value) }) : String(value);
}
