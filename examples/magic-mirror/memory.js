// What a page remembers of its controls from one visit to the next, where the browser lets it.

const PREFIX = 'heliostat:';

/** Sets a control as it was left, and tells those who listen to it; from now on it is remembered by its id. */
export function remember(control) {
  const property = control.type === 'checkbox' ? 'checked' : 'value';
  const fallback = control[property];
  const saved = read(control.id);
  if (saved !== null && typeof saved === typeof fallback) {
    control[property] = saved;
    // A list that has no such entry shows none.
    if (control.selectedIndex === -1) control[property] = fallback;
    for (const event of ['input', 'change']) control.dispatchEvent(new Event(event));
  }
  for (const event of ['input', 'change']) control.addEventListener(event, () => write(control.id, control[property]));
}

/** A random name of this tab, which it keeps when its page is loaded anew. */
export function tabName(what) {
  const fresh = Array.from(crypto.getRandomValues(new Uint8Array(8)), (byte) => byte.toString(16).padStart(2, '0')).join('');
  try {
    const name = sessionStorage.getItem(PREFIX + what) ?? fresh;
    sessionStorage.setItem(PREFIX + what, name);
    return name;
  } catch {
    return fresh;
  }
}

/** null for what was never written, cannot be read, or is not what `write` wrote. */
function read(name) {
  try {
    return JSON.parse(localStorage.getItem(PREFIX + name));
  } catch {
    return null;
  }
}

function write(name, value) {
  try {
    localStorage.setItem(PREFIX + name, JSON.stringify(value));
  } catch {
    // Storage is blocked or full: then nothing is remembered.
  }
}
