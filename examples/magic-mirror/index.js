// The front page: says whether the broker answers, and fills the snippets with its address.

import { connect, showClient, showConnection } from './connection.js';
import { element, keepQuery } from './page.js';
import { elsewhere, loadSettings, showConsole } from './settings.js';
import { coloured, snippets } from './snippets.js';
import { DAY_MS, drawTestPicture } from './test-picture.js';

const COPIED_SHOWN_MS = 1600;
/** The scene on the front page moves this much more slowly than as a test picture. */
const SCENE_SLOWDOWN = 4;

function showScene() {
  const context = element('scene').getContext('2d');
  const still = matchMedia('(prefers-reduced-motion: reduce)');
  const dark = matchMedia('(prefers-color-scheme: dark)');
  // It opens in the morning; where motion is not wanted it stays there.
  const morning = 0.3 * DAY_MS;
  const draw = (nowMs) => {
    drawTestPicture(context, morning + (still.matches ? 0 : nowMs / SCENE_SLOWDOWN), '', { isDark: dark.matches });
    requestAnimationFrame(draw);
  };
  requestAnimationFrame(draw);
}

function showSnippets(settings) {
  const list = snippets(settings);
  const tabs = list.map(({ id, title }) => {
    const tab = make('button', { type: 'button', id: `tab-${id}`, textContent: title });
    tab.setAttribute('role', 'tab');
    tab.setAttribute('aria-controls', `snippet-${id}`);
    return tab;
  });
  const panels = list.map(({ id, install, code }) => {
    const panel = make('div', { id: `snippet-${id}`, className: 'snippet', tabIndex: 0 });
    panel.setAttribute('role', 'tabpanel');
    panel.setAttribute('aria-labelledby', `tab-${id}`);
    const bar = make('div', { className: 'bar' });
    bar.append(make('code', { textContent: install }), copyButton(code));
    const pre = make('pre');
    const text = make('code');
    text.append(...coloured(code).map(({ kind, part }) => (kind ? make('span', { className: kind, textContent: part }) : part)));
    pre.append(text);
    panel.append(bar, pre);
    return panel;
  });

  const select = (index) => {
    tabs.forEach((tab, i) => {
      tab.setAttribute('aria-selected', String(i === index));
      tab.tabIndex = i === index ? 0 : -1;
      panels[i].hidden = i !== index;
    });
  };
  tabs.forEach((tab, index) => {
    tab.addEventListener('click', () => select(index));
    tab.addEventListener('keydown', ({ key }) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[key];
      if (!step) return;
      const next = (index + step + tabs.length) % tabs.length;
      select(next);
      tabs[next].focus();
    });
  });
  select(0);
  element('tabs').replaceChildren(...tabs);
  element('panels').replaceChildren(...panels);
}

/** Where a phone finds the pages: a page that was opened by a loopback address cannot be told by its own. */
function showElsewhere(urls) {
  element('elsewhere').hidden = urls.length === 0;
  element('elsewhere').replaceChildren('On a phone, or another machine of the network, open ', ...urls.flatMap((url, index) => [
    ...(index > 0 ? [' or '] : []),
    make('a', { href: `${url}/mirror.html`, textContent: `${url}/mirror` }),
  ]), '. The stream page needs https:// there, because browsers lend no camera without.');
}

function copyButton(code) {
  const button = make('button', { type: 'button', className: 'copy', textContent: 'Copy' });
  button.addEventListener('click', async () => {
    button.textContent = await copy(code) ? 'Copied' : 'Select and copy by hand';
    setTimeout(() => { button.textContent = 'Copy'; }, COPIED_SHOWN_MS);
  });
  return button;
}

/** The clipboard interface exists only on secure pages; the older way works on the others. */
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = make('textarea', { value: text, className: 'offstage' });
    document.body.append(area);
    area.select();
    const done = document.execCommand('copy');
    area.remove();
    return done;
  }
}

function make(name, properties = {}) {
  return Object.assign(document.createElement(name), properties);
}

async function main() {
  keepQuery();
  showScene();
  const settings = await loadSettings();
  showConsole(settings);
  showSnippets(settings);
  showElsewhere(elsewhere(settings));
  const pusher = await connect(settings);
  showClient(pusher, settings, element('client'));
  showConnection(pusher, settings, element('connection'));
}

main().catch((error) => {
  element('connection').dataset.tone = 'bad';
  element('connection').textContent = error.message;
});
