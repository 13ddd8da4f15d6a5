// What happened, or is to happen, as code that one can run.

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
export function asPusherJs(entry, key, host) {
  const { channel = 'my-channel', event } = entry;
  const lines = [
    `const pusher = new Pusher(${js(key)}, { cluster: 'heliostat', wsHost: ${js(host)}, wsPort: 6001, wssPort: 6001, forceTLS: false });`,
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
export function asServerCalls({ channels = ['my-channel'], name = 'my-event', data = '', except }, { id, key }) {
  const value = isJson(data) ? data : js(data);
  const list = js(channels);
  const host = location.hostname;
  return [
    ['Node', `const Pusher = require('pusher');\nconst pusher = new Pusher({ appId: ${js(id)}, key: ${js(key)}, secret: process.env.PUSHER_SECRET, host: ${js(host)}, port: 6001, useTLS: false });\nawait pusher.trigger(${list}, ${js(name)}, ${value}${except ? `, { socket_id: ${js(except)} }` : ''});`],
    ['PHP', `$pusher = new Pusher\\Pusher(${js(key)}, getenv('PUSHER_SECRET'), ${js(id)}, ['host' => ${js(host)}, 'port' => 6001, 'scheme' => 'http']);\n$pusher->trigger(${list}, ${js(name)}, json_decode(${php(value)})${except ? `, ['socket_id' => ${js(except)}]` : ''});`],
    ['Python', `import json, os, pusher\nclient = pusher.Pusher(app_id=${js(id)}, key=${js(key)}, secret=os.environ['PUSHER_SECRET'], host=${js(host)}, port=6001, ssl=False)\nclient.trigger(${list}, ${js(name)}, json.loads(${js(value)})${except ? `, ${js(except)}` : ''})`],
    ['Ruby', `client = Pusher::Client.new(app_id: ${js(id)}, key: ${js(key)}, secret: ENV['PUSHER_SECRET'], host: ${js(host)}, port: 6001)\nclient.trigger(${list}, ${js(name)}, JSON.parse(${js(value)}, quirks_mode: true)${except ? `, socket_id: ${js(except)}` : ''})`],
    ['Go', `client := pusher.Client{AppID: ${js(id)}, Key: ${js(key)}, Secret: os.Getenv("PUSHER_SECRET"), Host: ${js(`${host}:6001`)}}\nerr := client.TriggerMulti([]string{${channels.map(js).join(', ')}}, ${js(name)}, json.RawMessage(${js(value)}))`],
    ['Command line', `heliostat trigger ${shell(channels[0])} ${shell(name)} ${shell(data)} --url ${shell(`http://${host}:6001`)} --app ${shell(`${id}:${key}:SECRET`)}`],
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
