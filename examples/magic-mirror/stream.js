// The stream page: camera → video → binary messages. Where that cannot be, camera → JPEG → client event, binary where the
// broker takes that and else a data URL. Beside video goes a still each second, for mirrors that take no video.

import { cameras, closeSource, explainCameraError, openSource, TEST_PICTURE } from './camera.js';
import { takeFrames, whyNoVideo } from './capture.js';
import { answerForClock } from './clock.js';
import { binaryLimit, connect, endsConnection, refusalIn, sendBinary, showClient, showConnection, unsentBytes } from './connection.js';
import { remember, tabName } from './memory.js';
import { bytes, Rate } from './meter.js';
import { element, keepQuery, Notice } from './page.js';
import { explainRefusal } from './refusal.js';
import { FrameSender } from './sender.js';
import { loadSettings, showConsole } from './settings.js';
import { followAudience, memberId, showLink } from './share.js';
import { canSendSound, SoundPublisher } from './sound.js';
import { Streams } from './streams.js';
import { VideoPublisher } from './video.js';
import { codecName } from './webcodecs.js';

const CHANNEL = 'private-stream';
const PICTURE = 'client-frame';
const VIDEO = 'client-video';
const AUDIO = 'client-audio';
const STATE = 'client-state';
const FRAMES_PER_SECOND = 30;
const STILL = { framesPerSecond: 1, width: 640, quality: 0.6 };
/** A refusal stays on the page this long after the last one came. */
const REFUSAL_SHOWN_MS = 6000;
/** A broker with video channels says by then that it has got a frame. */
const ANSWERED_WITHIN_MS = 3000;
/** So many frames without anything from the encoder, ten seconds, and it is given up. */
const MOST_UNHEARD = 10 * FRAMES_PER_SECOND;
/** Without a frame of the camera for this long the stream counts as paused. */
const PAUSED_AFTER_MS = 1500;
/** The mirrors are told again that the stream is paused, for those that have just come. */
const STATE_EVERY_MS = 5000;

const button = element('start');
const source = element('source');
const mode = element('mode');
const screen = element('screen');
const preview = element('preview');
const controls = { rate: element('rate'), width: element('width'), quality: element('quality') };
const notice = new Notice(element('problem'));

const counts = { sent: 0, skipped: 0, refused: 0, frameBytes: null };
const frameRate = new Rate();
const throughput = new Rate();
/** What other pages send. */
const others = new Streams();
const query = new URLSearchParams(location.search);
const memory = { track: tabName('track'), publisher: tabName('publisher') };

let pusher = null;
let channel = null;
let stream = null;
let wakeLock = null;
/** Something else was chosen while it began. */
let startAgain = false;
let lastRefusal = -Infinity;
let connected = false;
/** Why pictures are sent although video is wished, in words. */
let noVideo = null;
/** Whether that is for the codec, of which another one may be chosen. */
let isCodecMissing = false;
let isBinaryWished = true;
let isBinaryMissing = false;
let publisher = null;
let endFrames = null;
/** The microphone and what sends its sound, while that is on. */
let sound = null;
/** Counts the wishes for sound: when the microphone is there, the one that it was for may be over. */
let soundTurn = 0;
let firstVideoAt = null;
/** Frames that the encoder has been offered since one came out of it. */
let unheard = 0;
let lastFrameAt = -Infinity;
let told = { state: 'stopped', at: -Infinity };

const isVideo = () => publisher !== null;

const sender = new FrameSender(preview, {
  wishes: () => (isVideo() ? STILL : {
    framesPerSecond: controls.rate.valueAsNumber,
    width: controls.width.valueAsNumber,
    quality: controls.quality.valueAsNumber / 100,
  }),
  clear: () => Boolean(channel?.subscribed) && !(unsentBytes(pusher) > 0),
  binary: () => binaryLimit(pusher) > 0,
  members: () => (isVideo() ? { still: true } : {}),
  deliver: (frame) => (frame.blob ? deliverBlob(frame) : channel.trigger(PICTURE, frame)),
  onSent: ({ dataUrl, blob, still }) => {
    const size = blob?.size ?? dataUrl.length;
    if (!still) countFrame(size, blob ? 'binary messages' : 'data URLs');
    else throughput.add(size, performance.now());
  },
  onSkipped: () => { if (!isVideo()) counts.skipped += 1; },
});

