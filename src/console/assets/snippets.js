// What happened, or is to happen, as code that one can run.

/** Where clients come to the node that shows this, by the name under which it is seen here. */
function clientsPlace(status) {
  const url = status?.url && URL.canParse(status.url) ? new URL(status.url) : null;
  const isTls = url?.protocol === 'https:';
  return { host: location.hostname, port: Number(url?.port) || (isTls ? 443 : 80), isTls };
}

/** Text as it stands within single quotes of a shell. */
const shell = (text) => `'${String(text).replaceAll("'", "'\\''")}'`;
const js = (value) => JSON.stringify(value);

/** The text of an event's payload; of a binary message its members. */
function textOf(entry) {
  return entry.data?.text ?? entry.data?.members ?? '';
}

/** The same event once more, over the admin listener: no secret of the app is needed. */
export function asCurl(app, body) {
  const url = new URL(`api/apps/${encodeURIComponent(app)}/send`, location.href.split('#')[0]);
  return `curl ${shell(url.href)} \\\n  -H "Authorization: Bearer $HELIOSTAT_ADMIN_TOKEN" \\\n  -H 'Content-Type: application/json' \\\n  -d ${shell(JSON.stringify(body))}\n`;
}

/** What the console sends to have this event again. */
export function asSent(entry) {
  const whom = entry.to_socket ? { socket_id: entry.to_socket } : entry.channel ? { channels: [entry.channel] } : { user_id: entry.user_id };
  return { ...whom, name: entry.event, data: textOf(entry), ...(entry.except ? { except: entry.except } : {}) };
}

/** A client that hears it, and sends it where clients may. */
export function asPusherJs(entry, key, status) {
  const { channel = 'my-channel', event } = entry;
  const { host, port, isTls } = clientsPlace(status);
  const lines = [
    `const pusher = new Pusher(${js(key)}, { cluster: 'heliostat', wsHost: ${js(host)}, wsPort: ${port}, wssPort: ${port}, forceTLS: ${isTls} });`,
    `const channel = pusher.subscribe(${js(channel)});`,
    `channel.bind(${js(event)}, (data) => console.log(data));`,
  ];
  if (event?.startsWith('client-')) {
    lines.push(`channel.bind('pusher:subscription_succeeded', () => channel.trigger(${js(event)}, ${isJson(textOf(entry)) ? textOf(entry) : js(textOf(entry))}));`);
  }
  return `${lines.join('\n')}\n`;
}

/** A test of the test kit that expects it. */
export function asTest(entry) {
  const { channel = 'my-channel', event } = entry;
  return [
    "import { delivered, subscribers } from 'heliostat-testing';",
    "import { expect, test } from 'heliostat-testing/vitest';",
    '',
    `test(${js(`${event} reaches ${channel}`)}, async ({ pusher }) => {`,
    '  // Here the app under test opens its page or client.',
    `  await pusher.until(subscribers(${js(channel)}, 1));`,
    '  // Here it does what is to send the event.',
    `  await pusher.until(delivered({ channel: ${js(channel)}, name: ${js(event)}, count: ${Math.max(1, entry.receivers ?? 1)} }));`,
    '});',
    '',
  ].join('\n');
}

/** The call of each server library that sends the same. */
export function asServerCalls({ channels = ['my-channel'], name = 'my-event', data = '', except }, { id, key }, status) {
  const value = isJson(data) ? data : js(data);
  const list = js(channels);
  const { host, port, isTls } = clientsPlace(status);
  const scheme = isTls ? 'https' : 'http';
  return [
    ['Node', `const Pusher = require('pusher');\nconst pusher = new Pusher({ appId: ${js(id)}, key: ${js(key)}, secret: process.env.PUSHER_SECRET, host: ${js(host)}, port: ${port}, useTLS: ${isTls} });\nawait pusher.trigger(${list}, ${js(name)}, ${value}${except ? `, { socket_id: ${js(except)} }` : ''});`],
    ['PHP', `$pusher = new Pusher\\Pusher(${js(key)}, getenv('PUSHER_SECRET'), ${js(id)}, ['host' => ${js(host)}, 'port' => ${port}, 'scheme' => '${scheme}']);\n$pusher->trigger(${list}, ${js(name)}, json_decode(${php(value)})${except ? `, ['socket_id' => ${js(except)}]` : ''});`],
    ['Python', `import json, os, pusher\nclient = pusher.Pusher(app_id=${js(id)}, key=${js(key)}, secret=os.environ['PUSHER_SECRET'], host=${js(host)}, port=${port}, ssl=${isTls ? 'True' : 'False'})\nclient.trigger(${list}, ${js(name)}, json.loads(${js(value)})${except ? `, ${js(except)}` : ''})`],
    ['Ruby', `client = Pusher::Client.new(app_id: ${js(id)}, key: ${js(key)}, secret: ENV['PUSHER_SECRET'], host: ${js(host)}, port: ${port}${isTls ? ", scheme: 'https'" : ''})\nclient.trigger(${list}, ${js(name)}, JSON.parse(${js(value)}, quirks_mode: true)${except ? `, socket_id: ${js(except)}` : ''})`],
    ['Go', `client := pusher.Client{AppID: ${js(id)}, Key: ${js(key)}, Secret: os.Getenv("PUSHER_SECRET"), Host: ${js(`${host}:${port}`)}${isTls ? ', Secure: true' : ''}}\nerr := client.TriggerMulti([]string{${channels.map(js).join(', ')}}, ${js(name)}, json.RawMessage(${js(value)}))`],
    ['Command line', `heliostat trigger ${shell(channels[0])} ${shell(name)} ${shell(data)} --url ${shell(`${scheme}://${host}:${port}`)} --app ${shell(`${id}:${key}:SECRET`)}`],
  ];
}

const php = (text) => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;

function isJson(text) {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
