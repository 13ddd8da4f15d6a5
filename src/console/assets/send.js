// Sends events, and says how many connections received them.

import { of, post } from './api.js';
import { button, clock, copy, count, empty, field, fill, heading, link, make, many, problem } from './page.js';
import { asCurl, asServerCalls } from './snippets.js';

export const title = 'Send';
export const needsApp = true;

const KEPT = 20;
const STORE = 'heliostat-console-sent';
const TARGETS = { channels: 'Channels', user_id: 'A user', socket_id: 'A socket', batch: 'A batch' };

export function open(view, { query, app, ...about }) {
  const form = formOf(query);
  const answer = make('div.stack', { 'aria-live': 'polite' });
  const code = make('section.panel.code');
  const sent = make('section.panel', { 'aria-label': 'The last ones' });
  const showCode = () => fill(code, snippetsOf(form.read(), about.status?.apps.find(({ id }) => id === app) ?? { id: app, key: 'app-key' }, about.status));
  const showSent = () => {
    const list = recall();
    fill(sent, make('h2', { textContent: 'The last ones' }), list.length ? make('ul.sent', {}, list.map(({ at, body, receivers }) => make('li', {},
      button(`${body.name ?? 'batch'} → ${(body.channels ?? [body.user_id ?? body.socket_id ?? 'a batch']).join(', ')}`, () => {
        form.write(body);
        showCode();
      }, { kind: 'plain', title: 'Fill the form with it' }), make('span.hint', { textContent: `${clock(at)}, received by ${count(receivers)}` })))) : empty('What you send is kept here, in this browser.'));
  };
  form.element.addEventListener('submit', async (event) => {
    event.preventDefault();
    let body;
    try {
      body = form.read();
    } catch (error) {
      fill(answer, problem('It cannot be sent so', error.message));
      return;
    }
    try {
      const told = await post(of(app, 'send'), body);
      fill(answer, answerOf(told));
      remember({ at: Date.now(), body, receivers: told.receivers });
      showSent();
    } catch (error) {
      fill(answer, problem('It was not sent', error.message));
    }
  });
  form.element.addEventListener('input', showCode);
  fill(view, heading('Send', 'An event, as the HTTP API would.'), make('div.two', {}, form.element, make('div.stack', {}, answer, sent)), code);
  showCode();
  showSent();
  return null;
}

