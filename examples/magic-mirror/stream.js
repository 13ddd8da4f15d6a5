// The stream page: camera → canvas → picture → client event, binary where the broker takes that and else a data URL.

import { cameras, closeSource, explainCameraError, openSource, TEST_PICTURE } from './camera.js';
import { answerForClock } from './clock.js';
import { binaryLimit, connect, endsConnection, refusalIn, sendBinary, showClient, showConnection, unsentBytes } from './connection.js';
import { remember } from './memory.js';
import { bytes, Rate } from './meter.js';
import { element, keepQuery, Notice } from './page.js';
import { explainRefusal } from './refusal.js';
import { FrameSender } from './sender.js';
import { loadSettings } from './settings.js';
import { Streams } from './streams.js';

const CHANNEL = 'private-stream';
const EVENT = 'client-frame';
/** A refusal stays on the page this long after the last one came. */
const REFUSAL_SHOWN_MS = 6000;

const button = element('start');
const source = element('source');
const screen = element('screen');
const preview = element('preview');
const controls = { rate: element('rate'), width: element('width'), quality: element('quality') };
const notice = new Notice(element('problem'));

const counts = { sent: 0, skipped: 0, refused: 0, frameBytes: null };
const frameRate = new Rate();
const throughput = new Rate();
/** What other pages send. */
const others = new Streams();

let pusher = null;
let channel = null;
let stream = null;
let wakeLock = null;
let lastRefusal = -Infinity;
let connected = false;

const sender = new FrameSender(preview, {
  wishes: () => ({
    framesPerSecond: controls.rate.valueAsNumber,
    width: controls.width.valueAsNumber,
    quality: controls.quality.valueAsNumber / 100,
  }),
  clear: () => Boolean(channel?.subscribed) && !(unsentBytes(pusher) > 0),
  binary: () => binaryLimit(pusher) > 0,
  deliver: (frame) => (frame.blob ? deliverBlob(frame) : channel.trigger(EVENT, frame)),
  onSent: ({ dataUrl, blob }) => {
    const now = performance.now();
    counts.sent += 1;
    counts.frameBytes = blob?.size ?? dataUrl.length;
    frameRate.add(1, now);
    throughput.add(counts.frameBytes, now);
    element('form').textContent = blob ? 'binary messages' : 'data URLs';
  },
  onSkipped: () => { counts.skipped += 1; },
});

async function deliverBlob({ blob, ...members }) {
  const bytes = await blob.arrayBuffer();
  if (sendBinary(pusher, CHANNEL, EVENT, bytes, { mediaType: blob.type, members })) return true;
  const limit = binaryLimit(pusher);
  counts.frameBytes = bytes.byteLength;
  if (limit > 0) refused({ data: { code: 4301, message: `a binary message exceeds the allowed maximum (${limit} bytes)` } });
  return false;
}

async function start() {
  setState('starting');
  element('background').hidden = true;
  notice.hide();
  try {
    stream = await openSource(source.value);
  } catch (error) {
    setState('idle');
    offerTestPicture(explainCameraError(error));
    return;
  }
  stream.getVideoTracks()[0].addEventListener('ended', () => {
    stop();
    offerTestPicture({ title: 'The camera went away', text: 'It was unplugged, or its permission was withdrawn.' });
  });
  preview.srcObject = stream;
  await preview.play().catch(() => {});
  setState('live');
  sender.start();
  listCameras();
  keepAwake();
}

function stop() {
  sender.stop();
  if (stream) closeSource(stream);
  stream = null;
  preview.srcObject = null;
  wakeLock?.release().catch(() => {});
  wakeLock = null;
  setState('idle');
}

function setState(state) {
  const live = state === 'live';
  screen.dataset.state = state;
  button.disabled = state === 'starting';
  button.textContent = live ? 'Stop streaming' : 'Start streaming';
  button.setAttribute('aria-pressed', String(live));
  element('badge').hidden = !live;
  showBadge();
  element('veil').hidden = live;
  element('veil').textContent = state === 'starting' ? 'Asking for the camera…' : 'The camera is off';
}

