// Why something was refused: the last refusals with their causes, and a signature that one pastes, part by part.

import { of, post } from './api.js';
import { Feed } from './feed.js';
import { entryList } from './live.js';
import { empty, field, fill, heading, make, problem } from './page.js';

export const title = 'Why refused?';

const FORMS = {
  channel: { label: 'A channel’s auth', fields: [['channel', 'Channel', 'private-room'], ['socket_id', 'Socket id', '123.456'], ['auth', 'auth, or the whole answer of your endpoint', 'app-key:0123…', true], ['channel_data', 'channel_data (presence)', '']] },
  user: { label: 'A user’s auth', fields: [['socket_id', 'Socket id', '123.456'], ['auth', 'auth, or the whole answer of your endpoint', 'app-key:0123…', true], ['user_data', 'user_data', '']] },
  request: { label: 'A request', fields: [['method', 'Method', 'POST'], ['url', 'URL or path, with its query', '/apps/1001/events?auth_key=…', true], ['body', 'Body', '']] },
};

export function open(view, { app, ...about }) {
  const list = entryList(about, 'Nothing was refused while this page is open. Do again what fails: each refusal appears here by itself, with its cause.');
  const feed = new Feed({ kinds: ['refusals'] }, list.heard);
  const what = make('select', {}, Object.entries(FORMS).map(([value, { label }]) => make('option', { value, textContent: label })));
  const inputs = make('div.column');
  const answer = make('div.stack', { 'aria-live': 'polite' });
  let controls = {};
  const showInputs = () => {
    controls = Object.fromEntries(FORMS[what.value].fields.map(([name, , placeholder, isLong]) => [name, isLong || name.endsWith('data') || name === 'body' ? make('textarea', { rows: 3, placeholder, spellcheck: false }) : make('input', { placeholder, autocomplete: 'off', spellcheck: false })]));
    fill(inputs, FORMS[what.value].fields.map(([name, label]) => field(label, controls[name])));
  };
  what.addEventListener('change', showInputs);
  showInputs();
  const form = make('form.panel.column', { 'aria-label': 'Paste a signature', onsubmit: async (event) => {
    event.preventDefault();
    try {
      fill(answer, answerOf(await post(of(app, 'why'), question(what.value, controls))));
    } catch (error) {
      fill(answer, problem('That could not be examined', error.message));
    }
  } }, make('h2', { textContent: 'Paste what was refused' }), make('p.hint', { textContent: 'It is examined against the keys of the chosen app. No secret and no right signature is shown.' }),
  field('What it is', what), inputs, make('button.primary', { type: 'submit', textContent: 'Examine' }), answer);
  fill(view, heading('Why refused?', 'Each refusal with the cause that can be proved. Try again what fails, and read it here.', list.controls),
    make('div.two.wide-left', {}, list.element, app ? form : empty('There is no app yet.')));
  return () => feed.close();
}

/** What was pasted may be the whole JSON of an auth endpoint. */
function question(what, controls) {
  const body = Object.fromEntries(Object.entries(controls).map(([name, { value }]) => [name, value.trim()]).filter(([, value]) => value));
  try {
    const whole = JSON.parse(body.auth ?? '');
    if (typeof whole === 'object' && whole) Object.assign(body, Object.fromEntries(Object.entries(whole).filter(([name, value]) => typeof value === 'string' && ['auth', 'channel_data', 'user_data'].includes(name))));
  } catch { /* it is the auth alone */ }
  return { what, ...body };
}

function answerOf({ right, parts = [], cause, refusal, note }) {
  return make('section.why', {},
    make(`p.verdict${right ? '.good' : '.bad'}`, { textContent: right ? 'It is right: the broker would accept it.' : 'It is not right.' }),
    refusal ? make('p', {}, make('strong', { textContent: 'Refused with: ' }), refusal) : null,
    cause ? make('p.cause', {}, make('strong', { textContent: 'Why: ' }), cause.sentence) : null,
    note ? make('p', {}, make('strong', { textContent: 'Note: ' }), note) : null,
    make('ul.parts', {}, parts.map(({ part, expected, came, right: isRight, sentence }) => make(`li${isRight ? '.good' : '.bad'}`, {}, make('strong', { textContent: `${part}: ` }),
      sentence ?? (isRight ? 'right' : ''), !isRight && (expected || came) ? make('dl.facts', {}, expected ? make('div', {}, make('dt', { textContent: 'expected' }), make('dd', {}, make('code', { textContent: expected }))) : null, make('div', {}, make('dt', { textContent: 'came' }), make('dd', {}, make('code', { textContent: came ?? 'nothing' })))) : null))));
}
