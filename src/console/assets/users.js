// Users who are signed in.

import { get, of, post } from './api.js';
import { button, count, empty, every, facts, field, fill, heading, link, make, problem, say } from './page.js';
import { paged } from './paged.js';

export const title = 'Users';

const TYPED_WAIT_MS = 200;

export function open(view, { parts, app }) {
  if (!app) return fill(view, heading('Users'), empty('There is no app yet.')) && null;
  if (parts.length) return one(view, app, parts[0]);
  const prefix = make('input', { type: 'search', autocomplete: 'off', spellcheck: false });
  const list = paged({
    path: of(app, 'users'),
    query: () => ({ prefix: prefix.value.trim() }),
    columns: ['User', 'Connections'],
    row: ({ user_id: id, connections }) => [link(['users', id], id), count(connections)],
    caption: 'Users',
    none: 'Nobody who is signed in fits. Members of presence channels are shown with their channel.',
  });
  let timer;
  prefix.addEventListener('input', () => {
    clearTimeout(timer);
    timer = setTimeout(list.load, TYPED_WAIT_MS);
  });
  fill(view, heading('Users', 'Those who are signed in.'), make('form.panel.fields', { role: 'search', onsubmit: (event) => event.preventDefault() }, field('Id begins with', prefix)), list.element);
  list.load();
  return () => clearTimeout(timer);
}

function one(view, app, id) {
  const body = make('div.stack');
  fill(view, heading(id, link('users', 'All users'), link('send', 'Send to them', { user_id: id })), body);
  return every(3000, async () => {
    try {
      const { online, connections } = await get(of(app, 'users', id));
      fill(body, make('section.panel', {}, facts([['State', online ? 'online' : 'not signed in anywhere']]),
        connections.length ? make('ul.tags', {}, connections.map((socket) => make('li', {}, link(['connections', socket], socket)))) : empty('None of their connections is at this node.'),
        button('Terminate all their connections', async () => {
          if (!confirm(`End all connections of the user ${id}?`)) return;
          try {
            await post(of(app, 'users', id, 'terminate'));
            say(`${id} is terminated`);
          } catch (error) {
            say(error.message);
          }
        }, { kind: 'danger', disabled: !online })));
    } catch (error) {
      fill(body, problem('The user is not to be had', error.message));
    }
  });
}
