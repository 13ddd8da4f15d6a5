// Requests to the control API.

import http from 'node:http';
import https from 'node:https';
import { ControlError, HeliostatError } from './errors.js';

/** The longest that an answer may take, beyond the time that a request itself asks for. */
const ANSWER_DEADLINE_MS = 30_000;

export class Control {
  constructor(url, token) {
    this.url = url.replace(/\/+$/, '');
    this.token = token;
  }

  /**
   * The answer's JSON, or its text if it is none. The broker has been asked to wait for `waitsMs`; a status in `accept`
   * is no refusal.
   */
  async request(method, path, body, { waitsMs = 0, accept = [] } = {}) {
    const url = this.url + path;
    const headers = { authorization: `Bearer ${this.token}` };
    const text = body && json(body);
    const answer = await send(method, url, headers, text, waitsMs + ANSWER_DEADLINE_MS).catch((error) => {
      const why = error.message || error.code;
      throw new HeliostatError(`the broker's control API at ${this.url} cannot be reached: ${why}`);
    });
    const isJson = answer.type?.startsWith('application/json');
    const content = isJson ? JSON.parse(answer.text) : answer.text;
    if (answer.status < 300 || accept.includes(answer.status)) return content;
    throw new ControlError(method, new URL(url).pathname, answer.status, isJson ? content.error : content);
  }
}

// Not `fetch`, which gives up after five minutes, while the broker waits for up to ten. And each request has a
// connection of its own: one that was kept could be closed by the broker just as it is used again.
function send(method, url, headers, body, deadlineMs) {
  return new Promise((resolve, reject) => {
    const options = { method, headers, agent: false, timeout: deadlineMs };
    const request = (url.startsWith('https:') ? https : http).request(url, options, (response) => {
      const { statusCode: status, headers } = response;
      let text = '';
      response.setEncoding('utf8').on('data', (part) => (text += part));
      response.on('end', () => resolve({ status, type: headers['content-type'], text })).on('error', reject);
    });
    request.on('timeout', () => request.destroy(new Error(`no answer within ${deadlineMs} ms`))).on('error', reject);
    request.end(body);
  });
}

/** JSON without gaps: a member that is undefined would vanish, and the request would ask for more than was meant. */
export function json(value) {
  return JSON.stringify(value, function (name, member) {
    if (member !== undefined) return member;
    throw new TypeError(`"${name}" is undefined in ${JSON.stringify(this)}: leave it out, or give it a value`);
  });
}
