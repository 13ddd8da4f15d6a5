// Knowing what the broker has seen.

import {
  delivered, event, expect, logged, members, refused, ROOM, signedIn, subscribers, suite, test, webhook,
} from './chat.js';

suite('what the broker has seen', () => {
  test('a message reaches everybody else in the room, once', async ({ enter, join, pusher }) => {
    const ann = await enter('ann');
    await join('ben');
    await join('cleo');
    await pusher.until(subscribers(ROOM, 3));
    await ann.say('Hello!');
    const hello = { channel: ROOM, name: 'message', data: { text: 'Hello!', from: 'ann' } };
    await pusher.until(event({ ...hello, source: 'http', count: 1 }), { holdsMs: 50 });
    await pusher.until(delivered({ ...hello, count: 2, sockets: 2 }));
    await ann.messages(['annHello!']);
  });

  test('everybody sees who is here', async ({ enter, join, pusher }) => {
    const ann = await enter('ann');
    const ben = await join('ben');
    await pusher.until(members(ROOM, ['ann', 'ben']));
    await ann.members(['ann', 'ben']);
    ben.disconnect();
    await pusher.until(members(ROOM, ['ann']));
    await ann.members(['ann']);
  });

  test('a note reaches one user and nobody else', async ({ chat, enter, join, pusher }) => {
    await join('ann');
    const ben = await enter('ben');
    await pusher.until(signedIn('ben', 1));
    const after = await pusher.last();
    await chat.post('notes', { from: 'ann', to: 'ben', text: 'Psst.' });
    const { entries } = await pusher.until(delivered({ name: 'note', count: 1, after }), { holdsMs: 50 });
    expect(entries[0].user_id).toBe('ben');
    await ben.notes(['ann: Psst.']);
  });

  test('who is shown out does not come in again', async ({ chat, enter, open, pusher }) => {
    const ann = await enter('ann');
    await chat.post('show-out', { name: 'ann' });
    const { last } = await pusher.until(logged({ type: 'disconnected', user_id: 'ann', code: 4009 }));
    await ann.state(/^refused: /);
    const again = await open('ann');
    await again.state(/^not let in: .*403/);
    // That was the backend's doing: the broker was not even asked.
    const asked = { type: ['subscribed', 'refused'], channel: ROOM };
    await pusher.until({ type: 'nothing', for_ms: 50, filter: asked, after: last });
  });

  test('a refusal says why', async ({ open, pusher }) => {
    // As if the backend signed with a wrong secret.
    const auth = `${pusher.key}:wrong`;
    await open('ann', { prepare: (page) => page.route('**/auth', (route) => route.fulfill({ json: { auth } })) });
    const { entries } = await pusher.until(refused({ channel: ROOM }));
    expect(entries[0].reason).toContain('Invalid signature');
  });

  test('webhooks tell the backend who is here', async ({ chat, join, pusher }) => {
    await join('ann');
    await pusher.until(webhook({ name: 'member_added', user_id: 'ann', path: '/webhooks', count: 1 }));
    expect(await chat.get('people')).toEqual({ ann: 'here' });
  });

  test('the log tells what has happened, and can be filtered and counted', async ({ chat, join, pusher }) => {
    await join('ann');
    await chat.post('messages', { id: 'a', from: 'ben', text: 'One' });
    await chat.post('messages', { id: 'b', from: 'ben', text: 'Two' });
    await pusher.until(delivered({ name: 'message', count: 2 }));
    const { entries } = await pusher.log({ type: 'event', data: { text: 'Two' } });
    expect(entries.map(({ name, source }) => [name, source])).toEqual([['message', 'http']]);
    const counts = await pusher.counts();
    expect(counts).toMatchObject({ connections: 1, logged: { event: 2, delivered: 2, connected: 1 } });
    expect(counts.channels[ROOM]).toEqual({ subscribers: 1, members: 1 });
    expect(await pusher.timeline()).toContain('subscribed to presence-lobby as ann');
    // What is on its way would be in the new log.
    await pusher.until(webhook({ name: 'member_added' }));
    await pusher.reset();
    expect((await pusher.log()).entries).toEqual([]);
  });

  test('who comes back is told from who was here', async ({ enter, pusher }) => {
    const ann = await enter('ann');
    const after = await pusher.last();
    await ann.page.reload();
    await pusher.until(logged({ type: 'subscribed', channel: ROOM, user_id: 'ann' }, 1, { after }));
  });

  test('what does not come about says what nearly did, and where that was given up', async ({ chat, join, pusher }) => {
    await join('ann');
    await chat.post('messages', { id: 'a', from: 'ben', text: 'Hello!' });
    await pusher.until(delivered({ name: 'message' }));
    const [mistyped, other] = [subscribers('presence-loby', 1), event({ name: 'message', data: { text: 'Hullo!' } })];
    const missed = (condition) => pusher.until(condition, { timeoutMs: 50 }).catch(({ outcome }) => outcome.near);
    expect(await missed(mistyped)).toEqual(['"presence-lobby" has 1 subscribed, 1 members']);
    expect(await missed(other)).toEqual([expect.stringMatching(/^event message on .*Hello!.*\(another data\)$/)]);
    expect(await pusher.timeline()).toContain('GAVE UP expected "presence-loby" to have exactly 1 subscriber');
    await expect(pusher.until(event({ chanel: ROOM }))).rejects.toThrow(/did you mean "channel"/);
  });

  test('programs find the app by the variables that they know', async ({ pusher }) => {
    const { environment, host, key } = pusher;
    expect(environment).toMatchObject({ PUSHER_APP_KEY: key, REVERB_APP_KEY: key, VITE_REVERB_HOST: host });
  });

  test('rooms of two tests know nothing of each other, whatever their names', async ({ broker, join, pusher }) => {
    const neighbour = await broker.createApp();
    await join('ann');
    await pusher.until(subscribers(ROOM, 1));
    expect((await neighbour.log()).entries).toEqual([]);
    await neighbour.delete();
    await pusher.until(subscribers(ROOM, 1));
  });
});