/** A running camera without a connection is not live. */
function showBadge() {
  element('badge').textContent = connected ? 'Live' : 'Waiting for the broker';
  element('badge').dataset.tone = connected ? 'good' : 'wait';
}

function offerTestPicture(problem) {
  notice.show({
    ...problem,
    fix: source.value !== TEST_PICTURE && {
      label: 'Use the test picture',
      apply: () => { source.value = TEST_PICTURE; start(); },
    },
  });
}

/** Names the cameras in the list, once the browser tells their names. */
async function listCameras() {
  const found = await cameras();
  if (found.length === 0) return;
  const chosen = source.value;
  const current = stream?.getVideoTracks()[0]?.getSettings().deviceId;
  const options = found.map(({ deviceId, label }, index) => new Option(label || `Camera ${index + 1}`, deviceId));
  source.replaceChildren(...options, new Option('Test picture', TEST_PICTURE));
  source.value = chosen || current || found[0].deviceId;
}

/** A phone that dims its screen also stops its camera. */
async function keepAwake() {
  wakeLock = await navigator.wakeLock?.request('screen').catch(() => null) ?? null;
}

function refused(error) {
  const refusal = refusalIn(error);
  // The status light tells about the end of a connection, and about lines that break off.
  if (!refusal || endsConnection(refusal)) return;
  counts.refused += 1;
  lastRefusal = performance.now();
  notice.show(explainRefusal(refusal.message, counts.frameBytes, controls));
}

function showNumbers() {
  const now = performance.now();
  element('sent').textContent = counts.sent.toLocaleString('en');
  element('skipped').textContent = counts.skipped.toLocaleString('en');
  element('refused').textContent = counts.refused.toLocaleString('en');
  element('fps').textContent = `${frameRate.perSecond(now).toFixed(1)} fps`;
  element('throughput').textContent = `${bytes(throughput.perSecond(now))}/s`;
  element('frame-size').textContent = counts.frameBytes === null ? '–' : bytes(counts.frameBytes);
  element('company').hidden = !stream || others.present(now).length === 0;
  if (lastRefusal > -Infinity && now - lastRefusal > REFUSAL_SHOWN_MS) {
    lastRefusal = -Infinity;
    notice.hide();
  }
}

function showWishes() {
  element('rate-shown').textContent = `${controls.rate.value} per second`;
  element('width-shown').textContent = `${controls.width.value} pixels`;
  element('quality-shown').textContent = `${controls.quality.value} %`;
  for (const { style, min, max, valueAsNumber } of Object.values(controls)) {
    style.setProperty('--part', `${((valueAsNumber - min) / (max - min)) * 100}%`);
  }
}

async function main() {
  keepQuery();
  showWishes();
  for (const control of Object.values(controls)) {
    control.addEventListener('input', showWishes);
    remember(control);
  }
  remember(source);
  button.addEventListener('click', () => (stream ? stop() : start()));
  source.addEventListener('change', () => { if (stream) { stop(); start(); } });
  document.addEventListener('visibilitychange', () => {
    if (!stream) return;
    element('background').hidden = false;
    if (!document.hidden && wakeLock?.released) keepAwake();
  });
  setInterval(showNumbers, 250);

  const settings = await loadSettings();
  pusher = await connect(settings);
  showClient(pusher, settings, element('client'));
  showConnection(pusher, settings, element('connection'), ({ tone }) => {
    connected = tone === 'good';
    showBadge();
  });
  pusher.connection.bind('error', refused);
  channel = pusher.subscribe(CHANNEL);
  // Nobody hears what it sends itself.
  channel.bind(EVENT, (frame) => others.see(String(frame?.stream ?? ''), performance.now()));
  channel.bind('pusher:subscription_error', ({ status, error }) => notice.show({
    title: `No permission to send on ${CHANNEL}`,
    text: `${settings.auth} did not sign the subscription${status ? ` (HTTP ${status})` : ''}${error ? `: ${error}` : ''}. `
      + 'The broker has that endpoint in development mode; elsewhere name your own with ?auth=…',
  }));
  answerForClock(sender.stream);
}

main().catch((error) => {
  element('connection').dataset.tone = 'bad';
  element('connection').textContent = error.message;
});
