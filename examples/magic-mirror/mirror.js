// The mirror page: shows each `frame` of the channel `mirror` and measures how it came.

import { SameClock } from './clock.js';
import { connect, showClient, showConnection } from './connection.js';
import { remember } from './memory.js';
import { Gaps, bytes, Median, Rate } from './meter.js';
import { element, keepQuery, Notice } from './page.js';
import { loadSettings } from './settings.js';
import { Streams } from './streams.js';

const CHANNEL = 'mirror';
const EVENT = 'frame';
/** Without a frame for this long the stream counts as paused. */
const PAUSED_AFTER_MS = 3000;

const screen = element('screen');
const picture = element('picture');
const notice = new Notice(element('problem'));
const company = new Notice(element('company'));

const frameRate = new Rate();
const throughput = new Rate();
const latency = new Median();
const gaps = new Gaps();
const streams = new Streams();
const clock = new SameClock();

let received = 0;
let numbered = false;
let stream = null;
/** The one stream that is shown, where several arrive and one was chosen. */
let only = null;
let newest = null;
let showing = false;
let lastShown = null;
let connected = false;

/**
 * Takes a frame as the stream page sends it, or as the original experiment did: `dataUrl` alone, perhaps a `message`. In
 * a binary message the picture is a `blob`.
 */
function receive(data) {
  const picture = data?.blob ?? data?.dataUrl;
  const isPicture = picture instanceof Blob ? picture.type.startsWith('image/') : String(picture).startsWith('data:image/');
  if (!isPicture) {
    notice.show({
      title: 'A frame without a picture',
      text: 'Something that is no picture came as a frame. A frame is an object whose dataUrl begins with data:image/.',
    });
    return;
  }
  const now = performance.now();
  const from = String(data.stream ?? '');
  streams.see(from, now);
  if (only !== null && from !== only) return;
  received += 1;
  frameRate.add(1, now);
  throughput.add(picture.size ?? picture.length, now);
  element('form').textContent = picture instanceof Blob ? 'binary messages' : 'data URLs';
  if (Number.isSafeInteger(data.sequence)) {
    numbered = true;
    gaps.see(from, data.sequence);
  }
  element('message').hidden = typeof data.message !== 'string';
  element('message').textContent = data.message ?? '';
  // Decoding may take longer than the next frame does to arrive: then only the newest is shown.
  newest = data;
  if (!showing) showNewest();
}

async function showNewest() {
  showing = true;
  while (newest) {
    const frame = newest;
    newest = null;
    try {
      await show(frame);
    } catch {
      notice.show({ title: 'A picture could not be read', text: 'A frame came whose picture this browser cannot decode.' });
    }
  }
  showing = false;
}

async function show(frame) {
  const url = frame.blob ? URL.createObjectURL(frame.blob) : frame.dataUrl;
  const decoded = new Image();
  decoded.src = url;
  try {
    await decoded.decode();
  } catch (error) {
    URL.revokeObjectURL(url);
    throw error;
  }
  const before = picture.src;
  picture.src = url;
  picture.hidden = false;
  await onScreen();
  // Of a data URL there is nothing to be given back.
  URL.revokeObjectURL(before);
  lastShown = performance.now();
  if (Number.isFinite(frame.sentAt)) {
    if (frame.stream !== stream) latency.clear();
    stream = frame.stream;
    latency.add(Date.now() - frame.sentAt);
  } else {
    latency.clear();
  }
  setState();
}

/** Resolves with the next repaint; a hidden page has none, and is not kept waiting for it. */
function onScreen() {
  return document.hidden ? null : new Promise((resolve) => requestAnimationFrame(resolve));
}

function setState() {
  const now = performance.now();
  const flows = connected && now - lastShown < PAUSED_AFTER_MS;
  const state = lastShown === null ? 'waiting' : flows ? 'live' : 'paused';
  const words = {
    waiting: connected ? 'Waiting for a stream' : 'Not connected yet',
    live: '',
    paused: connected ? 'The stream has paused' : 'The connection is down',
  }[state];
  screen.dataset.state = state;
  element('badge').hidden = state !== 'live';
  element('veil').hidden = state === 'live';
  if (element('veil').textContent !== words) element('veil').textContent = words;
}

function showNumbers() {
  const now = performance.now();
  element('received').textContent = received.toLocaleString('en');
  element('fps').textContent = `${frameRate.perSecond(now).toFixed(1)} fps`;
  element('throughput').textContent = `${bytes(throughput.perSecond(now))}/s`;
  element('lost').textContent = numbered ? gaps.lost.toLocaleString('en') : '–';
  setState();
  showLatency();
  showCompany(streams.present(now));
}

/** Says that several streams arrive, which would otherwise only be seen as a flicker, and lets one of them be chosen. */
function showCompany(present) {
  if (only !== null && !present.includes(only)) only = null;
  if (present.length < 2) {
    only = null;
    company.hide();
    return;
  }
  const after = present[(present.indexOf(only) + 1) % present.length];
  company.show({
    title: `${present.length} pages are streaming`,
    text: only === null ? 'Their pictures are shown by turns, as they come: hence the flicker.' : 'One of them is shown.',
    fix: { label: only === null ? 'Show only one' : 'Show the next one', apply: () => { only = after; } },
  });
}

function showLatency() {
  // What was measured of frames that no longer come is of no account.
  if (screen.dataset.state !== 'live') latency.clear();
  if (latency.value === null) {
    element('latency').textContent = '–';
    const unsaid = screen.dataset.state === 'live';
    element('latency-note').textContent = unsaid ? 'these frames do not say when they were sent' : 'from sent to shown';
    return;
  }
  const spread = `spread ${Math.round(latency.spread)} ms`;
  const value = Math.round(latency.value);
  if (clock.isShared(stream)) {
    element('latency').textContent = `${value} ms`;
    element('latency-note').textContent = `exact, one clock; ${spread}`;
  } else if (value < 0) {
    element('latency').textContent = 'unknown';
    element('latency-note').textContent = `two clocks, the sender's is ${-value} ms or more ahead; ${spread}`;
  } else {
    element('latency').textContent = `≈ ${value} ms`;
    element('latency-note').textContent = `two clocks, off by their difference; ${spread}`;
  }
}

function fullScreen() {
  if (document.fullscreenElement) document.exitFullscreen();
  else screen.requestFullscreen?.().catch(() => {});
}

async function main() {
  keepQuery();
  setState();
  element('flip').addEventListener('change', ({ target }) => screen.classList.toggle('flipped', target.checked));
  remember(element('flip'));
  element('fullscreen').hidden = !screen.requestFullscreen;
  element('fullscreen').addEventListener('click', fullScreen);
  setInterval(showNumbers, 250);

  const settings = await loadSettings();
  const pusher = await connect(settings);
  showClient(pusher, settings, element('client'));
  showConnection(pusher, settings, element('connection'), ({ tone }) => {
    connected = tone === 'good';
    setState();
  });
  const channel = pusher.subscribe(CHANNEL);
  channel.bind(EVENT, receive);
  channel.bind('pusher:subscription_error', ({ status, error }) => notice.show({
    title: `No permission to listen on ${CHANNEL}`,
    text: `The broker answered ${status ?? ''} ${error ?? ''}`.trim(),
  }));
}

main().catch((error) => {
  element('connection').dataset.tone = 'bad';
  element('connection').textContent = error.message;
});
