// Users who are signed in.

import { get, of, post } from './api.js';
import { button, count, debounced, empty, facts, field, fill, heading, link, make, say, silentNodes, told, watched } from './page.js';
import { paged } from './paged.js';

export const title = 'Users';
export const needsApp = true;

const EVERY_MS = 3000;

export function open(view, { parts, app, status }) {
  if (parts.length) return one(view, app, parts[0]);
  const prefix = make('input', { type: 'search', autocomplete: 'off', spellcheck: false });
  const list = paged({
    path: of(app, 'users'),
    query: () => ({ prefix: prefix.value.trim() }),
    columns: ['User', 'Connections', ...(status?.cluster ? ['Nodes'] : [])],
    row: ({ user_id: id, connections, nodes }) => [link(['users', id], id), count(connections), ...(status?.cluster ? [nodes.map(({ node_name: node }) => node).join(', ')] : [])],
    caption: 'Users',
    none: () => `${prefix.value.trim() ? 'Nobody who is signed in fits' : 'Nobody is signed in'}. Members of presence channels are shown with their channel.`,
  });
  const again = debounced(list.load);
  prefix.addEventListener('input', again);
  fill(view, heading('Users', 'Those who are signed in.'), make('form.panel.fields', { role: 'search', onsubmit: (event) => event.preventDefault() }, field('Id begins with', prefix)), list.element);
  list.load();
  return again.stop;
}

function one(view, app, id) {
  const body = make('div.stack');
  fill(view, heading(id, link('users', 'All users'), link('send', 'Send to them', { user_id: id })), body);
  return watched(body, EVERY_MS, 'The user is not to be had', async () => {
    const user = await get(of(app, 'users', id));
    const { online, connections } = user;
    fill(body, silentNodes(user), make('section.panel', {}, facts([['State', online ? 'online' : 'not signed in anywhere']]),
      connections.length ? make('ul.tags', {}, connections.map(({ socket_id: socket, node_name: node }) => make('li', {}, link(['connections', socket], socket), node ? ` on ${node}` : ''))) : empty('None of their connections is known.'),
      terminateButton(app, id, { label: 'Terminate all their connections', disabled: !online })));
  });
}

/** Ends all connections of a user, once that is confirmed. */
export function terminateButton(app, user, { label = `Terminate all connections of ${user}`, disabled = false } = {}) {
  return button(label, () => confirm(`End all connections of the user ${user}?`) && told(async () => {
    await post(of(app, 'users', user, 'terminate'));
    say(`${user} is terminated`);
  }), { kind: 'danger', disabled });
}
