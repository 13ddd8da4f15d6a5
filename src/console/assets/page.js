// What all views have in common: elements, words for figures, and small messages.

const SVG = 'http://www.w3.org/2000/svg';
const TOAST_MS = 2400;
const TYPED_WAIT_MS = 200;

/**
 * An element with properties and children. What is not an element is shown as text, whatever it holds.
 *
 * @param {string} tag  'div', 'div.class', or 'svg:path'
 */
export function make(tag, properties = {}, ...children) {
  const [name, ...classes] = tag.split('.');
  const node = name.startsWith('svg:') ? document.createElementNS(SVG, name.slice(4)) : document.createElement(name);
  if (classes.length) node.setAttribute('class', classes.join(' '));
  for (const [key, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith('on')) node.addEventListener(key.slice(2), value);
    else if (key.includes('-') || name.startsWith('svg:') || !(key in node)) node.setAttribute(key, value === true ? '' : value);
    else node[key] = value;
  }
  node.append(...children.flat(2).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** Replaces what an element holds. */
export function fill(node, ...children) {
  node.replaceChildren(...children.flat(2).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** The same, unless something in it has the focus: that is not taken away from under one. */
export function refill(node, ...children) {
  return node.contains(document.activeElement) ? node : fill(node, ...children);
}

/** A short message at the edge of the page. */
export function say(text) {
  const toast = document.getElementById('toast');
  toast.textContent = text;
  toast.hidden = false;
  clearTimeout(say.timer);
  say.timer = setTimeout(() => { toast.hidden = true; }, TOAST_MS);
}

/** Copies a text, and says so. */
export async function copy(text, what = 'Copied') {
  try {
    await navigator.clipboard.writeText(text);
    say(what);
  } catch {
    // Without a secure context there is no clipboard; a selection can still be copied by hand.
    const area = make('textarea', { value: text, readOnly: true, 'aria-label': 'To be copied' });
    document.body.append(area);
    area.select();
    const isCopied = document.execCommand('copy');
    area.remove();
    say(isCopied ? what : 'The browser does not allow copying here');
  }
}

/** A page's head: a heading, a sentence, and what stands beside them. */
export function heading(title, lead, ...beside) {
  return make('header.head', {}, make('div', {}, make('h1', { textContent: title }), lead && make('p.lead', {}, lead)), beside.length ? make('div.beside', {}, beside) : null);
}

/** A box that says what went wrong. */
export function problem(title, text) {
  return make('div.notice', { role: 'alert' }, make('h2', { textContent: title }), make('p', { textContent: text }));
}

/** Says which nodes have told nothing of what is shown; nothing where all have. */
export function silentNodes({ silent }) {
  if (!silent?.length) return null;
  const words = silent.map(({ name, why }) => (name ? `${name} (${why})` : why)).join(', ');
  return make('p.aside-note', { role: 'status', textContent: `Not all nodes have told what they have: ${words}.` });
}

/** Words where a list is empty. */
export function empty(...words) {
  return make('p.empty', {}, words);
}

/** A button. */
export function button(label, onclick, { kind = '', title, disabled = false } = {}) {
  return make(`button${kind ? `.${kind}` : ''}`, { type: 'button', onclick, title, disabled }, label);
}

/** A field with its label above it. */
export function field(label, control, hint) {
  return make('label.field', {}, make('span', { textContent: label }), control, hint && make('small', {}, hint));
}

/** Names and values beside each other. */
export function facts(list) {
  return make('dl.facts', {}, list.filter(Boolean).map(([name, value]) => make('div', {}, make('dt', { textContent: name }), make('dd', {}, value ?? '–'))));
}

/** A table; rows are lists of cells. Phones show each row as a block with the headings before the cells. */
export function table(columns, rows, caption) {
  const cell = (content, index) => make('td', { 'data-label': columns[index] }, content ?? '–');
  return make('div.scroll', { tabIndex: 0, role: 'region', 'aria-label': caption }, make('table', {},
    make('caption.offstage', { textContent: caption }),
    make('thead', {}, make('tr', {}, columns.map((name) => make('th', { scope: 'col', textContent: name })))),
    make('tbody', {}, rows.map((row) => make('tr', {}, row.map(cell))))));
}

/** A bar: how much of how much, which the words beside it say as well. */
export function meter(label, value, most, words, tone = null) {
  const bar = make('span.bar', { 'aria-hidden': 'true' }, make('span.fill'));
  bar.firstElementChild.style.width = `${Math.min(100, most > 0 ? (100 * value) / most : 0)}%`;
  if (tone) bar.dataset.tone = tone;
  return make('div.meter', {}, make('span.label', { textContent: label }), bar, make('span.figure', { textContent: words }));
}

const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const fine = new Intl.NumberFormat('en', { maximumFractionDigits: 1 });

/** A number as one reads it. */
export function count(value) {
  if (value === null || value === undefined) return '–';
  return Math.abs(value) < 10 ? fine.format(value) : whole.format(value);
}

/** So many of a thing. */
export function many(value, one, several = `${one}s`) {
  return `${count(value)} ${value === 1 ? one : several}`;
}

/** Bytes, in the units that network cards use. */
export function bytes(value) {
  if (value === null || value === undefined) return '–';
  const units = ['B', 'KB', 'MB', 'GB', 'TB'];
  let index = 0;
  let left = value;
  while (left >= 1000 && index < units.length - 1) {
    left /= 1000;
    index += 1;
  }
  return `${index === 0 ? whole.format(left) : fine.format(left)} ${units[index]}`;
}

/** How long, of milliseconds. */
export function duration(ms) {
  if (ms === null || ms === undefined) return '–';
  if (ms < 1000) return `${fine.format(ms)} ms`;
  const seconds = ms / 1000;
  if (seconds < 60) return `${fine.format(seconds)} s`;
  const [days, hours, minutes] = [Math.floor(seconds / 86400), Math.floor(seconds / 3600) % 24, Math.floor(seconds / 60) % 60];
  if (days) return `${days} d ${hours} h`;
  return hours ? `${hours} h ${minutes} min` : `${minutes} min ${Math.floor(seconds % 60)} s`;
}

/** A time of the day, with milliseconds where they are wanted. */
export function clock(at, withMs = false) {
  const time = new Date(at);
  const text = time.toLocaleTimeString('en-GB');
  return withMs ? `${text}.${String(time.getMilliseconds()).padStart(3, '0')}` : text;
}

/** The time as machines write it, for titles. */
export function stamp(at) {
  return new Date(at).toISOString();
}

/** A link to a view. */
export function link(path, text, query = {}) {
  return make('a', { href: address(path, query) }, text);
}

/** The address of a view: its parts are escaped, so that a channel's name may hold anything. */
export function address(path, query = {}) {
  const parts = (Array.isArray(path) ? path : [path]).map(encodeURIComponent).join('/');
  const search = new URLSearchParams(Object.entries(query).filter(([, value]) => value)).toString();
  return `#/${parts}${search ? `?${search}` : ''}`;
}

/** Payloads that are JSON are shown so that one can read them; anything else as it is. */
export function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

/** Does what somebody has asked for; what speaks against it is said. */
export async function told(work) {
  try {
    await work();
  } catch (error) {
    say(error.message);
  }
}

/** Does something once nobody has asked for it again for a moment, as while somebody types. `stop` ends with the view. */
export function debounced(work) {
  let timer = null;
  const again = () => {
    clearTimeout(timer);
    timer = setTimeout(work, TYPED_WAIT_MS);
  };
  return Object.assign(again, { stop: () => clearTimeout(timer) });
}

/** Does something again and again as `every` does; where it fails, `place` says so under this title. */
export function watched(place, ms, failed, work) {
  return every(ms, async () => {
    try {
      await work();
    } catch (error) {
      fill(place, problem(failed, error.message));
    }
  });
}

/** Does something again and again, never twice at once, and ends with the view. The first time is at once. */
export function every(ms, work) {
  let timer = null;
  let isOver = false;
  const round = async () => {
    await work();
    if (!isOver) timer = setTimeout(round, ms);
  };
  round();
  return () => {
    isOver = true;
    clearTimeout(timer);
  };
}
