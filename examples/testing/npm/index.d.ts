/// <reference lib="esnext.disposable" />
// Objects that go to the broker or come from it have the broker's own names (`user_id`, `at_least`, `delay_ms`); what
// belongs to this package alone is written as JavaScript is (`timeoutMs`, `pathPrefix`). All times are milliseconds.

// ---- Brokers ----------------------------------------------------------------------------------------------------

/** A broker in test mode, over its control API. */
export class Broker implements AsyncDisposable {
  constructor(broker: { url: string; token: string; stop?: () => Promise<void> });
  /** The broker of `PUSHER_TEST_URL` and `PUSHER_TEST_TOKEN`, as `heliostat exec` sets them. */
  static fromEnvironment(env?: Record<string, string | undefined>): Broker;
  /** Starts `heliostat serve --test`. The broker ends with `stop`, and with this process at the latest. */
  static start(options?: StartOptions): Promise<Broker>;
  /** The broker of the environment if it names one, else one that is started. */
  static open(options?: StartOptions): Promise<Broker>;

  /** Where the control API is: `http://127.0.0.1:6001/test`. */
  readonly url: string;
  readonly token: string;
  /** Makes an app that nobody else hears of; takes about a millisecond. */
  createApp(options?: AppOptions): Promise<App>;
  /** An app that is there already, such as that of `PUSHER_APP_ID`. */
  app(id: string): Promise<App>;
  /** Of all apps: forgets what has happened and ends all faults; with `connections`, closes those, too, with 4200. */
  reset(options?: ResetOptions): Promise<void>;
  /** What concerned no known app, such as connections with a mistyped key. */
  strangers(filter?: LogFilter): Promise<Log>;
  /** Stops a broker that this object has started, and waits until it has ended. Any other goes on. */
  stop(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

export interface StartOptions {
  /** The broker's program; without it, that of `HELIOSTAT_BIN`, else `heliostat` on the `PATH`. */
  program?: string;
  /** More arguments for `heliostat serve --test`. */
  args?: readonly string[];
  /** More environment, such as `HELIOSTAT_APP_KEY`. */
  env?: Record<string, string>;
  /** How long the broker may take to be ready: 20000. */
  startTimeoutMs?: number;
}

export interface AppOptions {
  /** The app whose settings it has where nothing else is said; without it, the first that is configured. */
  like?: string;
  id?: string;
  key?: string;
  secret?: string;
  /**
   * As in the configuration of an app: `client_events`, `limits.connections`; nested or dotted. Besides, how the app's
   * connections are treated: `connection.outbox_bytes`, `connection.ping_after_seconds` …
   */
  settings?: Settings;
  /** Whom its webhooks are sent to, instead of those whom the app that it is like sends them to. */
  webhooks?: readonly Endpoint[];
  /** What its channels keep and deliver, instead of those of the app that it is like: the first pattern that matches decides. */
  channels?: readonly ChannelSettings[];
}

export type Settings = Readonly<Record<string, unknown>>;

export interface ChannelSettings {
  /** A channel, or channels, with one `*`. */
  pattern: string;
  delivery?: 'every' | 'latest' | 'video';
  /** How much of their last events they keep. */
  history?: { events?: number; bytes?: number; seconds?: number };
  /** With `video`: user ids of those who may send tracks; one `*` in each stands for any text. */
  publishers?: string[];
  /** With `video`: bytes of the last pictures that are kept of a channel. */
  cache_bytes?: number;
}

export interface Endpoint {
  url: string;
  /** Without it, all. */
  events?: readonly WebhookEvent[];
  /** A pattern with `*`; without it, all. */
  channels?: string;
}

export type WebhookEvent =
  | 'channel_existence'
  | 'presence'
  | 'channel_occupied'
  | 'channel_vacated'
  | 'member_added'
  | 'member_removed'
  | 'client_event'
  | 'cache_miss'
  | 'subscription_count';

export interface ResetOptions {
  connections?: boolean;
}

// ---- Apps -------------------------------------------------------------------------------------------------------

/** One app of a broker. */
export class App implements AsyncDisposable {
  private constructor();
  readonly id: string;
  readonly key: string;
  readonly secret: string;
  readonly host: string;
  readonly port: number;
  readonly scheme: 'http' | 'https';
  readonly cluster: string;
  /** As `PUSHER_URL` has it: with key and secret. */
  readonly url: string;
  /** Empty, or such as `/realtime`. */
  readonly pathPrefix: string;
  /** The variables that libraries and frameworks read: `PUSHER_APP_KEY`, `VITE_PUSHER_HOST` … */
  readonly environment: Readonly<Record<string, string>>;
  /** For pusher-js: `new Pusher(app.key, app.clientOptions)`. */
  readonly clientOptions: ClientOptions;
  /** For the package `pusher`: `new Pusher(app.serverOptions)`. It knows no `pathPrefix`. */
  readonly serverOptions: ServerOptions;

  /** How long `until` waits where nothing is said: 5000. */
  timeoutMs: number;
  /** Waits until the condition holds, and has held for `holdsMs` without interruption; else throws `NotMet`. */
  until(condition: Condition, options?: { timeoutMs?: number; holdsMs?: number }): Promise<Outcome>;
  /** What has happened, the earliest first; 1000 entries at once unless the filter's `limit` says otherwise. */
  log(filter?: LogFilter): Promise<Log>;
  /** What has happened, for people: the last 200 lines. */
  timeline(): Promise<string>;
  counts(): Promise<Counts>;
  /** Who is connected, in the order in which they came. */
  connections(): Promise<Connection[]>;
  /** The number of the log's last entry, for `after`. */
  last(): Promise<number>;

  /** From now on, this goes wrong. */
  fault(fault: FaultOptions): Promise<Fault>;
  /** The faults at work. */
  faults(): Promise<ActiveFault[]>;
  /** Ends all faults; answers how many there were. */
  clearFaults(): Promise<number>;
  /** Ends the connections that are everything that is named, all if nothing is; answers their socket ids. */
  close(options?: CloseOptions): Promise<string[]>;
  /** Advances the app's clock; answers by how much it has been advanced in all. At most 366 days at once. */
  advance(ms: number): Promise<number>;
  /**
   * Advances the app's clock to whatever is due next, and waits until that has happened. Throws a `ControlError` with the
   * status 404 where nothing is due.
   */
  advanceToNext(): Promise<NextDue>;
  /** Forgets what has happened and ends all faults; with `connections`, closes those, too, with 4200. */
  reset(options?: ResetOptions): Promise<void>;
  /** The app's end: its connections are closed with 4001. */
  delete(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

export interface ClientOptions {
  cluster: string;
  wsHost: string;
  wsPort: number;
  wssPort: number;
  wsPath?: string;
  httpHost: string;
  httpPort: number;
  httpsPort: number;
  httpPath?: string;
  forceTLS: boolean;
  enabledTransports: 'ws'[];
  disableStats: boolean;
}

export interface ServerOptions {
  appId: string;
  key: string;
  secret: string;
  host: string;
  port: string;
  useTLS: boolean;
}

// ---- What can be waited for -------------------------------------------------------------------------------------

/** `channel` has `count` subscribed connections. */
export function subscribers(channel: string, count: Count): SubscribersCondition;
/** The presence channel has so many members, or exactly those with these ids. */
export function members(channel: string, expected: Count | readonly string[]): MembersCondition;
/** So many connections are signed in as the user; without a count, at least one. */
export function signedIn(userId: string, connections?: Count): SignedInCondition;
/** The app has so many connections. */
export function connections(count: Count): ConnectionsCondition;
/** So many such events were accepted; without a count, at least one. So it is with the next five. */
export function event(filter?: EntryFilter): EntryCondition<'event'>;
/** So many such deliveries were made, each to one connection; or to `sockets` distinct ones. */
export function delivered(filter?: EntryFilter): EntryCondition<'delivered'>;
/** So many subscribers were told whether they were sent all that they missed or asked for: `data` is `{ complete: true }`. */
export function resumed(filter?: EntryFilter): EntryCondition<'resumed'>;
/** So many such events were delivered in webhooks: `name` is `member_added` …, `path` part of the URL. */
export function webhook(filter?: EntryFilter): EntryCondition<'webhook'>;
/** So many such refusals: of a connection (`code`), of what a client asked for, of a request (`status`). */
export function refused(filter?: EntryFilter): EntryCondition<'refused'>;
/** So many entries of the log fit the filter, of all or of those after one; without a count, at least one. */
export function logged(filter: Filter, count?: Count, options?: { after?: number; sockets?: Count }): LoggedCondition;
/** For `forMs` nothing fits the filter: from now on, or after the entry with this number. */
export function nothing(forMs: number, filter?: Filter, options?: { after?: number }): NothingCondition;

export type Condition =
  | SubscribersCondition
  | MembersCondition
  | SignedInCondition
  | ConnectionsCondition
  | EntryCondition<'event' | 'delivered' | 'resumed' | 'webhook' | 'refused'>
  | LoggedCondition
  | NothingCondition;

export interface SubscribersCondition {
  type: 'subscribers';
  channel: string;
  count: Count;
}
export type MembersCondition =
  | { type: 'members'; channel: string; count: Count; user_ids?: never }
  | { type: 'members'; channel: string; user_ids: readonly string[]; count?: never };
export interface SignedInCondition {
  type: 'signed_in';
  user_id: string;
  connections?: Count;
}
export interface ConnectionsCondition {
  type: 'connections';
  count: Count;
}
export interface EntryCondition<Type> extends Having<readonly Expectation[]>, HowMany {
  type: Type;
}
export interface LoggedCondition extends HowMany {
  type: 'logged';
  filter: WrittenFilter;
}
export interface NothingCondition {
  type: 'nothing';
  for_ms: number;
  filter?: WrittenFilter;
  /** Only entries after this number; without it, those that come from now on. */
  after?: number;
}

/** Exactly so many, or a range. */
export type Count = number | { at_least: number; at_most?: number } | { at_least?: number; at_most: number };

export interface HowMany {
  count?: Count;
  /** Of how many distinct connections they must be. */
  sockets?: Count;
  /** Only entries after this number. */
  after?: number;
}

/** What an entry of the log must have: all that is named. */
export interface Having<Payload> {
  socket_id?: string;
  user_id?: string;
  channel?: string;
  /** Of the event or webhook. */
  name?: string;
  source?: 'client' | 'http';
  /** A close code, or the code of a `pusher:error`. */
  code?: number;
  /** An HTTP status. */
  status?: number;
  /** Part of the reason. */
  reason?: string;
  /** Part of the path. */
  path?: string;
  /** The number of the fault. */
  fault?: number;
  data?: Payload;
}

export interface EntryFilter extends Having<Data>, HowMany {}

export interface Filter extends Having<Data> {
  type?: Kind | readonly Kind[];
}

export interface WrittenFilter extends Having<readonly Expectation[]> {
  type?: Kind | readonly Kind[];
}

export interface LogFilter extends Filter {
  /** Only entries after this number. */
  after?: number;
  /** Entries to be given at once: 1000. */
  limit?: number;
}

/**
 * What the payload must hold: a value for each path, `{ 'user.id': 7, 'items[0]': 'book' }`; the whole payload, if it
 * is a string, a number, a boolean or null; or a list of expectations.
 */
export type Data = Readonly<Record<string, Value>> | string | number | boolean | null | readonly Expectation[];

export interface Expectation {
  /** A place in the payload, such as `user.name` or `$.items[0]['odd.name']`; without it, the payload itself. */
  path?: string;
  /** The JSON value that must stand there; without it, any will do. */
  equals?: Value;
}

/** Anything but undefined, which JSON does not know. */
export type Value = {} | null;

/** What came of waiting. */
export interface Outcome {
  met: boolean;
  waited_ms: number;
  expected: string;
  /** A number, or the ids of members. */
  found: number | string[];
  /** Those that the condition is about, the latest twenty. */
  entries: Entry[];
  /** What came closest to meeting a condition that was not met, with what is different about it. */
  near: string[];
  /** The number of the log's last entry. */
  last: number;
  /** A sentence for a test that fails. */
  message: string;
}

// ---- What has happened ------------------------------------------------------------------------------------------

export type Kind =
  | 'connected'
  | 'connection_refused'
  | 'disconnected'
  | 'subscribed'
  | 'unsubscribed'
  | 'channel_occupied'
  | 'channel_vacated'
  | 'member_added'
  | 'member_removed'
  | 'signed_in'
  | 'refused'
  | 'http_refused'
  | 'event'
  | 'delivered'
  | 'resumed'
  | 'webhook'
  | 'webhook_failed'
  | 'fault'
  | 'clock_advanced'
  | 'gave_up';

export interface Entry {
  /** Counted from 1 within the app. */
  seq: number;
  /** Since the app came under test. */
  at_ms: number;
  type: Kind;
  socket_id?: string;
  user_id?: string;
  channel?: string;
  name?: string;
  /** The payload as subscribers are sent it: text, which often is JSON. */
  data?: string;
  source?: 'client' | 'http';
  code?: number;
  status?: number;
  reason?: string;
  path?: string;
  fault?: number;
  attempt?: number;
  advanced_ms?: number;
}

export interface Log {
  entries: Entry[];
  /** Read on from here. */
  last: number;
  /** Entries that had been forgotten because the log was full. */
  forgotten: number;
}

/** How far the clock was advanced, and what for. */
export interface NextDue {
  /** By how much it has been advanced in all. */
  advanced_ms: number;
  /** By how much it was advanced now. */
  by_ms: number;
  /** What was due then and has happened, each kind once. */
  due: Timed[];
}

/** What goes by the clock of an app. */
export type Timed =
  | 'ping'
  | 'pong_timeout'
  | 'inactivity'
  | 'authorization'
  | 'subscription_count'
  | 'cache_expiry'
  | 'session_heartbeat'
  | 'poll_hold'
  | 'session_end'
  | 'stream_heartbeat'
  | 'pipe_ping'
  | 'pipe_pong_timeout'
  | 'pipe_pace'
  | 'webhook_removal'
  | 'webhook_batch'
  | 'webhook_retry'
  | 'held_frame'
  | 'fault_end';

export interface Counts {
  connections: number;
  users: Record<string, number>;
  channels: Record<string, { subscribers: number; members: number }>;
  /** Entries in the log, by kind. */
  logged: Partial<Record<Kind, number>>;
  last: number;
  faults: number;
  advanced_ms: number;
}

export interface Connection {
  socket_id: string;
  user_id: string | null;
  channels: string[];
}

// ---- What goes wrong --------------------------------------------------------------------------------------------

export type FaultOptions = (
  | { type: 'refuse_connections'; code: number; reason?: string }
  | ({ type: 'frames' } & WhichFrames & FrameAction)
  | { type: 'ignore_pings'; socket_id?: string; user_id?: string }
  | ({ type: 'http'; path?: string } & ({ status: number; body?: string; hang?: false } | { hang: true }))
  | { type: 'webhooks'; status?: number }
) &
  Scope;

export type FrameAction = { action: 'drop' | 'duplicate' | 'reorder' } | { action: 'delay'; delay_ms: number };

export interface WhichFrames {
  event?: string;
  channel?: string;
  socket_id?: string;
  user_id?: string;
}

export interface Scope {
  /** So often; without it, until it is cleared. */
  times?: number;
  /** So long, by the app's clock. */
  for_ms?: number;
  /** By chance, above 0 and up to 1; the same `seed` repeats itself. */
  share?: number;
  seed?: number;
}

/** A fault at work. */
export class Fault implements AsyncDisposable {
  private constructor();
  readonly id: number;
  /** Ends it; answers whether it was still there. */
  clear(): Promise<boolean>;
  [Symbol.asyncDispose](): Promise<void>;
}

export type ActiveFault = FaultOptions & {
  id: number;
  /** How often it has acted. */
  used: number;
};

export type CloseOptions = {
  socket_id?: string;
  user_id?: string;
  channel?: string;
  share?: number;
  seed?: number;
} & ({ code?: number; reason?: string; abrupt?: false } | { abrupt: true });

// ---- Errors -----------------------------------------------------------------------------------------------------

/** The broker cannot be found, started or reached; the message says what to do. */
export class HeliostatError extends Error {}

/** The control API refused a request; the message holds its sentence. */
export class ControlError extends HeliostatError {
  readonly method: string;
  readonly path: string;
  readonly status: number;
}

/** What a test waited for did not come: an `AssertionError` of Node with the broker's sentence as its message. */
export class NotMet extends Error {
  readonly outcome: Outcome;
}
