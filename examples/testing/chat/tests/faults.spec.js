// Having things go wrong.

import {
  connections, delivered, event, expect, logged, members, MINUTE_MS, nothing, ROOM, suite, test, webhook,
} from './chat.js';

/** Events of the room, and of those the messages. */
const MESSAGES = { type: 'frames', channel: ROOM, event: 'message' };

/** A fault has acted so often. */
const acted = (fault, count = 1) => logged({ type: 'fault', fault: fault.id }, { at_least: count });

suite('what goes wrong', () => {
  test.describe('the line', () => {
    test('a broken line is mended, and what was missed is fetched', async ({ chat, enter, pusher }) => {
      const ann = await enter('ann');
      const [{ socket_id }] = await pusher.connections();
      const full = await pusher.fault({ type: 'refuse_connections', code: 4200 });
      expect(await pusher.close({ socket_id, abrupt: true })).toEqual([socket_id]);
      await pusher.until(connections(0));
      await ann.state('reconnecting');
      await chat.post('messages', { id: 'a', from: 'ben', text: 'Are you there?' });
      await full.clear();
      await ann.messages(['benAre you there?']);
      await ann.state('online');
    });

    test('connections are closed by user, with a code', async ({ enter, join, pusher }) => {
      await join('ann');
      const ben = await enter('ben');
      await pusher.close({ user_id: 'ben', code: 4001, reason: 'This chat has ended.' });
      await ben.state('refused: This chat has ended.');
      await pusher.until(connections(1));
    });

    test('a member is found by its user id, and a name that nobody has is told', async ({ join, pusher }) => {
      await join('ann');
      await join('ben');
      // They are in the room as these, and have not signed in.
      expect(await pusher.close({ user_id: 'ben', code: 4001, reason: 'This chat has ended.' })).toHaveLength(1);
      await pusher.until(members(ROOM, ['ann']));
      await expect(pusher.close({ user_id: 'bne' })).rejects.toThrow(/there is no connection .*"bne"; .* of user .*"ann"/);
    });

    test('a share of a channel is closed, the same with the same seed', async ({ join, pusher }) => {
      for (const name of ['ann', 'ben', 'cleo', 'dan']) await join(name);
      const before = await pusher.connections();
      const closed = await pusher.close({ channel: ROOM, share: 0.5, seed: 3, code: 4001, reason: 'Half of you.' });
      const places = closed.map((id) => before.findIndex(({ socket_id }) => socket_id === id));
      expect(places.sort()).toEqual([2, 3]);
      await pusher.until(connections(2));
    });

    test('a chat that is full says so, and lets the next one in', async ({ join, open, pusher }) => {
      await pusher.fault({ type: 'refuse_connections', code: 4004, reason: 'The chat is full.', times: 1 });
      const ann = await open('ann');
      await ann.state('refused: The chat is full.');
      await join('ben');
      const { entries } = await pusher.log({ type: 'connection_refused', code: 4004 });
      expect(entries).toHaveLength(1);
    });

    test('a line that has gone silent is noticed', async ({ chat, enter, pusher }) => {
      const ann = await enter('ann', { prepare: (page) => page.clock.install() });
      // When this has come, nothing is on its way to the page any more: pusher-js would take it for a sign of life.
      await chat.post('topic', { text: 'Silence' });
      await ann.topic('Silence');
      const silent = await pusher.fault({ type: 'ignore_pings' });
      // pusher-js asks after two minutes of silence, and waits for half a minute.
      await ann.page.clock.fastForward(2 * MINUTE_MS);
      await pusher.until(acted(silent));
      await ann.page.clock.fastForward(MINUTE_MS / 2);
      await pusher.until(logged({ type: 'connected' }, { at_least: 2 }));
      await ann.state('online');
    });
  });

  test.describe('frames', () => {
    test('a lost message is fetched when the next one comes', async ({ chat, enter, pusher }) => {
      const ann = await enter('ann');
      const lost = await pusher.fault({ ...MESSAGES, action: 'drop', times: 1, user_id: 'ann' });
      await chat.post('messages', { id: 'a', from: 'ben', text: 'One' });
      await pusher.until(acted(lost));
      await chat.post('messages', { id: 'b', from: 'ben', text: 'Two' });
      await ann.messages(['benOne', 'benTwo']);
      await pusher.until(delivered({ name: 'message', count: 1 }));
    });

    test('a message that comes twice is shown once', async ({ chat, enter, pusher }) => {
      const ann = await enter('ann');
      await pusher.fault({ ...MESSAGES, action: 'duplicate' });
      await chat.post('messages', { id: 'a', from: 'ben', text: 'One' });
      await chat.post('messages', { id: 'b', from: 'ben', text: 'Two' });
      await pusher.until(delivered({ name: 'message', count: 4 }));
      await ann.messages(['benOne', 'benTwo']);
    });

    test('messages that overtake each other are shown in their order', async ({ chat, enter, pusher }) => {
      const ann = await enter('ann');
      const held = await pusher.fault({ ...MESSAGES, action: 'reorder', times: 1 });
      await chat.post('messages', { id: 'a', from: 'ben', text: 'One' });
      await pusher.until(acted(held));
      await chat.post('messages', { id: 'b', from: 'ben', text: 'Two' });
      await pusher.until(delivered({ name: 'message', count: 2 }));
      const { entries } = await pusher.log({ type: 'delivered', name: 'message' });
      expect(entries.map(({ data }) => JSON.parse(data).text)).toEqual(['Two', 'One']);
      await ann.messages(['benOne', 'benTwo']);
    });

    test('a message that is late arrives in the end', async ({ chat, enter, pusher }) => {
      const ann = await enter('ann');
      const late = await pusher.fault({ ...MESSAGES, action: 'delay', delay_ms: 30 * MINUTE_MS });
      await chat.post('messages', { id: 'a', from: 'ben', text: 'One' });
      await pusher.until(acted(late));
      await ann.messages([]);
      await pusher.advance(30 * MINUTE_MS);
      await ann.messages(['benOne']);
    });

    test('chance repeats itself with its seed', async ({ chat, join, pusher }) => {
      await join('ann');
      await pusher.fault({ ...MESSAGES, action: 'drop', share: 0.5, seed: 7 });
      for (const id of [1, 2, 3, 4, 5, 6, 7, 8]) await chat.post('messages', { id, from: 'ben', text: `${id}` });
      await pusher.until(logged({ type: ['fault', 'delivered'], name: 'message' }, 8));
      const { entries } = await pusher.log({ type: 'delivered', name: 'message' });
      expect(entries.map(({ data }) => JSON.parse(data).number)).toEqual([3, 4]);
    });
  });

  test.describe('the HTTP API', () => {
    test('one failure is not noticed: the backend tries again, and the message is published once', async ({
      chat, join, pusher,
    }) => {
      await join('ann');
      await pusher.fault({ type: 'http', status: 503, path: '/events', times: 1 });
      await chat.post('messages', { id: 'a', from: 'ben', text: 'Hello!' });
      await pusher.until(event({ name: 'message', count: 1 }), { holdsMs: 50 });
      await pusher.until(delivered({ name: 'message', count: 1 }));
    });

    test('a failure that lasts is told, and the message can be sent again', async ({ enter, join, pusher }) => {
      const ann = await enter('ann');
      await join('ben');
      const down = await pusher.fault({ type: 'http', status: 503 });
      await ann.say('Hello!');
      await pusher.until(acted(down, 3));
      await expect(ann.page.getByRole('alert')).toContainText('The others have not been told.');
      await pusher.until(nothing(50, { type: 'event', name: 'message' }));
      await down.clear();
      await ann.page.getByRole('button', { name: 'Try again' }).click();
      await pusher.until(delivered({ name: 'message', count: 1 }));
      await expect(ann.page.getByRole('alert')).toBeHidden();
    });

    test.describe('for a backend with little patience', () => {
      test.use({ patienceMs: 100 });

      test('an answer that does not come is not waited for', async ({ chat, pusher }) => {
        await pusher.fault({ type: 'http', hang: true });
        const said = await chat.post('messages', { id: 'a', from: 'ben', text: 'Hello!' });
        expect(said).toEqual({ error: 'Pusher could not be reached.' });
        expect((await pusher.faults())[0]).toMatchObject({ type: 'http', hang: true });
        expect(await pusher.clearFaults()).toBe(1);
      });
    });
  });

  test('a webhook that fails is sent again', async ({ chat, join, pusher }) => {
    const fault = await pusher.fault({ type: 'webhooks', status: 500, times: 1 });
    await join('ann');
    await pusher.until(logged({ type: 'webhook_failed', name: 'member_added', fault: fault.id }));
    expect(await chat.get('people')).toEqual({});
    await pusher.advance(MINUTE_MS);
    const { entries } = await pusher.until(webhook({ name: 'member_added', count: 1 }));
    expect(entries[0].attempt).toBe(2);
    expect(await chat.get('people')).toEqual({ ann: 'here' });
  });
});
