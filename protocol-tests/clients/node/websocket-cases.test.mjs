// The cases of tests/wire/websocket_cases.json, which the broker is held to by tests/wire/websocket_cases.rs, as a second
// implementation of RFC 6455 and RFC 7692 answers them. Where the two differ, the case says how, and why the broker is right.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { connect } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { WebSocketServer } from 'ws';

const CASES = JSON.parse(readFileSync(new URL('../../tests/wire/websocket_cases.json', import.meta.url), 'utf8'));
/** The bytes of one message that an app takes by default. */
const MESSAGE_BYTES = 128 * 1024;

describe('RFC 6455 and RFC 7692, case by case, by another implementation', { concurrency: 8 }, () => {
  let port;
  const servers = [];
  before(async () => {
    const http = createServer();
    const sockets = new WebSocketServer({
      server: http,
      maxPayload: MESSAGE_BYTES,
      perMessageDeflate: { serverNoContextTakeover: true, clientNoContextTakeover: true },
    });
    sockets.on('connection', (socket) => {
      socket.on('error', () => {});
      socket.on('message', (data) => socket.send(JSON.stringify({ heard: nameIn(data) })));
    });
    servers.push(sockets, http);
    port = await new Promise((resolve) => http.listen(0, '127.0.0.1', () => resolve(http.address().port)));
  });
  after(() => servers.forEach((server) => server.close()));

  for (const wanted of CASES) {
    // Proves: bad input.
    test(`${wanted.name} is answered as the RFC wants it`, { timeout: 20_000 }, async () => {
      const { expect, agreed = Boolean(wanted.offer), status = 101 } = { ...wanted, ...wanted.ws };
      const answered = await converse(port, wanted);
      assert.equal(answered.status, status);
      if (status !== 101) return;
      if (typeof agreed === 'string') assert.match(answered.agreed, new RegExp(`;\\s*${agreed}`));
      else assert.equal(Boolean(answered.agreed), agreed);
      assert.equal(answered.heard.length, expect.length, JSON.stringify(answered.heard));
      expect.forEach((one, n) => matches(answered.heard[n], one));
    });
  }

  // Proves: bad input.
  test('a case in which the two differ says why', () => {
    for (const { name, ws, why } of CASES) assert.equal(Boolean(ws), Boolean(why), name);
  });
});

function nameIn(data) {
  try {
    return JSON.parse(data).event;
  } catch {
    return null;
  }
}

function matches(got, wanted) {
  if (wanted.close) assert.ok(wanted.close.includes(got.close), `expected a close with ${wanted.close}, got ${JSON.stringify(got)}`);
  else assert.deepEqual(got, wanted);
}

/** Sends what a case says, then a ping of its own; answers what came before the answer to that, or before the end. */
async function converse(port, { send, cut, offer }) {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => {});
  await once(socket, 'connect');
  const lines = ['GET / HTTP/1.1', 'Host: localhost', 'Upgrade: websocket', 'Connection: Upgrade', 'Sec-WebSocket-Version: 13'];
  lines.push(`Sec-WebSocket-Key: ${randomBytes(16).toString('base64')}`);
  if (offer) lines.push(`Sec-WebSocket-Extensions: ${offer}`);
  socket.write(`${lines.join('\r\n')}\r\n\r\n`);
  let received = Buffer.alloc(0);
  let ended = false;
  const more = [];
  socket.on('data', (data) => {
    received = Buffer.concat([received, data]);
    more.splice(0).forEach((go) => go());
  });
  socket.on('close', () => {
    ended = true;
    more.splice(0).forEach((go) => go());
  });
  const waitForMore = () => (ended ? undefined : new Promise((go) => more.push(go)));
  let end;
  while ((end = received.indexOf('\r\n\r\n')) < 0 && !ended) await waitForMore();
  const head = received.subarray(0, end).toString();
  received = received.subarray(end + 4);
  const status = Number(head.split(' ')[1]);
  const agreed = /^sec-websocket-extensions: *(permessage-deflate.*)/im.exec(head)?.[1];
  if (status !== 101) {
    socket.destroy();
    return { status };
  }
  const last = randomBytes(8);
  const bytes = Buffer.concat([...send.map(written), frame(0x89, last)]);
  for (let at = 0; at < bytes.length; at += cut ?? bytes.length) {
    if (ended) break;
    socket.write(bytes.subarray(at, at + (cut ?? bytes.length)));
  }
  const heard = [];
  for (;;) {
    const taken = take(received);
    if (!taken) {
      if (ended) break;
      await waitForMore();
      continue;
    }
    received = received.subarray(taken.bytes);
    if (taken.opcode === 10 && taken.payload.equals(last)) break;
    if (taken.opcode === 1) heard.push(JSON.parse(taken.payload.toString()));
    if (taken.opcode === 10) heard.push({ pong: taken.payload.toString('hex') });
    if (taken.opcode === 8) heard.push({ close: taken.payload.length ? taken.payload.readUInt16BE() : 1005 });
  }
  socket.destroy();
  return { status, agreed, heard };
}

/** The bytes of one thing that a case sends: `raw` as it is, or a frame with `text` (padded up to `pad` bytes) or `hex`. */
function written({ raw, head, text, hex, pad, mask }) {
  if (raw) return Buffer.from(raw, 'hex');
  let payload = hex === undefined ? Buffer.from(text) : Buffer.from(hex, 'hex');
  if (pad) payload = Buffer.from(text.replace('"p":""', `"p":"${'p'.repeat(pad - payload.length)}"`));
  return frame(parseInt(head, 16), payload, mask === undefined ? randomBytes(4) : mask && Buffer.from(mask, 'hex'));
}

function frame(head, payload, mask = randomBytes(4)) {
  const bit = mask ? 0x80 : 0;
  let length = [bit | payload.length];
  if (payload.length > 125) length = [bit | 126, payload.length >> 8, payload.length & 255];
  if (payload.length > 65535) length = [bit | 127, 0, 0, 0, 0, 0, payload.length >> 16, (payload.length >> 8) & 255, payload.length & 255];
  const masked = mask ? payload.map((byte, at) => byte ^ mask[at % 4]) : payload;
  return Buffer.concat([Buffer.from([head, ...length]), mask ?? Buffer.alloc(0), masked]);
}

/** The first frame of what a server sent, if it is whole; inflated it need not be: nothing that is sent here is long. */
function take(bytes) {
  if (bytes.length < 2) return undefined;
  const short = bytes[1] & 127;
  if (bytes.length < (short === 126 ? 4 : 2)) return undefined;
  const [start, length] = short === 126 ? [4, bytes.readUInt16BE(2)] : [2, short];
  if (bytes.length < start + length) return undefined;
  return { opcode: bytes[0] & 15, payload: bytes.subarray(start, start + length), bytes: start + length };
}
