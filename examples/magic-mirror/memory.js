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
