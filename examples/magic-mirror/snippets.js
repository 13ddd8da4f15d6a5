// Ready-to-paste programs for this broker. Browser snippets carry the key and never the secret.

/** Fills the snippets in; without an app id or a secret (see loadSettings) they name what is missing. */
export function snippets(settings) {
  const known = {
    ...settings,
    appId: settings.appId || 'your-app-id',
    secret: settings.secret || 'your-app-secret',
    scheme: settings.tls ? 'https' : 'http',
  };
  return [
    { id: 'pusher-js', title: 'pusher-js', install: 'npm install pusher-js', code: pusherJs(known) },
    { id: 'echo', title: 'Laravel Echo', install: 'npm install laravel-echo pusher-js', code: echo(known) },
    { id: 'node', title: 'Node', install: 'npm install pusher', code: node(known) },
    { id: 'python', title: 'Python', install: 'pip install pusher', code: python(known) },
    { id: 'php', title: 'PHP', install: 'composer require pusher/pusher-php-server', code: php(known) },
    { id: 'ruby', title: 'Ruby', install: 'gem install pusher', code: ruby(known) },
    { id: 'env', title: '.env', install: 'the usual names, Laravel’s included', code: env(known) },
  ];
}

const pusherJs = (s) => `import Pusher from 'pusher-js';

const pusher = new Pusher(${quoted(s.key)}, {
  cluster: 'heliostat', // pusher-js wants one; the hosts decide
${hosts(s)}  forceTLS: ${s.tls},
  pongTimeout: 5000, // a line that has gone silent is given up so soon after it was asked
  // Signs everything, for experiments only: put your own endpoint here.
  channelAuthorization: { endpoint: ${quoted(s.auth)}, transport: 'ajax' },
});

pusher.subscribe('my-channel').bind('my-event', (data) => {
  console.log(data);
});
`;

/** Where pusher-js finds the broker: by WebSockets, and by HTTP where a network lets none through. */
const hosts = (s) => `  wsHost: ${quoted(s.host)},
  wsPort: ${s.port},
  wssPort: ${s.port},
  httpHost: ${quoted(s.host)}, // where a network lets no WebSocket through
  httpPort: ${s.port},
  httpsPort: ${s.port},
${s.path && `  wsPath: ${quoted(s.path)},\n  httpPath: ${quoted(`${s.path}/pusher`)},\n`}`;

const echo = (s) => `import Echo from 'laravel-echo';
import Pusher from 'pusher-js';

window.Pusher = Pusher;

window.Echo = new Echo({
  broadcaster: 'pusher',
  key: ${quoted(s.key)},
  cluster: 'heliostat', // pusher-js wants one; the hosts decide
${hosts(s)}  forceTLS: ${s.tls},
  pongTimeout: 5000, // a line that has gone silent is given up so soon after it was asked
});

window.Echo.channel('my-channel').listen('.my-event', (data) => {
  console.log(data);
});
`;

const node = (s) => `import Pusher from 'pusher';
${withoutPrefix('//', s)}
const pusher = new Pusher({
  appId: ${quoted(s.appId)},
  key: ${quoted(s.key)},
  secret: ${quoted(s.secret)},
  host: ${quoted(s.host)},
  port: ${quoted(String(s.port))},
  useTLS: ${s.tls},
});

await pusher.trigger('my-channel', 'my-event', { message: 'hello' });
`;

const python = (s) => `import pusher
${withoutPrefix('#', s)}
client = pusher.Pusher(
    app_id=${quoted(s.appId)},
    key=${quoted(s.key)},
    secret=${quoted(s.secret)},
    host=${quoted(s.host)},
    port=${s.port},
    ssl=${s.tls ? 'True' : 'False'},
)

client.trigger('my-channel', 'my-event', {'message': 'hello'})
`;

const php = (s) => `<?php
require 'vendor/autoload.php';

$pusher = new Pusher\\Pusher(${quoted(s.key)}, ${quoted(s.secret)}, ${quoted(s.appId)}, [
    'host' => ${quoted(s.host)},
    'port' => ${s.port},
    'scheme' => '${s.scheme}',
${s.path && `    'path' => ${quoted(s.path)},\n`}]);

$pusher->trigger('my-channel', 'my-event', ['message' => 'hello']);
`;

const ruby = (s) => `require 'pusher'
${withoutPrefix('#', s)}
client = Pusher::Client.new(
  app_id: ${quoted(s.appId)},
  key: ${quoted(s.key)},
  secret: ${quoted(s.secret)},
  host: ${quoted(s.host)},
  port: ${s.port},
  use_tls: ${s.tls}
)

client.trigger('my-channel', 'my-event', { message: 'hello' })
`;

const env = (s) => `PUSHER_APP_ID=${s.appId}
PUSHER_APP_KEY=${s.key}
PUSHER_APP_SECRET=${s.secret}
PUSHER_HOST=${s.host}
PUSHER_PORT=${s.port}
PUSHER_SCHEME=${s.scheme}
PUSHER_APP_CLUSTER=heliostat

# Laravel
BROADCAST_CONNECTION=pusher
VITE_PUSHER_APP_KEY="\${PUSHER_APP_KEY}"
VITE_PUSHER_HOST="\${PUSHER_HOST}"
VITE_PUSHER_PORT="\${PUSHER_PORT}"
VITE_PUSHER_SCHEME="\${PUSHER_SCHEME}"
VITE_PUSHER_APP_CLUSTER="\${PUSHER_APP_CLUSTER}"
`;

/** The libraries that know no path prefix are told so where it matters. */
function withoutPrefix(comment, { path }) {
  return path && `
${comment} This library cannot send the path prefix ${path}: give it an address
${comment} where the broker answers without one.
`;
}

/** A string literal that JavaScript, Python, PHP and Ruby read alike. */
function quoted(text) {
  return `'${text.replace(/[\\']/g, '\\$&')}'`;
}

/** What of a program is set in colours, in any of the languages: texts, remarks, words of the language, numbers. */
const KINDS = new RegExp([
  String.raw`(?<string>'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*")`,
  String.raw`(?<remark>(?:\/\/|#).*$)`,
  String.raw`(?<word>\b(?:import|from|const|new|await|require|use|true|false|True|False)\b|<\?php)`,
  String.raw`(?<number>\b\d+\b)`,
].join('|'), 'gm');

/** The program in parts, each with the kind of it: `''` for what needs no colour. */
export function coloured(code) {
  const parts = [];
  let at = 0;
  for (const found of code.matchAll(KINDS)) {
    const [kind] = Object.entries(found.groups).find(([, text]) => text !== undefined);
    parts.push({ kind: '', part: code.slice(at, found.index) }, { kind, part: found[0] });
    at = found.index + found[0].length;
  }
  return [...parts, { kind: '', part: code.slice(at) }].filter(({ part }) => part !== '');
}
