// Everything that the package has, and mistakes that must not compile. Nobody runs this.

import {
  App, Broker, connections, ControlError, delivered, event, Fault, HeliostatError, logged, members, NotMet, nothing,
  refused, resumed, signedIn, subscribers, webhook,
} from 'heliostat-testing';
import type { ActiveFault, Condition, Connection, Counts, Entry, FaultOptions, Log, NextDue, Outcome, Timed } from 'heliostat-testing';
import { expect as expectOfPlaywright, test as playwrightTest } from 'heliostat-testing/playwright';
import playwrightSetup from 'heliostat-testing/playwright-setup';
import { expect as expectOfVitest, test as vitestTest } from 'heliostat-testing/vitest';
import vitestSetup from 'heliostat-testing/vitest-setup';
import PusherServer from 'pusher';
import Pusher from 'pusher-js';

export async function everything(): Promise<void> {
  const started: Broker = await Broker.start({
    program: 'heliostat', args: ['--port', '6001'], env: { HELIOSTAT_APP_ID: '1' }, startTimeoutMs: 1000,
  });
  const broker = (await Broker.open()) ?? Broker.fromEnvironment() ?? new Broker({ url: started.url, token: started.token });
  const app: App = await broker.createApp({
    like: '1', id: '2', key: 'key', secret: 'secret', settings: { client_events: false, limits: { connections: 3 } },
    webhooks: [{ url: 'http://127.0.0.1:8000/', events: ['presence', 'cache_miss'], channels: 'presence-*' }],
  });
  const known: App = await broker.app('1');
  await broker.reset({ connections: true });
  const strangers: Log = await broker.strangers({ type: 'connection_refused', after: 1, limit: 1 });

  new Pusher(app.key, app.clientOptions);
  new PusherServer(app.serverOptions);
  const texts: string[] = [app.id, app.secret, app.host, app.cluster, app.url, app.pathPrefix, app.environment.PUSHER_URL!];
  const scheme: 'http' | 'https' = app.scheme;
  app.timeoutMs = app.port;

  const conditions: Condition[] = [
    subscribers('room', 2),
    subscribers('room', { at_least: 1 }),
    members('presence-room', { at_least: 1, at_most: 2 }),
    members('presence-room', ['ann', 'bob']),
    signedIn('ann'),
    signedIn('ann', 2),
    connections(0),
    event({ channel: 'room', name: 'message', data: { 'user.id': 7, items: ['book'] }, source: 'http', count: 1, after: 3 }),
    event({ data: 'the whole' }),
    event(),
    delivered({ data: [{ path: 'user.id' }, { equals: null }], sockets: { at_most: 3 }, socket_id: '1.2' }),
    resumed({ channel: 'room', data: { complete: true } }),
    webhook({ name: 'member_added', user_id: 'ann', path: '/webhook' }),
    refused({ code: 4001, status: 401, reason: 'signature', fault: 1 }),
    logged({ type: ['connected', 'disconnected'] }, { at_most: 3 }),
    logged({ type: 'gave_up' }, 1, { after: 7, sockets: 2 }),
    nothing(10, { type: 'event' }, { after: 7 }),
    nothing(100, { type: 'event', data: { id: 7 } }),
    { type: 'subscribers', channel: 'room', count: 1 },
    { type: 'members', channel: 'presence-room', user_ids: ['ann'] },
    { type: 'nothing', for_ms: 100, after: 7, filter: { data: [{ path: 'id', equals: 7 }] } },
  ];
  const outcome: Outcome = await app.until(conditions[0]!, { timeoutMs: 100, holdsMs: 10 });
  const entry: Entry | undefined = outcome.entries[0];
  const log: Log = await app.log({ type: ['event', 'delivered'], data: { id: 7 } });
  const counts: Counts = await app.counts();
  const connected: Connection[] = await app.connections();
  texts.push(await app.timeline());
  const numbers: number[] = [await app.last(), await app.clearFaults(), await app.advance(1000)];
  const reached: NextDue = await app.advanceToNext();
  numbers.push(reached.by_ms, reached.advanced_ms);
  const due: Timed | undefined = reached.due[0];

  const wanted: FaultOptions[] = [
    { type: 'refuse_connections', code: 4100, reason: 'full', times: 2 },
    { type: 'frames', action: 'drop', channel: 'room', share: 0.2, seed: 7 },
    { type: 'frames', action: 'delay', delay_ms: 50, event: 'message' },
    { type: 'ignore_pings', user_id: 'ann', for_ms: 1000 },
    { type: 'http', status: 503, body: 'busy', path: '/events' },
    { type: 'http', hang: true },
    { type: 'webhooks', status: 500 },
    { type: 'webhooks' },
  ];
  const fault: Fault = await app.fault(wanted[0]!);
  const active: ActiveFault[] = await app.faults();
  const cleared: boolean = await fault.clear();
  const closed: string[] = await app.close({ channel: 'room', code: 4200, reason: 'a test' });
  await app.close({ abrupt: true, share: 0.5, seed: 7 });
  await app.reset();
  {
    await using own = await broker.createApp();
    await using failing = await own.fault({ type: 'http', status: 500 });
    void failing;
  }
  await app.delete();
  await started.stop();

  const errors: Error[] = [];
  for (const error of errors) {
    if (error instanceof NotMet) texts.push(error.outcome.message);
    if (error instanceof ControlError) texts.push(error.method, error.path, String(error.status));
    if (error instanceof HeliostatError) texts.push(error.message);
  }
  void [known, strangers, scheme, entry, log, counts, connected, numbers, due, active[0]?.used, cleared, closed];
}

