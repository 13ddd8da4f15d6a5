// Counts on the channel, twice a second.

import Pusher from 'pusher';

const pusher = new Pusher({
  appId: '1001', key: 'app-key', secret: 'app-secret',
  host: '127.0.0.1', port: process.env.PORT ?? '6001', useTLS: false,
});

for (let n = 1; ; n += 1) {
  await pusher.trigger('counter', 'count', { n });
  process.stdout.write(`\r${n}`);
  await new Promise((resolve) => { setTimeout(resolve, 500); });
}
