// What the pages have in common.

/** An element by its id; a missing one is a mistake in the page and is said at once. */
export function element(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`no element #${id}`);
  return found;
}

/** Settings in the query (?host=…&key=…) hold for the page one goes to as well. */
export function keepQuery() {
  for (const link of document.querySelectorAll('a[href$=".html"], a[href="./"]')) link.search = location.search;
}

/** A box with a heading, a sentence and sometimes a button that helps. */
export class Notice {
  #box;

  constructor(box) {
    this.#box = box;
  }

  /** `fix` = { label, apply } adds the button. */
  show({ title, text, fix = null }) {
    const [heading, paragraph, button] = ['h2', 'p', 'button'].map((name) => this.#box.querySelector(name));
    // Rewriting the same words would make a screen reader say them again.
    if (heading.textContent !== title) heading.textContent = title;
    if (paragraph.textContent !== text) paragraph.textContent = text;
    if (button) {
      button.hidden = !fix;
      button.textContent = fix?.label ?? '';
      button.onclick = fix?.apply ?? null;
    }
    this.#box.hidden = false;
  }

  hide() {
    this.#box.hidden = true;
  }
}
