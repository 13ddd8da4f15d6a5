// A heliostat broker in test mode and its apps, over the control API. The methods are described in index.d.ts.

import { written } from './conditions.js';
import { Control, json } from './control.js';
import { HeliostatError, NotMet } from './errors.js';
import { startBroker } from './process.js';

export * from './conditions.js';
export * from './errors.js';

/** The longest that the broker gives what is due to happen. */
const NEXT_DUE_MS = 10_000;

export class Broker {
  #control;
  #stop;

  constructor({ url, token, stop }) {
    this.#control = new Control(url, token);
    this.#stop = stop;
  }

  static fromEnvironment(env = process.env) {
    const { PUSHER_TEST_URL: url, PUSHER_TEST_TOKEN: token } = env;
    if (url && token) return new Broker({ url, token });
    throw new HeliostatError(
      'expected the variables PUSHER_TEST_URL and PUSHER_TEST_TOKEN: run the tests with `heliostat exec -- COMMAND`, ' +
        'or set them to the control_url and token that `heliostat serve --test` prints',
    );
  }

  static async start(options) {
    return new Broker(await startBroker(options));
  }

  static async open(options) {
    const { PUSHER_TEST_URL: url, PUSHER_TEST_TOKEN: token } = process.env;
    return url || token ? Broker.fromEnvironment() : Broker.start(options);
  }

  get url() {
    return this.#control.url;
  }

  get token() {
    return this.#control.token;
  }

  async stop() {
    await this.#stop?.();
  }

  async createApp(options = {}) {
    return new App(this.#control, await this.#control.request('POST', '/apps', options));
  }

  async app(id) {
    return new App(this.#control, await this.#control.request('GET', `/apps/${encodeURIComponent(id)}`));
  }

  async reset({ connections = false } = {}) {
    await this.#control.request('POST', '/reset', { connections });
  }

  async strangers(filter) {
    return this.#control.request('GET', `/log${query(filter)}`);
  }

  [Symbol.asyncDispose]() {
    return this.stop();
  }
}

export class App {
  #control;
  #path;
  timeoutMs = 5000;

  constructor(control, { app_id: id, path_prefix: pathPrefix, ...rest }) {
    this.#control = control;
    this.#path = `/apps/${encodeURIComponent(id)}`;
    Object.assign(this, { id, pathPrefix, ...rest });
  }

  get clientOptions() {
    const { cluster, host, port, pathPrefix, scheme } = this;
    return {
      cluster,
      wsHost: host,
      wsPort: port,
      wssPort: port,
      httpHost: host,
      httpPort: port,
      httpsPort: port,
      forceTLS: scheme === 'https',
      enabledTransports: ['ws'],
      disableStats: true,
      ...(pathPrefix && { wsPath: pathPrefix, httpPath: `${pathPrefix}/pusher` }),
    };
  }

  get serverOptions() {
    const { id, key, secret, host, port, scheme } = this;
    return { appId: id, key, secret, host, port: String(port), useTLS: scheme === 'https' };
  }

  async until(condition, { timeoutMs = this.timeoutMs, holdsMs = 0 } = {}) {
    // Before anything is awaited, so that a failure names the test's own line.
    const called = {};
    Error.captureStackTrace(called, this.until);
    const body = { until: condition, timeout_ms: timeoutMs, holds_ms: holdsMs };
    const waitsMs = timeoutMs + Math.max(holdsMs, condition.for_ms ?? 0);
    const outcome = await this.#control.request('POST', `${this.#path}/wait`, body, { waitsMs, accept: [409] });
    if (!outcome.met) throw new NotMet(outcome, called.stack);
    return outcome;
  }

  async log(filter) {
    return this.#ask('GET', `/log${query(filter)}`);
  }

  timeline() {
    return this.#ask('GET', '/timeline');
  }

  counts() {
    return this.#ask('GET', '/counts');
  }

  async connections() {
    return (await this.#ask('GET', '/connections')).connections;
  }

  async last() {
    return (await this.counts()).last;
  }

  async fault(fault) {
    const { id } = await this.#ask('POST', '/faults', fault);
    return new Fault(id, () => this.#ask('DELETE', `/faults/${id}`, undefined, { accept: [404] }));
  }

  async faults() {
    return (await this.#ask('GET', '/faults')).faults;
  }

  async clearFaults() {
    return (await this.#ask('DELETE', '/faults')).cleared;
  }

  async close(options = {}) {
    return (await this.#ask('POST', '/close', options)).closed;
  }

  async advance(ms) {
    return (await this.#ask('POST', '/clock', { advance_ms: ms })).advanced_ms;
  }

  async advanceToNext() {
    return this.#ask('POST', '/clock', { to: 'next' }, { waitsMs: NEXT_DUE_MS });
  }

  async reset({ connections = false } = {}) {
    await this.#control.request('POST', '/reset', { app_id: this.id, connections });
  }

  async delete() {
    await this.#ask('DELETE', '');
  }

  [Symbol.asyncDispose]() {
    return this.delete();
  }

  #ask(method, path, body, options) {
    return this.#control.request(method, this.#path + path, body, options);
  }
}

export class Fault {
  #clear;

  constructor(id, clear) {
    this.id = id;
    this.#clear = clear;
  }

  async clear() {
    return (await this.#clear()).cleared === 1;
  }

  async [Symbol.asyncDispose]() {
    await this.clear();
  }
}

/** A filter as the query of a request; lists of types are separated by commas, `data` is JSON. */
function query(filter) {
  const { data, ...rest } = JSON.parse(json(written(filter)));
  return `?${new URLSearchParams(data ? { ...rest, data: json(data) } : rest)}`;
}
