// Brokers: found, started, stopped, and what is said when that does not work.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect as dial } from 'node:net';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Broker, ControlError, event, HeliostatError, subscribers } from 'heliostat-testing';
import { backend, connect, DEADLINE_MS, within } from './support.mjs';

/** A broker for one test. */
async function started(t, options) {
  const broker = await Broker.start(options);
  t.after(() => broker.stop());
  return broker;
}

/** Resolves once nobody listens there any more. */
function ended(url) {
  const { hostname, port } = new URL(url);
  const look = async () => {
    const socket = dial(Number(port), hostname).resume();
    const connected = await once(socket, 'connect').then(() => true, () => false);
    if (!connected) return;
    // Closed by the broker's end, or because nothing was asked.
    await once(socket, 'close').catch(() => {});
    await look();
  };
  return within(look(), 'the broker to end');
}

/** Node with a program, whose first line of output is the URL of a broker. */
async function program(t, text) {
  const child = spawn(process.execPath, ['--input-type=module', '--eval', text], { stdio: ['pipe', 'pipe', 'inherit'] });
  t.after(() => child.kill('SIGKILL'));
  const [line] = await within(once(child.stdout.setEncoding('utf8'), 'data'), 'the URL of a broker');
  return { child, url: line.trim() };
}

const STARTS = "import { Broker } from 'heliostat-testing'; console.log((await Broker.start()).url); process.stdin.";

test('a broker is started, and stopped', async () => {
  const broker = await Broker.start();
  assert.match(broker.url, /^http:\/\/127\.0\.0\.1:\d+\/test$/);
  await broker.stop();
  await ended(broker.url);
  await broker.stop();
  await assert.rejects(broker.createApp(), { name: 'HeliostatError', message: /cannot be reached/ });
});

test('a broker takes arguments and an environment', async (t) => {
  const broker = await started(t, {
    args: ['--test-token', 'known', '--path-prefix', '/realtime'],
    env: { HELIOSTAT_APP_ID: '77', HELIOSTAT_APP_KEY: 'key-of-77', HELIOSTAT_APP_SECRET: 'secret-of-77' },
  });
  assert.equal(broker.token, 'known');
  const app = await broker.app('77');
  assert.deepEqual([app.key, app.pathPrefix], ['key-of-77', '/realtime']);
  for (const enabledTransports of [['ws'], ['xhr_streaming']]) connect(t, app, { enabledTransports }).subscribe('room');
  await app.until(subscribers('room', 2), { timeoutMs: DEADLINE_MS });
});

for (const [end, how] of [
  ['once("data", () => process.stdin.destroy())', 'runs out of work'],
  ['once("data", () => process.exit(1))', 'exits'],
  ['once("data", () => { throw new Error("on purpose") })', 'throws'],
  ['once("data", () => process.kill(process.pid, "SIGTERM"))', 'is ended by SIGTERM'],
  ['once("data", () => process.kill(process.pid, "SIGKILL"))', 'is killed'],
]) {
  test(`a broker does not outlive a process that ${how}`, async (t) => {
    const { child, url } = await program(t, STARTS + end);
    child.stdin.end('now');
    await ended(url);
  });
}

test('the broker of the environment is used, and left running', async (t) => {
  const broker = await started(t);
  const environment = { PUSHER_TEST_URL: broker.url, PUSHER_TEST_TOKEN: broker.token };
  Object.assign(process.env, environment);
  t.after(() => Object.keys(environment).forEach((name) => delete process.env[name]));
  for (const found of [Broker.fromEnvironment(environment), await Broker.open()]) {
    assert.equal(found.url, broker.url);
    await found.stop();
  }
  await broker.createApp();
});

