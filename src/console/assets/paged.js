// A list that is asked for page by page, never all of it.

import { get } from './api.js';
import { button, count, empty, fill, make, problem, silentNodes, table } from './page.js';

/**
 * @param {{ path: string, query?: () => object, columns: string[], row: (item: object) => any[], caption: string, none: string | (() => string),
 *   note?: (page: object) => string | null }} what
 * @returns {{ element: HTMLElement, load: () => Promise<void>, refresh: () => void }}  `load` begins anew; `refresh` as well, unless
 *   somebody has gone on to further pages or has the focus in it
 */
export function paged({ path, query = () => ({}), columns, row, caption, none, note = () => null }) {
  const element = make('div.paged', { 'aria-busy': 'true' });
  let turn = 0;
  let items = [];
  let isFurther = false;

  const load = async (after = null) => {
    turn += 1;
    const own = turn;
    element.setAttribute('aria-busy', 'true');
    try {
      const page = await get(path, { ...query(), after });
      // An answer to what was asked before another question was.
      if (own !== turn) return;
      items = after === null ? page.items : [...items, ...page.items];
      isFurther = after !== null;
      show(page);
    } catch (error) {
      if (own === turn) fill(element, problem('The list is not to be had', error.message));
    }
    element.setAttribute('aria-busy', 'false');
  };
  const show = (page) => {
    const { next, total, scope, node, silent } = page;
    const known = total === null || total === undefined ? count(items.length) : `${count(items.length)} of ${count(total)}`;
    fill(element,
      silentNodes({ silent }),
      items.length ? table(columns, items.map(row), caption) : empty(typeof none === 'function' ? none() : none),
      note(page) ? make('p.hint', { textContent: note(page) }) : null,
      make('div.more', {},
        items.length ? make('span.hint', { textContent: `${known} shown${scope === 'node' ? `, of node ${node} alone` : ''}` }) : null,
        next ? button('Show more', () => load(next)) : null));
  };
  const refresh = () => {
    if (!isFurther && !element.contains(document.activeElement)) load();
  };
  return { element, load: () => load(), refresh };
}
