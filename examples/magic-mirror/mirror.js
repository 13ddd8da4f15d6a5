// The mirror page: shows the video of the channel `mirror-video`, or each `frame` of the channel `mirror`, and measures how
// it came.

import { contentOf } from './binary.js';
import { SameClock } from './clock.js';
import { connect, showClient, showConnection } from './connection.js';
import { Film } from './film.js';
import { remember } from './memory.js';
import { Gaps, bytes, Rate, Recent } from './meter.js';
import { element, keepQuery, Notice } from './page.js';
import { loadSettings, showConsole } from './settings.js';
import { followAudience, memberId, showLink } from './share.js';
import { SoundViewer } from './sound.js';
import { Streams } from './streams.js';
import { VideoViewer } from './video.js';
import { codecName } from './webcodecs.js';

const CHANNEL = 'mirror';
const EVENT = 'frame';
const STATE = 'state';
const VIDEO_CHANNEL = 'mirror-video';
const VIDEO = 'video';
const AUDIO = 'audio';
/** Without a frame for this long the stream counts as paused. */
const PAUSED_AFTER_MS = 3000;
/** A track from which nothing has come for so long gives way to another one, and to single pictures. */
const SILENT_AFTER_MS = 1500;
/** Frames may come so long after the word that there are no more. */
const ON_ITS_WAY_MS = 700;
/** After so many errors without a picture in between the codec is taken for one that this browser does not decode. */
const MOST_ERRORS = 3;
/** A key frame is asked for at most as often as the broker listens. */
const KEY_FRAME_ASKED_EVERY_MS = 2000;

const screen = element('screen');
const picture = element('picture');
const canvas = element('film');
const notice = new Notice(element('problem'));
const company = new Notice(element('company'));

const frameRate = new Rate();
const throughput = new Rate();
const latency = new Recent();
const gaps = new Gaps();
const streams = new Streams();
const clock = new SameClock();
const film = new Film(canvas, shownVideo);

let pusher = null;
let received = 0;
let numbered = false;
let stream = null;
/** The one stream that is shown, where several arrive and one was chosen. */
let only = null;
let newest = null;
let showing = false;
let lastShown = null;
let connected = false;
/** The track that is decoded: `{ track, viewer, lastAt }`. */
let playing = null;
let keyFrameAskedAt = -Infinity;
/** What the stream page has said last, as `{ state, at }`, until a frame comes that was not on its way by then. */
let told = null;
let frameSize = '';
/** The codec of a video that this browser does not decode, and the errors since the last picture. */
let undecodable = null;
let errors = 0;
/** What plays the sound, once somebody has asked for it: browsers let no page be heard before. */
let sound = null;

/**
 * Takes a frame as the stream page sends it, or as the original experiment did: `dataUrl` alone, perhaps a `message`. In
 * a binary message the picture is a `blob`.
 */
