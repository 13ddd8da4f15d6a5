// Webhooks: what was attempted at each endpoint, again by hand, a sample, a pause.

import { get, of, post } from './api.js';
import { bytes, button, clock, count, duration, empty, every, facts, fill, heading, make, many, pretty, problem, say, silentNodes, stamp, told } from './page.js';

export const title = 'Webhooks';
export const needsApp = true;

const EVERY_MS = 3000;
/** So many attempts at an endpoint are shown unless one wants to see all that are kept. */
const LATEST = 10;

export function open(view, { app }) {
  const body = make('div.stack');
  const opened = new Map();
  const look = async () => {
    try {
      const answer = await get(of(app, 'webhooks'));
      const { endpoints } = answer;
      // What one reads or has focused is not taken away from under one.
      if (body.contains(document.activeElement) && document.activeElement.closest('.attempts')) return;
      fill(body, silentNodes(answer), endpoints.length ? endpoints.map((endpoint) => endpointElement(app, endpoint, opened, look)) : empty('This app has no webhooks. One is added to it in the configuration by ', make('code', { textContent: '[[apps.webhooks]]' }), ' and its ', make('code', { textContent: 'url' }), '.'));
    } catch (error) {
      fill(body, problem('The webhooks are not to be had', error.message));
    }
  };
  fill(view, heading('Webhooks', 'What this app’s backend is told over HTTP.'), body);
  return every(EVERY_MS, look);
}

function endpointElement(app, endpoint, opened, look) {
  const { index, url, events, channels, paused, waiting, waiting_bytes: waitingBytes, oldest_ms: oldest, delivered, failed_of_latest: failed, dropped, given_up: givenUp, attempts, nodes = [] } = endpoint;
  const pausedOn = nodes.filter((node) => node.paused);
  const onAll = ({ silent }, words) => (silent?.length ? `${words}, but not on all nodes: ${silent.map(({ name, why }) => name ?? why).join(', ')}` : words);
  const act = (label, what, body, done) => button(label, async () => {
    await told(async () => say(done(await post(of(app, 'webhooks', index, ...what), body))));
    look();
  });
  const result = ({ status, error, duration_ms: took }) => (status ? `Answered ${status} after ${duration(took)}` : `Not delivered: ${error}`);
  return make('section.panel.endpoint', {},
    make('div.section-head', {}, make('h2', {}, make('code', { textContent: url })), make('div.actions', {},
      act('Send a sample', ['sample'], {}, result),
      paused ? act('Resume', ['resume'], {}, (answer) => onAll(answer, 'It goes on')) : act('Pause', ['pause'], {}, (answer) => onAll(answer, 'Paused: what comes waits')))),
    paused ? make('p.aside-note', { textContent: `Paused${pausedOn.length < nodes.length ? ` on ${pausedOn.map(({ node_name: name }) => name).join(', ')} alone` : ''}. What happens waits within the queue’s bounds.` }) : null,
    facts([
      ['Events', events?.length ? events.join(', ') : 'all'], channels && ['Channels', channels],
      ['Delivered', count(delivered)], ['Failed of the latest attempts', count(failed)],
      ['Waiting', waiting ? `${count(waiting)} (${bytes(waitingBytes)}), the oldest for ${duration(oldest)}` : '0'],
      ['Given up or dropped', count((dropped ?? 0) + (givenUp ?? 0))],
    ]),
    attempts.length ? attemptList(attempts, opened, `${app}/${index}`, (attempt) => attemptElement(app, index, attempt, opened, act, result)) : empty('Nothing has been sent there since the start.'));
}

/** The latest attempts, and the others once somebody has asked for them. */
function attemptList(attempts, opened, key, element) {
  const rest = attempts.slice(LATEST);
  const list = make('ol.attempts', {}, (opened.has(key) ? attempts : attempts.slice(0, LATEST)).map(element));
  if (!rest.length || opened.has(key)) return list;
  const more = button(`Show ${many(rest.length, 'earlier attempt')}`, () => {
    opened.set(key, true);
    list.append(...rest.map(element));
    more.remove();
  }, { kind: 'plain' });
  return make('div.column', {}, list, more);
}

function attemptElement(app, index, attempt, opened, act, result) {
  const { id, at, number, events, body_bytes: size, duration_ms: took, status, error, next_at: next, replay, node, node_name: nodeName } = attempt;
  const isGood = status >= 200 && status < 300;
  const key = `${app}/${index}/${node}/${id}`;
  const details = make('div.details', { hidden: !opened.has(key) });
  if (opened.has(key)) fill(details, opened.get(key));
  const toggle = button('Details', async () => {
    if (!details.hidden) {
      opened.delete(key);
      details.hidden = true;
      return;
    }
    details.hidden = false;
    try {
      const whole = await get(of(app, 'webhooks', index, 'attempts', id), { node });
      opened.set(key, detailsOf(whole));
      fill(details, opened.get(key));
    } catch (failure) {
      fill(details, problem('The attempt is not kept any more', failure.message));
    }
  }, { kind: 'plain' });
  return make(`li${isGood ? '' : '.bad'}`, {},
    make('div.line', {}, make('time', { textContent: clock(at), title: stamp(at) }),
      make('span.words', {}, make('strong', { textContent: status ? String(status) : 'failed' }), error ? ` ${error}` : '', `, ${many(events, 'event')}, ${bytes(size)}, ${duration(took)}`, replay ? ', sent again by hand' : number > 1 ? `, attempt ${number}` : '', next ? `; again at ${clock(next)}` : '', nodeName ? `, by ${nodeName}` : ''),
      toggle, act('Replay', ['attempts', id, 'replay'], { node }, result)),
    details);
}

function detailsOf({ request, answer, error }) {
  return make('div.two', {},
    make('div', {}, make('h3', { textContent: 'Request' }), make('pre.payload', { tabIndex: 0, textContent: pretty(request.body) }), request.body_cut ? make('p.hint', { textContent: 'The body is cut here.' }) : null),
    make('div', {}, make('h3', { textContent: 'Answer' }), answer ? make('pre.payload', { tabIndex: 0, textContent: `${answer.status}\n\n${pretty(answer.body ?? '')}` }) : make('p', { textContent: error ?? 'There was none.' })));
}