test('heliostat exec is the environment', async (t) => {
  const text = `
    import { Broker } from 'heliostat-testing';
    const broker = await Broker.open();
    const app = await broker.app(process.env.PUSHER_APP_ID);
    await broker.stop();
    console.log(app.key === process.env.PUSHER_APP_KEY, (await broker.createApp()).id !== app.id);
  `;
  const program = process.env.HELIOSTAT_BIN ?? 'heliostat';
  const child = spawn(program, ['exec', '--', process.execPath, '--input-type=module', '--eval', text], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.after(() => child.kill('SIGKILL'));
  const [said] = await within(once(child.stdout.setEncoding('utf8'), 'data'), 'what the program says');
  assert.equal(said, 'true true\n');
});

test('a broker is reset as a whole', async (t) => {
  const broker = await started(t);
  const app = await broker.createApp();
  await backend(app).trigger('room', 'message', {});
  await app.until(event({ count: 1 }));
  await broker.reset();
  assert.equal(await app.timeline(), '');
});

test('strangers are those who have the key of no app', async (t) => {
  const broker = await started(t);
  const app = await broker.createApp();
  const client = connect(t, { ...app, key: 'mistyped', clientOptions: app.clientOptions, serverOptions: app.serverOptions });
  await within(new Promise((resolve) => client.connection.bind('error', resolve)), 'the refusal');
  const { entries } = await broker.strangers({ type: 'connection_refused', code: 4001 });
  assert.equal(entries.length, 1);
  assert.match(entries[0].path, /mistyped/);
});

test('without an environment it is said what was expected', () => {
  for (const env of [{}, { PUSHER_TEST_URL: 'http://127.0.0.1:6001/test' }, { PUSHER_TEST_TOKEN: 'token' }]) {
    assert.throws(() => Broker.fromEnvironment(env), {
      name: 'HeliostatError',
      message: /^expected the variables PUSHER_TEST_URL and PUSHER_TEST_TOKEN: run the tests with `heliostat exec -- COMMAND`/,
    });
  }
});

test('a broker that cannot be started says why', async () => {
  const says = (options, message) => assert.rejects(Broker.start(options), { name: 'HeliostatError', message });
  await says({ program: './no-such-program' }, /^there is no program ".\/no-such-program": install heliostat, or name/);
  await says({ program: import.meta.dirname }, /^the broker cannot be started: .*EACCES/);
  await says({ args: ['--no-such-flag'] }, /ended before it was ready, with status 2; it wrote to standard error:\n.*'--no-such-flag'/);
  await says({ env: { HELIOSTAT_APP_LIMITS_CONNECTIONS: 'x' } }, /HELIOSTAT_APP_LIMITS_CONNECTIONS: .*got "x"$/);
  await says({ program: 'false' }, /^the broker \(false\) ended before it was ready, with status 1$/);
  await says({ program: 'echo' }, /^expected a line of JSON from the broker \(echo\), got "serve --test\\n"$/);
  const silent = fileURLToPath(new URL('silent-broker', import.meta.url));
  await says({ program: silent, startTimeoutMs: 500 }, /was not ready after 500 ms(; it wrote to .*:\nstill warming up)?$/);
});

test('a wrong token is refused in the words of the broker', async (t) => {
  const { url } = await started(t);
  const error = await new Broker({ url, token: 'wrong' }).createApp().then(assert.fail, (error) => error);
  assert.ok(error instanceof ControlError && error instanceof HeliostatError);
  assert.deepEqual([error.method, error.path, error.status], ['POST', '/test/apps', 401]);
  assert.match(error.message, /^POST \/test\/apps: 401: expected the header Authorization: Bearer TOKEN/);
  assert.match(error.stack, /^ControlError: (.*\n)*.*broker\.test\.mjs/);
});

test('what is mistaken is refused in the words of the broker', async (t) => {
  const app = await (await started(t)).createApp();
  const says = (asked, message) => assert.rejects(asked, { name: 'ControlError', status: 400, message });
  await says(app.until({ type: 'subscriberz' }), /: 400: expected "type" to be one of subscribers, .*, got "subscriberz"; did you mean "subscribers"\?$/);
  await says(app.until(event({ chanel: 'room' })), /chanel/);
  await says(app.fault({ type: 'http', status: 42 }), /42/);
  await says(app.log({ type: 'events' }), /expected a type of entry/);
  await says(app.advance(-1), /-1/);
});

test('undefined is not taken for "anything"', async (t) => {
  const app = await (await started(t)).createApp();
  const nobody = {};
  const says = (asked, member) => assert.rejects(asked, { name: 'TypeError', message: new RegExp(`^"${member}" is undefined in`) });
  await says(app.close({ socket_id: nobody.socket_id }), 'socket_id');
  await says(app.until(subscribers('room')), 'count');
  await says(app.until(event({ user_id: nobody.id })), 'user_id');
  await says(app.until(event({ data: { 'user.id': nobody.id } })), 'equals');
  await says(app.log({ channel: nobody.channel }), 'channel');
});

test('a broker that is not there is named', async (t) => {
  const broker = await Broker.start();
  await broker.stop();
  const error = await broker.createApp().then(assert.fail, (error) => error);
  assert.ok(error.message.startsWith(`the broker's control API at ${broker.url} cannot be reached: connect ECONNREFUSED`));
  assert.match(error.stack, /broker\.test\.mjs/);
});