async function deliverBlob({ blob, ...members }) {
  const bytes = await blob.arrayBuffer();
  if (sendBinary(pusher, CHANNEL, PICTURE, bytes, { mediaType: blob.type, members })) return true;
  const limit = binaryLimit(pusher);
  counts.frameBytes = bytes.byteLength;
  if (limit > 0) refused({ data: { code: 4301, message: `a binary message exceeds the allowed maximum (${limit} bytes)` } });
  return false;
}

function countFrame(size, form) {
  const now = performance.now();
  counts.sent += 1;
  counts.frameBytes = size;
  frameRate.add(1, now);
  throughput.add(size, now);
  element('form').textContent = form;
}

/** Why video cannot go over the present connection, in words; null if it can. */
function whyNoBinary() {
  if (binaryLimit(pusher) > 0) return null;
  if (!isBinaryWished) return 'the address of this page says binary=0';
  return unsentBytes(pusher) === null ? 'the connection is one of the fallbacks over HTTP, which take no binary messages'
    : 'this broker takes no binary messages';
}

/** Begins with video if that is wished and can be. */
function startVideo() {
  noVideo = null;
  isCodecMissing = false;
  if (mode.value === 'video') {
    noVideo = whyNoVideo() ?? (channel?.subscribed ? whyNoBinary() : null);
    if (noVideo === null) {
      beginVideo();
      setSound(element('sound').checked);
    }
  }
  showMode();
}

function beginVideo() {
  firstVideoAt = null;
  publisher = new VideoPublisher({
    wishes: () => ({
      codec: element('codec-wished').value,
      height: Number(element('size').value),
      framesPerSecond: FRAMES_PER_SECOND,
      small: element('small').checked,
    }),
    members: { ...memory, stream: sender.stream },
    send: (content, about) => Boolean(channel?.subscribed) && sendBinary(pusher, CHANNEL, VIDEO, content, about),
    onSent: ({ bytes: size, members }) => {
      firstVideoAt ??= performance.now();
      if (members.rendition === 'small') throughput.add(size, performance.now());
      else countFrame(size, 'binary messages');
      unheard = 0;
    },
    onNoCodec: () => givesUpVideo(whyNoCodec(), true),
  });
  unheard = 0;
  // What the line has not taken yet is visible here before the broker can tell.
  const isFull = () => unsentBytes(pusher) > 16_384 + (publisher.settings?.bitrate ?? 0) / 32;
  endFrames = takeFrames(stream, preview, (frame, capturedAt) => {
    lastFrameAt = performance.now();
    if (publisher && channel?.subscribed && !isFull()) {
      unheard += 1;
      if (!publisher.encode(frame, capturedAt)) counts.skipped += 1;
    } else {
      frame.close();
      counts.skipped += 1;
    }
  });
}

/** Sends sound as well, or no more; a microphone that is not lent leaves the picture alone. */
async function setSound(wished) {
  soundTurn += 1;
  const turn = soundTurn;
  sound?.publisher.close();
  closeMicrophone(sound?.microphone);
  sound = null;
  if (!wished || !publisher) return;
  const microphone = await navigator.mediaDevices.getUserMedia({ audio: true }).catch(() => null);
  if (turn !== soundTurn) {
    closeMicrophone(microphone);
    return;
  }
  if (!microphone) {
    element('sound').checked = false;
    return;
  }
  sound = { microphone, publisher: new SoundPublisher(microphone.getAudioTracks()[0], {
    members: { ...memory, stream: sender.stream },
    // A broker without channels for video would count the pieces as client events, of which it takes few.
    send: (content, about) => Boolean(channel?.subscribed && publisher?.congestion.isAnswered)
      && sendBinary(pusher, CHANNEL, AUDIO, content, about),
  }) };
}

function closeMicrophone(microphone) {
  microphone?.getTracks().forEach((track) => track.stop());
}

function endVideo() {
  setSound(false);
  endFrames?.();
  endFrames = null;
  publisher?.close();
  publisher = null;
}

function whyNoCodec() {
  const wished = element('codec-wished');
  return wished.value === 'auto' ? 'this browser has no codec that it both encodes and decodes'
    : `this browser does not both encode and decode ${wished.selectedOptions[0].text}, another codec may do`;
}

