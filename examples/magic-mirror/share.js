// Who watches, and how others come to the mirror page.

import { element } from './page.js';
import { qrSvg } from './qr.js';
import { elsewhere } from './settings.js';

const AUDIENCE = 'presence-magic-mirror';
const MIRROR = 'mirror-';

/** How a page calls itself among those that are there: `role` is `mirror` or `stream`. */
export function memberId(role) {
  return `${role}-${Math.random().toString(36).slice(2, 12)}`;
}

/** Joins the pages that are there, and tells how many of them are mirrors; nothing where nobody signs for it. */
export function followAudience(pusher, changed = () => {}) {
  const present = new Set();
  const tell = () => changed([...present].filter((id) => id.startsWith(MIRROR)).length);
  const channel = pusher.subscribe(AUDIENCE);
  channel.bind('pusher:subscription_succeeded', (data) => {
    present.clear();
    for (const id of data?.presence?.ids ?? Object.keys(data?.members ?? {})) present.add(id);
    tell();
  });
  // pusher-js says `id`, the wire says `user_id`.
  channel.bind('pusher:member_added', ({ id, user_id: userId }) => { present.add(id ?? userId); tell(); });
  channel.bind('pusher:member_removed', ({ id, user_id: userId }) => { present.delete(id ?? userId); tell(); });
}

/** The link to the mirror page that others can open, with a QR code where a phone would reach it. */
export function showLink(settings, page = location) {
  const [other] = elsewhere(settings, page);
  const url = other ? `${other}/mirror.html${page.search}` : new URL(`mirror.html${page.search}`, page.href).href;
  const isLoopback = !other && /^(localhost|.*\.localhost|127\.[\d.]+|\[::1\])$/.test(page.hostname);
  element('link').href = url;
  element('link').textContent = url.replace(/\.html$/, '');
  element('qr').innerHTML = isLoopback ? '' : qrSvg(url);
  element('qr').hidden = isLoopback;
  element('only-here').hidden = !isLoopback;
}
