// Requests to the broker's admin listener. The browser knows the credentials; nothing of them is here.

export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export function get(path, query = {}) {
  const search = new URLSearchParams(Object.entries(query).filter(([, value]) => value !== '' && value !== null && value !== undefined));
  return ask(`${path}${search.size ? `?${search}` : ''}`);
}

export function post(path, body = {}) {
  return ask(path, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) });
}

/** The path of something of an app; every part is escaped. */
export function of(app, ...parts) {
  return ['apps', app, ...parts].map(encodeURIComponent).join('/');
}

async function ask(path, options = {}) {
  let answer;
  try {
    answer = await fetch(`api/${path}`, { credentials: 'same-origin', ...options });
  } catch {
    throw new Refused(0, 'The broker does not answer. Is it running?');
  }
  const text = await answer.text();
  let body = null;
  try {
    body = JSON.parse(text);
  } catch { /* a refusal in plain text */ }
  if (!answer.ok) throw new Refused(answer.status, body?.error ?? (text.trim() || `The broker answered ${answer.status}.`));
  return body;
}