function formOf(query) {
  const start = Object.keys(TARGETS).find((name) => query.has(name)) ?? 'channels';
  const target = make('select', { name: 'target' }, Object.entries(TARGETS).map(([value, text]) => make('option', { value, textContent: text })));
  const inputs = {
    channels: make('input', { placeholder: 'my-channel, another', value: query.get('channel') ?? '', autocomplete: 'off', spellcheck: false }),
    user_id: make('input', { value: query.get('user_id') ?? '', autocomplete: 'off', spellcheck: false }),
    socket_id: make('input', { value: query.get('socket_id') ?? '', placeholder: '123.456', autocomplete: 'off', spellcheck: false }),
    batch: make('textarea', { rows: 6, spellcheck: false, value: '[{"channel": "my-channel", "name": "my-event", "data": "hello"}]' }),
  };
  const name = make('input', { value: query.get('event') ?? 'my-event', required: true, maxLength: 200, autocomplete: 'off', spellcheck: false });
  const data = make('textarea', { rows: 6, spellcheck: false, value: '{"message": "hello"}' });
  const except = make('input', { placeholder: '123.456', autocomplete: 'off', spellcheck: false });
  const info = make('input', { type: 'checkbox', checked: true });
  const fields = {
    channels: field('Channels', inputs.channels, 'Several are parted by commas'), user_id: field('User id', inputs.user_id),
    socket_id: field('Socket id', inputs.socket_id), batch: field('Events', inputs.batch, 'A JSON list of channel, name, data and perhaps socket_id, whom it is not for; as many as the HTTP API takes at once'),
  };
  const rest = [field('Event', name), field('Payload', data, 'Text, or JSON, which is sent as its text'), field('Not to this socket', except), make('label.switch', {}, info, 'Ask for the channels’ figures')];
  target.value = start;
  const showTarget = () => {
    for (const [key, element] of Object.entries(fields)) element.hidden = key !== target.value;
    for (const element of rest) element.hidden = target.value === 'batch';
    name.required = target.value !== 'batch';
    for (const [key, input] of Object.entries(inputs)) input.required = key === target.value;
    rest[2].hidden = target.value !== 'channels';
    rest[3].hidden = target.value !== 'channels';
  };
  target.addEventListener('change', showTarget);
  showTarget();
  const read = () => {
    const value = inputs[target.value].value.trim();
    if (target.value === 'batch') {
      try {
        return { batch: JSON.parse(value) };
      } catch (error) {
        throw new Error(`The batch is not JSON: ${error.message}`);
      }
    }
    const whom = target.value === 'channels' ? { channels: value.split(',').map((part) => part.trim()).filter(Boolean) } : { [target.value]: value };
    return { ...whom, name: name.value, data: data.value, ...(target.value === 'channels' && except.value.trim() ? { except: except.value.trim() } : {}), ...(target.value === 'channels' && info.checked ? { info: 'subscription_count,user_count' } : {}) };
  };
  const write = (body) => {
    target.value = Object.keys(TARGETS).find((key) => key in body) ?? 'channels';
    inputs[target.value].value = target.value === 'batch' ? JSON.stringify(body.batch, null, 2) : target.value === 'channels' ? body.channels.join(', ') : body[target.value];
    name.value = body.name ?? name.value;
    data.value = body.data ?? data.value;
    except.value = body.except ?? '';
    showTarget();
  };
  const element = make('form.panel.column', { 'aria-label': 'What is sent' }, field('To', target), Object.values(fields), rest, make('button.primary', { type: 'submit', textContent: 'Send' }));
  return { element, read, write };
}

function answerOf({ receivers, receivers_elsewhere: elsewhere, channels = {}, warnings = [] }) {
  return make('section.panel', {},
    make('p.big', {}, receivers === 0 ? 'Nobody received it' : `Received by ${many(receivers, 'connection')}${elsewhere ? `, ${count(elsewhere)} of them on other nodes` : ''}`),
    warnings.map((warning) => make('p.aside-note', { textContent: warning })),
    make('ul.list', {}, Object.entries(channels).map(([channel, { receivers: here, subscription_count: subscriptions, user_count: users }]) => make('li', {}, link(['channels', channel], channel),
      `: ${[`received by ${count(here)}`, subscriptions !== undefined && many(subscriptions, 'subscription'), users !== undefined && many(users, 'user')].filter(Boolean).join(', ')}`))));
}

function snippetsOf(body, app, status) {
  if (!body || body.batch) return [];
  const list = [['curl', asCurl(app.id, body)], ...(body.channels ? asServerCalls(body, app, status) : [])];
  const tabs = list.map(([name]) => button(name, () => select(name), { kind: 'tab' }));
  const bar = make('div.tabs', { role: 'group', 'aria-label': 'The same as code' }, tabs);
  const block = make('pre.payload', { tabIndex: 0 });
  const select = (chosen) => {
    snippetsOf.chosen = chosen;
    const index = Math.max(0, list.findIndex(([name]) => name === chosen));
    tabs.forEach((tab, number) => tab.setAttribute('aria-pressed', String(number === index)));
    block.textContent = list[index][1];
  };
  select(snippetsOf.chosen ?? 'curl');
  return [make('div.section-head', {}, make('h2', { textContent: 'The same as code' }), button('Copy', () => copy(block.textContent))), bar, block];
}

function recall() {
  try {
    return JSON.parse(localStorage.getItem(STORE)) ?? [];
  } catch {
    return [];
  }
}

function remember(sent) {
  try {
    localStorage.setItem(STORE, JSON.stringify([sent, ...recall()].slice(0, KEPT)));
  } catch { /* a browser that keeps nothing */ }
}
