// What holds: the apps, and the settings with where each came from.

import { get } from './api.js';
import { button, copy, count, empty, every, fill, heading, make, problem, table } from './page.js';

export const title = 'Settings';

export function open(view, about) {
  const body = make('div.stack', {}, make('p.hint', { textContent: 'Loading…' }));
  const search = make('input', { type: 'search', placeholder: 'limits', 'aria-label': 'Search settings', autocomplete: 'off', spellcheck: false });
  let toml = null;
  const show = () => {
    if (toml === null) {
      fill(body, empty('This broker was not started from a configuration that can be shown.'));
      return;
    }
    const text = search.value.trim().toLowerCase();
    // A line is understood by the table that it is in.
    let section = '';
    const shown = [];
    for (const line of toml.split('\n')) {
      if (line.startsWith('[')) section = line;
      if (!text || `${section} ${line}`.toLowerCase().includes(text)) shown.push(line);
    }
    fill(body, make('section.panel', {}, make('pre.payload.tall', { tabIndex: 0, textContent: shown.join('\n') || 'No setting fits.' }),
      make('p.hint', { textContent: 'As it was at the start; secrets are masked. Apps that have changed since are in the table above. A reload is asked for by heliostat reload.' })));
  };
  search.addEventListener('input', show);
  const apps = make('section.panel', {}, make('h2', { textContent: 'Apps' }));
  fill(view, heading('Settings', 'What holds, and where it came from.', button('Copy as TOML', () => copy(toml ?? ''))), apps,
    make('form.panel.fields', { role: 'search', onsubmit: (event) => event.preventDefault() }, search), body);
  (async () => {
    try {
      ({ toml } = await get('config'));
      show();
    } catch (error) {
      fill(body, problem('The settings are not to be had', error.message));
    }
  })();
  return every(3000, async () => {
    const { status } = about;
    if (!status) return;
    fill(apps, make('h2', { textContent: 'Apps' }), status.apps.length ? table(['App', 'Key', 'State', 'Connections', 'Webhooks', 'Client events', 'History', 'Video'],
      status.apps.map((app) => [app.id, make('code', { textContent: app.key }), app.enabled ? 'enabled' : 'disabled', count(app.connections), count(app.webhooks), ...[app.client_events, app.history, app.video].map((is) => (is ? 'yes' : 'no'))]), 'Apps') : empty('There is no app yet.'));
  });
}