export function fixtures(): void {
  vitestTest('has them', async ({ pusher, broker }) => {
    const both: [App, Broker] = [pusher, broker];
    expectOfVitest(both).toHaveLength(2);
  });
  vitestTest.extend({ pusherSettings: { client_events: false }, pusherWebhooks: [] });
  playwrightTest.use({ pusherSettings: { client_events: false }, pusherWebhooks: [{ url: 'http://127.0.0.1:8000/' }] });
  playwrightTest('has them', async ({ page, pusher, broker }) => {
    const both: [App, Broker] = [pusher, broker];
    await expectOfPlaywright(page).toHaveTitle(both[0].id);
  });
  const setups: (() => Promise<(() => Promise<void>) | undefined>)[] = [vitestSetup, playwrightSetup];
  void setups;
}

export async function mistakes(app: App, broker: Broker): Promise<void> {
  // @ts-expect-error: a count is missing
  subscribers('room');
  // @ts-expect-error: a mistyped member of a filter
  event({ chanel: 'room' });
  // @ts-expect-error: no such source
  event({ source: 'websocket' });
  // @ts-expect-error: a count of nothing
  connections({});
  // @ts-expect-error: a mistyped bound
  connections({ atLeast: 1 });
  // @ts-expect-error: undefined would let anything pass
  event({ data: { 'user.id': undefined } });
  // @ts-expect-error: no such kind of entry
  logged({ type: 'events' });
  // @ts-expect-error: the time is missing
  nothing();
  // @ts-expect-error: no such condition
  await app.until({ type: 'subscriberz', channel: 'room', count: 1 });
  // @ts-expect-error: a mistyped member of a condition
  await app.until({ type: 'subscribers', chanel: 'room', count: 1 });
  // @ts-expect-error: either so many or these
  await app.until({ type: 'members', channel: 'presence-room', count: 1, user_ids: ['ann'] });
  // @ts-expect-error: a plain condition has the list that the control API knows
  await app.until({ type: 'event', data: { id: 7 } });
  // @ts-expect-error: a mistyped option
  await app.until(connections(0), { timeout: 100 });
  // @ts-expect-error: no such fault
  await app.fault({ type: 'https', status: 500 });
  // @ts-expect-error: a mistyped member of a fault
  await app.fault({ type: 'http', satus: 500 });
  // @ts-expect-error: a member of another fault
  await app.fault({ type: 'ignore_pings', channel: 'room' });
  // @ts-expect-error: how long?
  await app.fault({ type: 'frames', action: 'delay' });
  // @ts-expect-error: only who delays has a delay
  await app.fault({ type: 'frames', action: 'drop', delay_ms: 50 });
  // @ts-expect-error: either an answer or none
  await app.fault({ type: 'http', status: 500, hang: true });
  // @ts-expect-error: either a close frame or none
  await app.close({ abrupt: true, code: 4200 });
  // @ts-expect-error: no such event of webhooks
  await broker.createApp({ webhooks: [{ url: 'http://127.0.0.1/', events: ['presense'] }] });
  // @ts-expect-error: a mistyped option
  await Broker.start({ arguments: [] });
  // @ts-expect-error: apps are made by brokers
  new App();
  // @ts-expect-error: what an app is, it stays
  app.key = 'another';
  // @ts-expect-error: no such option
  playwrightTest.use({ pusherSetting: {} });
  // @ts-expect-error: an endpoint has a URL
  playwrightTest.use({ pusherWebhooks: [{ uri: 'http://127.0.0.1/' }] });
}
