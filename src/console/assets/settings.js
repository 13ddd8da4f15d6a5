// What holds: the apps, and the settings with where each came from.

import { get, post } from './api.js';
import { button, copy, count, empty, every, field, fill, heading, make, many, problem, table } from './page.js';

export const title = 'Settings';

export function open(view, about) {
  const body = make('div.stack', {}, make('p.hint', { textContent: 'Loading…' }));
  const search = make('input', { type: 'search', placeholder: 'limits', autocomplete: 'off', spellcheck: false });
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
    // Its first line speaks of a flag of the command line.
    for (const line of toml.replace(/^# Secrets are hidden.*\n+/, '').split('\n')) {
      if (line.startsWith('[')) section = line;
      if (!text || `${section} ${line}`.toLowerCase().includes(text)) shown.push(line);
    }
    fill(body, make('section.panel', {}, make('pre.payload.tall', { tabIndex: 0, textContent: shown.join('\n') || 'No setting fits.' }),
      make('p.hint', { textContent: 'As it was at the start; secrets are masked. Apps that have changed since are in the table above.' })));
  };
  search.addEventListener('input', show);
  const apps = make('section.panel', {}, make('h2', { textContent: 'Apps' }));
  const files = make('section.panel', { hidden: true, 'aria-label': 'Reload' });
  fill(view, heading('Settings', 'What holds, and where it came from.', button('Copy as TOML', () => copy(toml ?? ''))), files, apps,
    make('form.panel.fields', { role: 'search', onsubmit: (event) => event.preventDefault() }, field('Settings that hold this word', search)), body);
  (async () => {
    try {
      const config = await get('config');
      toml = config.toml;
      show();
      files.hidden = !config.can_reload;
      if (config.can_reload) compare(files);
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

/** What a reload would change: the files as they are now beside what runs. */
async function compare(place, done = null) {
  const head = make('div.section-head', {}, make('h2', { textContent: 'Reload' }), button('Look again', () => compare(place), { kind: 'plain' }));
  const answer = done && make('p', { role: 'status', textContent: `Reloaded: ${done}.` });
  try {
    const plan = await get('reload');
    const act = plan.changes ? button('Reload', async ({ currentTarget }) => {
      currentTarget.disabled = true;
      try {
        const { told } = await post('reload', { version: plan.version });
        await compare(place, told);
      } catch (error) {
        fill(place, head, problem('It was not reloaded', error.message));
      }
    }, { kind: 'primary' }) : null;
    fill(place, head, answer, plan.changes ? null : make('p.hint', { textContent: 'The files have what runs: a reload would change nothing.' }), changes(plan),
      plan.warnings.map((warning) => make('p.hint', { textContent: `Warning: ${warning}` })), act && make('p', {}, act));
  } catch (error) {
    fill(place, head, answer, problem('The files cannot be put in force', error.message));
  }
}

function changes({ at_once: now, needs_restart: later, certificates, apps }) {
  const group = (title, rows) => (rows.length ? [make('h3', { textContent: title }), make('div.changes', {}, rows)] : []);
  const { added, changed, removed, left_out: more } = apps;
  return [
    ...group('At once', [
      ...now.map(setting), ...certificates.map((file) => change(file, 'the certificate is read again')),
      ...added.map(({ id, toml }) => change(`App ${id}`, 'is added', make('details', {}, make('summary', { textContent: 'Its settings' }), make('pre.payload', { tabIndex: 0, textContent: toml })))),
      ...changed.map(({ id, settings }) => change(`App ${id}`, 'is changed', make('div.changes', {}, settings.map(setting)))),
      ...removed.map((id) => change(`App ${id}`, 'is removed, and its connections are closed')),
      ...(more ? [make('p.hint', { textContent: `and ${many(more, 'more app')}` })] : []),
    ]),
    ...group('Not before a restart', later.map(setting)),
  ];
}

function change(what, words, ...more) {
  return make('div.change', {}, make('p', {}, make('strong', { textContent: what }), ` ${words}`), more);
}

function setting({ path, before, after, is_secret: isSecret, origin }) {
  const values = isSecret ? [make('p.quiet', { textContent: 'another secret' })] : [['gone', 'Before', '-', before], ['new', 'After', '+', after]].map(([tone, label, mark, text]) => text
    && make('pre', { tabIndex: 0, role: 'group', 'aria-label': label }, make(`span.diff.${tone}`, { textContent: text.split('\n').map((line) => `${mark} ${line}`).join('\n') })));
  return make('div.change', {}, make('p', {}, make('code', { textContent: path }), origin ? make('span.quiet', { textContent: ` ${origin}` }) : null), values);
}
