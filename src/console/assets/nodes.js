// The nodes that are one broker.

import { get } from './api.js';
import { count, duration, empty, facts, fill, heading, make, silentNodes, table, watched } from './page.js';

export const title = 'Nodes';

const ID_SHOWN = 8;

export function open(view, about) {
  const body = make('div.stack');
  fill(view, heading('Nodes', 'Those that are one broker with this one.'), body);
  return watched(body, 3000, 'The nodes are not to be had', async () => {
    const told = await get('nodes');
    // Whoever goes through it by the keyboard stays where he is.
    if (!body.contains(document.activeElement)) show(body, told, about);
  });
}

function show(body, told, { status }) {
  const { nodes, self, link, bus, gaps } = told;
  if (!nodes.length) {
    fill(body, make('section.panel', {}, empty('This node is alone. Several are one broker with ', make('code', { textContent: '--cluster redis://…' }), '.'), facts([['Node', self], ['Version', status?.version], ['Up', duration(status?.uptime_ms)]])));
    return;
  }
  fill(body, silentNodes(told),
    make('section.panel', {}, table(['Node', 'Release', 'State', 'Answered after', 'Connections', 'Channels', 'Members', 'Users', 'Up'], nodes.map(row), 'Nodes')),
    make('section.panel', {}, make('h2', { textContent: 'The bus between them' }), facts([
      ['State', bus.state === 'up' ? 'up' : `away for ${seconds(bus.seconds)}: ${bus.reason}`],
      link.engine && ['Engine', link.engine],
      ['Round trip', link.state === 'up' ? seconds(link.round_trip_seconds) : '–'],
      ['Gaps in what others have told', count(gaps.state)], ['Events that were missing', count(gaps.events)],
      ...Object.entries(gaps.lost).map(([reason, number]) => [`Lost: ${reason.replaceAll('_', ' ')}`, count(number)]),
    ])));
}

function row(node) {
  const { name, id, is_this: isThis, release, state, ready, reason, silent_for_seconds: silence, answered_ms: answered, connections, channels, members, users, uptime_ms: uptime, is_namesake: isNamesake, differing_settings: differing } = node;
  const trouble = [ready === false && reason, isNamesake && 'another node has this name', differing?.length && `has another ${differing.join(', ')}`].filter(Boolean).join('; ');
  return [
    make('span', { title: id }, name, make('small', { textContent: ` ${id.slice(0, ID_SHOWN)}${isThis ? ', this one' : ''}` })),
    release, trouble ? `${state}: ${trouble}` : state,
    isThis ? '–' : answered === undefined || answered === null ? `no answer; last heard of ${seconds(silence)} ago` : duration(answered),
    count(connections), count(channels), count(members), count(users), duration(uptime),
  ];
}

const seconds = (value) => duration(value * 1000);
