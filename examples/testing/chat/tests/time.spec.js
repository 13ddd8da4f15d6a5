// Letting time pass.

import { request } from 'node:http';
import { connections, expect, logged, MINUTE_MS, refused, suite, test, webhook } from './chat.js';

suite('time passes', () => {
  test('the topic is forgotten after half an hour', async ({ chat, enter, pusher }) => {
    await chat.post('topic', { text: 'Spring' });
    const ann = await enter('ann');
    await ann.topic('Spring');
    await pusher.advance(30 * MINUTE_MS);
    await ann.page.reload();
    await ann.topic('No topic');
  });

  test('a member who does not come back is away after a while', async ({ chat, join, pusher }) => {
    const ann = await join('ann');
    await pusher.until(webhook({ name: 'member_added', user_id: 'ann' }));
    ann.disconnect();
    await pusher.until(logged({ type: 'member_removed', user_id: 'ann' }));
    // However long that is: it is what is due next.
    expect((await pusher.advanceToNext()).due).toEqual(['webhook_removal']);
    await pusher.until(webhook({ name: 'member_removed', user_id: 'ann' }));
    expect(await chat.get('people')).toEqual({ ann: 'away' });
  });

  test('who does not answer a ping is let go of', async ({ pusher }) => {
    const line = await silentLine(pusher);
    await pusher.until(connections(1));
    await pusher.advance(5 * MINUTE_MS);
    await line.ping;
    await pusher.advance(5 * MINUTE_MS);
    await pusher.until(logged({ type: 'disconnected', code: 4201 }, 1));
    line.socket.destroy();
  });

  test('a page without WebSockets falls back, and its times go by the same clock', async ({ enter, join, pusher }) => {
    const ann = await enter('ann', { prepare: (page) => page.addInitScript(() => delete window.WebSocket) });
    await join('ben');
    await ann.members(['ann', 'ben']);
    // A heartbeat of the session where a response receives at this moment, else what comes after it.
    const { due } = await pusher.advanceToNext();
    expect(due).not.toEqual([]);
    await ann.state('online');
  });

  test.describe('in an app with times and bounds of its own', () => {
    test.use({
      pusherSettings: {
        connection: { ping_after_seconds: 3600, pong_timeout_seconds: 600, outbox_bytes: 10_000 },
        limits: { event_payload_bytes: 200_000 },
      },
    });

    test('silence is suffered for an hour', async ({ pusher }) => {
      const line = await silentLine(pusher);
      await pusher.until(connections(1));
      const { by_ms, due } = await pusher.advanceToNext();
      expect(due).toEqual(['ping']);
      expect(by_ms).toBeGreaterThan(50 * MINUTE_MS);
      await line.ping;
      expect((await pusher.advanceToNext()).due).toEqual(['pong_timeout']);
      await pusher.until(connections(0));
      line.socket.destroy();
    });

    test('who does not read is let go of', async ({ chat, pusher }) => {
      const line = await silentLine(pusher);
      line.say({ event: 'pusher:subscribe', data: { channel: 'cache-topic' } });
      await pusher.until(logged({ type: 'subscribed', channel: 'cache-topic' }));
      line.socket.pause();
      const ended = { type: 'disconnected', code: 4100 };
      // What the operating system holds for a reader counts as read.
      while (!(await pusher.log(ended)).entries.length) await chat.post('topic', { text: 'x'.repeat(150_000) });
      line.socket.destroy();
    });
  });

  test('who types too fast is slowed down for a second', async ({ enter, pusher }) => {
    const ann = await enter('ann');
    // Ten events a second are allowed. Nobody types 50 keys in less, but a page can.
    const field = ann.page.getByLabel('Message', { exact: true });
    await field.evaluate((element) => {
      for (let n = 0; n < 50; n += 1) element.dispatchEvent(new Event('input'));
    });
    const { last } = await pusher.until(logged({ type: ['event', 'refused'] }, 50));
    await pusher.until(refused({ code: 4301, reason: 'rate limit' }));
    await pusher.advance(1000);
    await field.press('!');
    await pusher.until({ type: 'event', name: 'client-typing', source: 'client', count: 1, after: last });
  });
});

/** A client that connects and then says only what it is told to, not even something to pings: no browser would do that. */
async function silentLine({ host, port, key }) {
  const headers = {
    Connection: 'Upgrade', Upgrade: 'websocket', 'Sec-WebSocket-Version': '13', 'Sec-WebSocket-Key': btoa('a'.repeat(16)),
  };
  const asked = request({ host, port, path: `/app/${key}?protocol=7`, headers });
  asked.end();
  const { socket, head } = await new Promise((resolve, reject) => {
    asked.once('upgrade', (_, socket, head) => resolve({ socket, head }));
    asked.once('error', reject);
  });
  const PING = 0x89;
  const ping = new Promise((resolve) => {
    // Several frames may come at once, and a frame in parts. None of these is longer than 65,535 bytes.
    let heard = Buffer.alloc(0);
    socket.on('data', (part) => {
      heard = Buffer.concat([heard, part]);
      while (heard.length >= 4 || (heard.length >= 2 && heard[1] < 126)) {
        const end = heard[1] < 126 ? 2 + heard[1] : 4 + heard.readUInt16BE(2);
        if (heard.length < end) return;
        if (heard[0] === PING) resolve();
        heard = heard.subarray(end);
      }
    });
  });
  socket.unshift(head);
  // A frame whose mask changes nothing; what is said here is shorter than 126 bytes.
  const say = (message) => {
    const text = Buffer.from(JSON.stringify(message));
    socket.write(Buffer.concat([Buffer.from([0x81, 0x80 | text.length, 0, 0, 0, 0]), text]));
  };
  return { socket, ping, say };
}
