// The chat's page. pusher-js brings what happens; what it has missed is fetched.

const ROOM = 'presence-lobby';
const TOPIC = 'cache-topic';

/** How long somebody counts as typing after the last sign of it, in milliseconds. */
const TYPING_MS = 3000;

const name = new URLSearchParams(location.search).get('name') ?? 'nobody';
const $ = (id) => document.getElementById(id);
const { key, host, port, tls } = await (await fetch('config')).json();

const pusher = new Pusher(key, {
  cluster: 'any', // pusher-js wants one; the hosts decide
  wsHost: host,
  wsPort: port,
  wssPort: port,
  httpHost: host,
  httpPort: port,
  httpsPort: port,
  forceTLS: tls,
  userAuthentication: { endpoint: 'user-auth', params: { name } },
  channelAuthorization: { endpoint: 'auth', params: { name } },
});

// ---- The connection -------------------------------------------------------------------------------------------

let refused;

function show(state) {
  $('state').textContent = state;
}

pusher.connection.bind('state_change', ({ current, previous }) => {
  if (current === 'connected') show('online');
  else if (current === 'disconnected') show(refused ? `refused: ${refused}` : 'offline');
  else show(previous === 'connected' || $('state').textContent === 'reconnecting' ? 'reconnecting' : 'connecting');
});

// Codes from 4000 to 4099 say that trying again is of no use; pusher-js then does not.
pusher.connection.bind('error', ({ error }) => {
  refused = error?.data?.message;
});

pusher.signin();

// ---- The room -------------------------------------------------------------------------------------------------

const room = pusher.subscribe(ROOM);
const shown = new Map();

room.bind('pusher:subscription_succeeded', () => {
  showMembers();
  fetchMissed();
});
room.bind('pusher:member_added', showMembers);
room.bind('pusher:member_removed', showMembers);
room.bind('pusher:subscription_error', ({ error, status }) => show(`not let in: ${error} (${status})`));

function showMembers() {
  const names = [];
  room.members.each(({ id }) => names.push(id));
  list($('members'), names.sort());
}

// An event may come twice, late, out of order, or never. Messages are numbered, so the page can tell.
room.bind('message', (message) => {
  add([message]);
  if (message.number > 1 && !shown.has(message.number - 1)) fetchMissed();
});

async function fetchMissed() {
  // From the first gap on.
  let after = 0;
  while (shown.has(after + 1)) after += 1;
  const answer = await fetch(`messages?after=${after}`);
  if (answer.ok) add(await answer.json());
  $('messages').ariaBusy = 'false';
}

function add(messages) {
  messages.forEach((message) => shown.set(message.number, message));
  const lines = [...shown.values()].sort((one, other) => one.number - other.number);
  $('messages').replaceChildren(...lines.map(({ from, text }) => element('li', element('b', from), text)));
}

// ---- Saying something -----------------------------------------------------------------------------------------

async function send(message) {
  $('untold').hidden = true;
  const answer = await post('messages', { ...message, socket_id: pusher.connection.socket_id });
  if (answer.ok) return add([await answer.json()]);
  $('untold').hidden = false;
  $('again').onclick = () => send(message);
}

$('compose').addEventListener('submit', (event) => {
  event.preventDefault();
  const text = $('text').value.trim();
  $('text').value = '';
  if (text) send({ id: crypto.randomUUID(), from: name, text });
});

$('text').addEventListener('input', () => room.trigger('client-typing', { name }));

let forget;
room.bind('client-typing', (_, { user_id }) => {
  $('typing').textContent = `${user_id} is typing`;
  clearTimeout(forget);
  forget = setTimeout(() => ($('typing').textContent = ''), TYPING_MS);
});

// ---- The topic, and notes -------------------------------------------------------------------------------------

const topic = pusher.subscribe(TOPIC);
topic.bind('topic', ({ text }) => ($('topic').textContent = text));
topic.bind('pusher:cache_miss', () => ($('topic').textContent = 'No topic'));

pusher.user.bind('note', ({ from, text }) => {
  $('notes').append(element('li', element('b', from), `: ${text}`));
});

// ---- Small things ---------------------------------------------------------------------------------------------

function post(path, body) {
  return fetch(path, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) });
}

function list(of, texts) {
  of.replaceChildren(...texts.map((text) => element('li', text)));
}

function element(kind, ...content) {
  const made = document.createElement(kind);
  made.append(...content);
  return made;
}