function receive(data) {
  const now = performance.now();
  // Beside a video that is shown, its stills are of no use.
  if (data?.still && isPlaying(now)) return;
  const picture = data?.blob ?? data?.dataUrl;
  const isPicture = picture instanceof Blob ? picture.type.startsWith('image/') : String(picture).startsWith('data:image/');
  if (!isPicture) {
    notice.show({
      title: 'A frame without a picture',
      text: 'Something that is no picture came as a frame. A frame is an object whose dataUrl begins with data:image/.',
    });
    return;
  }
  const from = String(data.stream ?? '');
  streams.see(from, now);
  if (only === null ? isPlaying(now) : from !== only) return;
  count(picture.size ?? picture.length, now);
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

function count(size, now) {
  received += 1;
  if (told && now - told.at > ON_ITS_WAY_MS) told = null;
  frameRate.add(1, now);
  throughput.add(size, now);
}

/** Takes a frame of a video: of one track, which gives way to another one when nothing more comes of it. */
function receiveVideo(data) {
  const content = contentOf(data);
  if (!content) return;
  const now = performance.now();
  const { members, bytes: frame } = content;
  const from = String(members.stream ?? members.track ?? '');
  streams.see(from, now);
  if (only !== null && from !== only) return;
  if (undecodable !== null && (!members.key || members.config?.codec === undecodable)) return;
  showStills(null);
  const track = members.track ?? '';
  if (playing?.track !== track) {
    if (only === null && isPlaying(now)) return;
    play(track);
    if (!members.key) askForKeyFrame();
  }
  playing.lastAt = now;
  count(frame.byteLength, now);
  element('form').textContent = 'binary messages';
  element('message').hidden = true;
  playing.viewer.receive(members, frame, now);
}

/** Takes a piece of the sound of the track that is shown. */
function receiveSound(data) {
  const content = contentOf(data);
  if (!content || !playing || (content.members.track ?? '') !== playing.track) return;
  element('sound').hidden = !('AudioDecoder' in globalThis);
  throughput.add(content.bytes.byteLength, performance.now());
  sound?.receive(content.members, content.bytes);
}

function switchSound() {
  sound?.close();
  sound = sound ? null : new SoundViewer();
  element('sound').textContent = sound ? 'Sound off' : 'Sound on';
  element('sound').setAttribute('aria-pressed', String(sound !== null));
}

function isPlaying(now) {
  return playing !== null && now - playing.lastAt < SILENT_AFTER_MS;
}

function play(track) {
  playing?.viewer.reset();
  film.clear();
  const viewer = new VideoViewer({
    show: (frame, about) => film.show(frame, about),
    wantKeyFrame: askForKeyFrame,
    onTrouble: (reason) => {
      errors += 1;
      if (errors >= MOST_ERRORS) showStills(viewer.config?.codec ?? '');
      else notice.show({ title: 'The video could not be decoded', text: `The browser says: ${reason}. It goes on with the next key frame.` });
    },
  });
  playing = { track, viewer, lastAt: performance.now() };
}

/** Goes over to stills where the codec is one that is not decoded here, and back. */
function showStills(codec) {
  if (codec === undecodable) return;
  undecodable = codec;
  errors = 0;
  notice.hide();
  element('why-stills').hidden = codec === null;
  element('why-stills').textContent = codec === null ? '' : `Of this video a still each second is shown: this browser does not decode ${codecName(codec)}. `
    + 'Another codec can be chosen on the stream page.';
  if (codec !== null) playing = null;
}

function askForKeyFrame() {
  const now = performance.now();
  if (undecodable !== null) return;
  if (now - keyFrameAskedAt < KEY_FRAME_ASKED_EVERY_MS) return;
  keyFrameAskedAt = now;
  tellBroker('pusher:keyframe_wanted', { event: VIDEO, ...(playing?.track && { track: playing.track }) });
}

function tellBroker(event, data) {
  if (pusher?.connection.state === 'connected') pusher.send_event(event, data, VIDEO_CHANNEL);
}

function shownVideo({ members, config }, shownAt) {
  sound?.follow(shownAt - members.timestamp / 1000);
  errors = 0;
  notice.hide();
  canvas.hidden = false;
  picture.hidden = true;
  lastShown = performance.now();
  frameSize = `${canvas.width} × ${canvas.height}`;
  showShape(canvas.width, canvas.height);
  noteLatency(members.stream, Number.isFinite(members.capturedAt) ? shownAt - members.capturedAt : null);
  if (config) setState();
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
  canvas.hidden = true;
  await onScreen();
  // Of a data URL there is nothing to be given back.
  URL.revokeObjectURL(before);
  lastShown = performance.now();
  frameSize = `${decoded.naturalWidth} × ${decoded.naturalHeight}`;
  showShape(decoded.naturalWidth, decoded.naturalHeight);
  noteLatency(frame.stream, Number.isFinite(frame.sentAt) ? Date.now() - frame.sentAt : null);
  setState();
}

function noteLatency(from, value) {
  if (value === null) {
    latency.clear();
    return;
  }
  if (from !== stream) latency.clear();
  stream = from;
  latency.add(value);
}

/** Resolves with the next repaint; a hidden page has none, and is not kept waiting for it. */
function onScreen() {
  return document.hidden ? null : new Promise((resolve) => requestAnimationFrame(resolve));
}

/** The box has the shape of the picture in it. */
function showShape(width, height) {
  const shape = `${width} / ${height}`;
  if (screen.style.getPropertyValue('--shape') !== shape) screen.style.setProperty('--shape', shape);
}

function setState() {
  const now = performance.now();
  const flows = connected && told === null && now - lastShown < PAUSED_AFTER_MS;
  const state = lastShown === null ? 'waiting' : flows ? 'live' : told?.state ?? 'paused';
  const words = {
    waiting: connected ? 'Waiting for a stream' : 'Not connected yet',
    live: '',
    paused: connected ? 'The stream has paused' : 'The connection is down',
    stopped: connected ? 'The stream has stopped' : 'The connection is down',
  }[state];
  screen.dataset.state = state;
  element('badge').hidden = state !== 'live';
  element('veil').hidden = state === 'live';
  if (element('veil').textContent !== words) element('veil').textContent = words;
}

/** The stream page says that it has stopped or paused; a frame that comes after that says otherwise. */
function receiveState(data) {
  const isShown = data?.stream === (stream ?? data?.stream);
  if (!isShown) return;
  told = ['paused', 'stopped'].includes(data?.state) ? { state: data.state, at: performance.now() } : null;
  showNumbers();
}

function showNumbers() {
  const now = performance.now();
  const isVideo = playing !== null && !canvas.hidden;
  element('received').textContent = received.toLocaleString('en');
  element('fps').textContent = `${frameRate.perSecond(now).toFixed(1)} fps`;
  element('throughput').textContent = `${bytes(throughput.perSecond(now))}/s`;
  const lost = gaps.lost + (playing?.viewer.counts.missing ?? 0);
  element('lost').textContent = numbered || playing ? lost.toLocaleString('en') : '–';
  element('codec').textContent = isVideo ? encodedAs(playing.viewer, now) : picture.hidden ? '–' : `single pictures, ${frameSize}`;
  element('dropped').textContent = isVideo ? leftOut(playing.viewer) : '–';
  setState();
  showLatency();
  showCompany(streams.present(now));
}

function encodedAs({ config, rendition }, now) {
  const rate = `${((throughput.perSecond(now) * 8) / 1e6).toFixed(1)} Mb/s`;
  return `${codecName(config?.codec)}, ${frameSize}, ${rate}${rendition === 'small' ? ', the small rendition' : ''}`;
}

/** What was not shown, and by whom. */
function leftOut({ counts, held }) {
  const parts = [
    [counts.missing, 'before it came here'], [counts.dropped, 'before a key frame'], [film.dropped, 'at the screen'],
    [held > 1 ? held : 0, 'in the decoder'], [counts.errors, 'times an error'],
  ];
  return parts.filter(([amount]) => amount > 0).map(([amount, where]) => `${amount} ${where}`).join(', ') || 'nothing';
}

/** Says that several streams arrive, which would otherwise only be seen as a flicker, and lets one of them be chosen. */
function showCompany(present) {
  if (only !== null && !present.includes(only)) only = null;
  if (present.length < 2) {
    only = null;
    company.hide();
    return;
  }
  const after = present[(present.indexOf(only ?? (playing ? stream : null)) + 1) % present.length];
  const byTurns = only === null && playing === null;
  company.show({
    title: `${present.length} pages are streaming`,
    text: byTurns ? 'Their pictures are shown by turns, as they come: hence the flicker.' : 'One of them is shown.',
    fix: { label: byTurns ? 'Show only one' : 'Show the next one', apply: () => { only = after; } },
  });
}

function showLatency() {
  // What was measured of frames that no longer come is of no account.
  if (screen.dataset.state !== 'live') latency.clear();
  showSpark();
  const middle = latency.at(0.5);
  if (middle === null) {
    element('latency').textContent = '–';
    const unsaid = screen.dataset.state === 'live';
    element('latency-note').textContent = unsaid ? 'these frames do not say when they were sent' : 'from filmed to shown';
    return;
  }
  const spread = `95 % within ${Math.round(latency.at(0.95))} ms`;
  const value = Math.round(middle);
  if (clock.isShared(stream)) {
    element('latency').textContent = `${value} ms`;
    element('latency-note').textContent = `exact, one clock; ${spread}`;
  } else if (value < 0) {
    element('latency').textContent = 'unknown';
    element('latency-note').textContent = `two clocks, the sender's is ${-value} ms or more ahead; spread ${Math.round(latency.spread)} ms`;
  } else {
    element('latency').textContent = `≈ ${value} ms`;
    element('latency-note').textContent = `two clocks, off by their difference; spread ${Math.round(latency.spread)} ms`;
  }
}

/** The latencies as a line, from the oldest to the newest. */
function showSpark() {
  const { values } = latency;
  const [least, most] = [Math.min(...values, 0), Math.max(...values, 100)];
  const points = values.map((value, x) => `${x + 150 - values.length},${(30 - (28 * (value - least)) / (most - least)).toFixed(1)}`);
  element('spark-line').setAttribute('points', points.join(' '));
}

function fullScreen() {
  if (document.fullscreenElement) document.exitFullscreen();
  else screen.requestFullscreen?.().catch(() => {});
}

/** A window of its own for the film, which the browser keeps above all others. */
async function pictureInPicture() {
  if (document.pictureInPictureElement) {
    await document.exitPictureInPicture();
    return;
  }
  const video = Object.assign(document.createElement('video'), { muted: true, playsInline: true, srcObject: canvas.captureStream() });
  video.addEventListener('leavepictureinpicture', () => { if (document.hidden) tellWish(); });
  await video.play();
  await video.requestPictureInPicture();
}

function showPlainLinks({ appId, tls, host, port, path }) {
  if (!appId) return;
  const channels = `${tls ? 'https' : 'http'}://${host}:${port}${path}/apps/${appId}/channels`;
  element('webm').href = `${channels}/${VIDEO_CHANNEL}/webm`;
  element('mjpeg').href = `${channels}/${CHANNEL}/mjpeg?event=${EVENT}`;
  element('sse').href = `${channels}/${CHANNEL}/sse`;
  element('plain-links').hidden = false;
}

/** Why this page shows no video, in words; null if it does. */
function whyNoVideo({ binary }) {
  if (!binary) return 'the address of this page says binary=0';
  if ('VideoDecoder' in globalThis) return null;
  return window.isSecureContext ? 'this browser has no video decoder for pages (WebCodecs)'
    : 'this page came neither from https:// nor from localhost, and browsers decode video for pages only on those';
}

function followVideo(settings) {
  const reason = whyNoVideo(settings);
  if (reason !== null) {
    element('why-stills').textContent = `Of a video a still each second is shown: ${reason}.`;
    element('why-stills').hidden = settings.binary === false;
    return;
  }
  const channel = pusher.subscribe(VIDEO_CHANNEL);
  channel.bind(VIDEO, receiveVideo);
  channel.bind(AUDIO, receiveSound);
  channel.bind('pusher:subscription_succeeded', () => {
    // What came over the line before is not continued on this one, and what was wished on it is forgotten.
    playing?.viewer.reset();
    if (!isSeen()) tellWish();
  });
  document.addEventListener('visibilitychange', tellWish);
}

/** Whether anybody can see the film, here or in its own window. */
function isSeen() {
  return !document.hidden || Boolean(document.pictureInPictureElement);
}

function tellWish() {
  tellBroker('pusher:track_wanted', { wanted: isSeen() ? 'full' : 'none' });
}

async function main() {
  keepQuery();
  setState();
  element('flip').addEventListener('change', ({ target }) => screen.classList.toggle('flipped', target.checked));
  remember(element('flip'));
  element('fullscreen').hidden = !screen.requestFullscreen;
  element('fullscreen').addEventListener('click', fullScreen);
  element('sound').addEventListener('click', switchSound);
  element('pip').hidden = !document.pictureInPictureEnabled;
  element('pip').addEventListener('click', () => pictureInPicture().catch(() => {}));
  setInterval(showNumbers, 250);

  const settings = await loadSettings();
  showConsole(settings);
  showLink(settings);
  showPlainLinks(settings);
  pusher = await connect(settings, memberId('mirror'));
  showClient(pusher, settings, element('client'));
  showConnection(pusher, settings, element('connection'), ({ tone }) => {
    connected = tone === 'good';
    setState();
  });
  const channel = pusher.subscribe(CHANNEL);
  channel.bind(EVENT, receive);
  channel.bind(STATE, receiveState);
  channel.bind('pusher:subscription_error', ({ status, error }) => notice.show({
    title: `No permission to listen on ${CHANNEL}`,
    text: `The broker answered ${status ?? ''} ${error ?? ''}`.trim(),
  }));
  followVideo(settings);
  followAudience(pusher, (mirrors) => {
    element('audience').hidden = mirrors < 2;
    element('audience').textContent = `${mirrors} mirrors watch`;
  });
}

main().catch((error) => {
  element('connection').dataset.tone = 'bad';
  element('connection').textContent = error.message;
});