/** Goes on with pictures, and says why. */
function givesUpVideo(why, forCodec = false) {
  noVideo = why;
  isCodecMissing = forCodec;
  endVideo();
  sender.start();
  showMode();
}

function showMode() {
  const wished = mode.value === 'video';
  element('video-settings').hidden = !wished || (noVideo !== null && !isCodecMissing);
  element('picture-settings').hidden = wished && noVideo === null;
  element('why-pictures').hidden = noVideo === null;
  element('why-pictures').textContent = noVideo && `Single pictures are sent in place of video: ${noVideo}.`;
}

async function start() {
  startAgain = false;
  setState('starting');
  element('background').hidden = true;
  notice.hide();
  try {
    stream = await openSource(source.value, mode.value === 'video' ? Number(element('size').value) : 720);
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
  lastFrameAt = performance.now();
  startVideo();
  sender.start();
  tellState();
  listCameras();
  keepAwake();
  if (startAgain) restart();
}

function stop() {
  sender.stop();
  endVideo();
  if (stream) closeSource(stream);
  stream = null;
  preview.srcObject = null;
  wakeLock?.release().catch(() => {});
  wakeLock = null;
  setState('idle');
  for (const rate of [frameRate, throughput]) rate.clear();
  showNumbers();
}

/** Another camera, another size, or video after pictures. */
async function restart() {
  if (screen.dataset.state === 'starting') startAgain = true;
  if (!stream) return;
  stop();
  await start();
}

/** Tells the mirrors why no frames come, when that begins and now and then. */
function tellState() {
  const now = performance.now();
  // Single pictures go on in the background, however slowly.
  const flows = !isVideo() || now - lastFrameAt < PAUSED_AFTER_MS;
  const state = !stream ? 'stopped' : flows ? 'live' : 'paused';
  if (state === told.state && (state !== 'paused' || now - told.at < STATE_EVERY_MS)) return;
  // That it is live is said by the frames.
  if (state !== 'live' && !(channel?.subscribed && channel.trigger(STATE, { stream: sender.stream, state }))) return;
  if (state === 'live') publisher?.keyFrameWanted();
  told = { state, at: now };
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
  publisher?.keyFrameWanted();
  const fix = { label: 'Send single pictures', apply: () => choose(mode, 'pictures') };
  notice.show(explainRefusal(refusal.message, counts.frameBytes, controls, isVideo() ? fix : null));
}

function choose(select, value) {
  select.value = value;
  select.dispatchEvent(new Event('change'));
}

function showNumbers() {
  const now = performance.now();
  element('sent').textContent = counts.sent.toLocaleString('en');
  element('skipped').textContent = counts.skipped.toLocaleString('en');
  element('refused').textContent = counts.refused.toLocaleString('en');
  element('fps').textContent = `${frameRate.perSecond(now).toFixed(1)} fps`;
  element('throughput').textContent = `${bytes(throughput.perSecond(now))}/s`;
  element('frame-size').textContent = counts.frameBytes === null ? '–' : bytes(counts.frameBytes);
  element('codec').textContent = stream ? encodedAs() : '–';
  element('company').hidden = !stream || others.present(now).length === 0;
  if (lastRefusal > -Infinity && now - lastRefusal > REFUSAL_SHOWN_MS) {
    lastRefusal = -Infinity;
    notice.hide();
  }
  tellState();
  const waited = firstVideoAt !== null && connected ? now - firstVideoAt : 0;
  if (isVideo() && waited > ANSWERED_WITHIN_MS && !publisher.congestion.isAnswered && query.get('video') !== '1') {
    givesUpVideo('this broker has no channel for video');
  }
  if (isVideo() && unheard > MOST_UNHEARD) givesUpVideo('nothing comes out of the video encoder of this browser');
}

function encodedAs() {
  if (!isVideo()) return 'JPEG';
  const { settings, congestion } = publisher;
  if (!settings) return 'no codec yet';
  const { codec, width, height, bitrate } = settings;
  const less = congestion.share < 1 ? `, ${Math.round(congestion.share * 100)} % of what was wished` : '';
  return `${codecName(codec)}, ${width} × ${height}, ${(bitrate / 1e6).toFixed(1)} Mb/s${less}`;
}

function showWishes() {
  element('rate-shown').textContent = `${controls.rate.value} per second`;
  element('width-shown').textContent = `${controls.width.value} pixels`;
  element('quality-shown').textContent = `${controls.quality.value} %`;
  for (const { style, min, max, valueAsNumber } of Object.values(controls)) {
    style.setProperty('--part', `${((valueAsNumber - min) / (max - min)) * 100}%`);
  }
}

/** The box has the shape of the picture in it, also when a phone is turned. */
function showShape() {
  const { videoWidth, videoHeight } = preview;
  if (videoWidth > 0) screen.style.setProperty('--shape', `${videoWidth} / ${videoHeight}`);
}

async function main() {
  keepQuery();
  showWishes();
  for (const control of Object.values(controls)) {
    control.addEventListener('input', showWishes);
    remember(control);
  }
  for (const control of [source, mode, element('size'), element('codec-wished'), element('small')]) remember(control);
  if (query.has('video')) mode.value = query.get('video') === '0' ? 'pictures' : 'video';
  noVideo = mode.value === 'video' ? whyNoVideo() : null;
  showMode();
  button.addEventListener('click', () => (stream ? stop() : start()));
  for (const control of [source, mode, element('size')]) control.addEventListener('change', restart);
  element('codec-wished').addEventListener('change', () => { if (noVideo !== null) restart(); });
  mode.addEventListener('change', () => { noVideo = mode.value === 'video' ? whyNoVideo() : null; showMode(); });
  element('sound-choice').hidden = !canSendSound();
  element('sound').addEventListener('change', ({ target }) => setSound(target.checked));
  preview.addEventListener('resize', showShape);
  document.addEventListener('visibilitychange', () => {
    if (!stream) return;
    element('background').hidden = isVideo();
    tellState();
    if (!document.hidden && wakeLock?.released) keepAwake();
  });
  addEventListener('pagehide', () => { if (stream && channel?.subscribed) channel.trigger(STATE, { stream: sender.stream, state: 'stopped' }); });
  setInterval(showNumbers, 250);

  const settings = await loadSettings();
  showConsole(settings);
  showLink(settings);
  isBinaryWished = settings.binary;
  pusher = await connect(settings, memberId('stream'));
  showClient(pusher, settings, element('client'));
  showConnection(pusher, settings, element('connection'), ({ tone }) => {
    connected = tone === 'good';
    showBadge();
  });
  pusher.connection.bind('error', refused);
  channel = pusher.subscribe(CHANNEL);
  channel.bind('pusher:subscription_succeeded', () => {
    told.at = -Infinity;
    const why = mode.value === 'video' ? whyNoBinary() : null;
    if (isVideo() && why !== null) givesUpVideo(why);
    // The line before was one that takes none.
    if (isBinaryMissing && why === null) restart();
    isBinaryMissing = why !== null;
    publisher?.congestion.restart();
    publisher?.keyFrameWanted();
  });
  // Nobody hears what it sends itself.
  for (const event of [PICTURE, VIDEO]) channel.bind(event, (frame) => others.see(String(frame?.stream ?? ''), performance.now()));
  channel.bind('pusher:frame_received', (data) => { if (isOwn(data)) publisher?.acknowledged(data); });
  channel.bind('pusher:keyframe_wanted', (data) => { if (isOwn(data)) publisher?.keyFrameWanted(data); });
  channel.bind('pusher:subscription_error', ({ status, error }) => notice.show({
    title: `No permission to send on ${CHANNEL}`,
    text: `${settings.auth} did not sign the subscription${status ? ` (HTTP ${status})` : ''}${error ? `: ${error}` : ''}. `
      + 'The broker has that endpoint in development mode; elsewhere name your own with ?auth=…',
  }));
  followAudience(pusher, (mirrors) => {
    element('audience').hidden = false;
    element('audience').textContent = mirrors === 1 ? '1 mirror watches' : `${mirrors} mirrors watch`;
  });
  answerForClock(sender.stream);
}

function isOwn(data) {
  return data?.event === VIDEO && data.track === memory.track;
}

main().catch((error) => {
  element('connection').dataset.tone = 'bad';
  element('connection').textContent = error.message;
});
