// Encrypted channels from end to end: the server library encrypts, pusher-js decrypts, and the broker between them has no
// key.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startAuthEndpoint } from './auth-endpoint.mjs';
import { external } from './broker.mjs';
import { fresh, heard, openClient, releases } from './clients.mjs';
import { encrypting } from './libraries.mjs';
import { everyRelease } from './matrix.mjs';
import { shown } from './record.mjs';

/** Thirty-two bytes that the application and nobody else has. */
const MASTER_KEY = Buffer.from('a master key of thirty-two bytes').toString('base64');
const NOT_OURS = 'the server named by PUSHER_HOST has no such endpoint';
const MESSAGE = { text: 'für deine Augen 👁', list: [1, null] };

/** A client of the newest release, or of `release`, whose auth endpoint answers with the keys of its channels. */
async function openWithKeys(t, broker, library, release = releases.at(-1)) {
  const auth = await startAuthEndpoint(library);
  t.after(() => auth.stop());
  return openClient(t, release, broker, { auth }).connected();
}

everyRelease('encrypted channels', { since: 4 }, (stage) => {
  for (const { major, connect } of encrypting) {
    // Every release with today's library, and every library with today's release.
    if (stage.release !== releases.at(-1) && major !== encrypting.at(-1).major) continue;

    // Proves: 130, 131, 133.
    test(`what library ${major} encrypts is decrypted, and unreadable on the way`, async (t) => {
      const library = connect(stage.broker, { encryptionMasterKeyBase64: MASTER_KEY });
      const client = await openWithKeys(t, stage.broker, library, stage.release);
      const name = fresh('private-encrypted-room');
      const secrets = heard(await client.subscribe(name), 'secret');
      await library.trigger(name, 'secret', MESSAGE);
      assert.deepEqual((await secrets.next())[0], MESSAGE);
      const [frame] = await client.received('secret', name);
      assert.deepEqual(Object.keys(frame.data).sort(), ['ciphertext', 'nonce']);
      shown(stage.release, 'encrypted');
      shown(library, 'encrypted', 'authorize encrypted');
    });
  }

  // Proves: pages, 130.
  test("development mode's own auth endpoint hands out the keys", { skip: external && NOT_OURS }, async (t) => {
    const base = `http://${stage.broker.host}:${stage.broker.port}/dev`;
    const { encryption_master_key_base64: masterKey } = await (await fetch(`${base}/config.json`)).json();
    const library = encrypting.at(-1).connect(stage.broker, { encryptionMasterKeyBase64: masterKey });
    const client = await openClient(t, stage.release, stage.broker, { auth: { url: `${base}/auth` } }).connected();
    const name = fresh('private-encrypted-room');
    const secrets = heard(await client.subscribe(name), 'secret');
    await library.trigger(name, 'secret', MESSAGE);
    assert.deepEqual((await secrets.next())[0], MESSAGE);
  });

  // Proves: 132.
  test('a cached event is decrypted by who comes late', async (t) => {
    const library = encrypting.at(-1).connect(stage.broker, { encryptionMasterKeyBase64: MASTER_KEY });
    const name = fresh('private-encrypted-cache-room');
    const early = await openWithKeys(t, stage.broker, library, stage.release);
    const misses = heard(early.pusher.subscribe(name), 'pusher:cache_miss');
    await misses.next();
    await library.trigger(name, 'secret', MESSAGE);
    await early.received('secret', name);
    const late = await openWithKeys(t, stage.broker, library, stage.release);
    const secrets = heard(late.pusher.subscribe(name), 'secret');
    assert.deepEqual((await secrets.next())[0], MESSAGE);
    shown(stage.release, 'encrypted cache');
  });
});
