// The console: which view is shown, of which app, and whether the broker answers.

import { get } from './api.js';
import { duration, empty, every, fill, heading, make, many, problem } from './page.js';
import * as channels from './channels.js';
import * as connections from './connections.js';
import * as live from './live.js';
import * as nodes from './nodes.js';
import * as overview from './overview.js';
import * as pipe from './pipe.js';
import * as send from './send.js';
import * as settings from './settings.js';
import * as users from './users.js';
import * as webhooks from './webhooks.js';
import * as why from './why.js';

const VIEWS = { overview, live, channels, connections, users, send, webhooks, pipe, why, nodes, settings };
const STATUS_EVERY_MS = 5000;
const CHOSEN = 'heliostat-console-app';

const view = document.getElementById('view');
const choice = document.getElementById('app');
const light = document.getElementById('state');
let close = () => {};
let status = null;

/** What a view is given: where it is, the app that is looked at, and what the broker said of itself last. */
function context(parts, query) {
  return { parts, query, app: choice.value || null, get status() { return status; } };
}

function open() {
  close();
  close = () => {};
  const [path, search = ''] = location.hash.replace(/^#\/?/, '').split('?');
  const [name = 'overview', ...parts] = path.split('/').filter(Boolean).map(decode);
  const chosen = VIEWS[name] ?? overview;
  for (const anchor of document.querySelectorAll('#views a')) {
    if (VIEWS[anchor.dataset.view] === chosen) anchor.setAttribute('aria-current', 'page');
    else anchor.removeAttribute('aria-current');
  }
  document.querySelector('#views [aria-current]')?.scrollIntoView({ block: 'nearest', inline: 'center' });
  document.title = `${chosen.title} – heliostat console`;
  fill(view);
  view.dataset.view = name;
  if (chosen.needsApp && !choice.value) {
    fill(view, heading(chosen.title), empty('There is no app yet.'));
    return;
  }
  try {
    close = chosen.open(view, context(parts, new URLSearchParams(search))) ?? (() => {});
  } catch (error) {
    fill(view, problem('This view could not be shown', error.message));
    throw error;
  }
}

function decode(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

function showStatus() {
  const { version, node, uptime_ms: uptime, ready, reason } = status;
  light.dataset.tone = ready ? 'good' : 'bad';
  const words = ready ? `Ready, up ${duration(uptime)}` : `Not ready: ${reason}`;
  if (light.textContent !== words) light.textContent = words;
  light.title = `heliostat ${version}, node ${node}, ${many(status.viewers, 'viewer')} of the live feed`;
}

/** The apps to choose from: those that there are, and the one that was chosen last if it is still there. */
function showApps() {
  const ids = status.apps.map(({ id }) => id).join('\n');
  if (choice.dataset.ids === ids) return false;
  choice.dataset.ids = ids;
  const wanted = choice.value || recall();
  fill(choice, status.apps.map(({ id, enabled }) => make('option', { value: id, textContent: `${id}${enabled ? '' : ', disabled'}` })));
  if (status.apps.some(({ id }) => id === wanted)) choice.value = wanted;
  return true;
}

function recall() {
  try {
    return localStorage.getItem(CHOSEN);
  } catch {
    return null;
  }
}

async function look() {
  try {
    status = await get('status');
  } catch (error) {
    light.dataset.tone = 'bad';
    light.textContent = error.message;
    if (error.status === 401) location.reload();
    return;
  }
  const isOther = showApps();
  showStatus();
  if (isOther) open();
}

choice.addEventListener('change', () => {
  try {
    localStorage.setItem(CHOSEN, choice.value);
  } catch { /* it holds for this page */ }
  open();
});
window.addEventListener('hashchange', () => {
  open();
  view.focus({ preventScroll: true });
  scrollTo(0, 0);
});
fill(document.getElementById('views'), Object.entries(VIEWS).map(([name, { title }]) => {
  const anchor = make('a', { href: `#/${name}`, textContent: title });
  anchor.dataset.view = name;
  return anchor;
}));
every(STATUS_EVERY_MS, look);
