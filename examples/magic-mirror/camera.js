// Where pictures come from: a camera, or the test picture for those who have none at hand.

import { drawTestPicture } from './test-picture.js';

export const TEST_PICTURE = 'test-picture';

const TEST_PICTURE_SIZE = { width: 1280, height: 720 };
const TEST_PICTURE_FRAMES_PER_SECOND = 30;

/**
 * Opens a picture source by its device id ('' = the browser's first choice), of this height if it has that.
 * Returns its MediaStream; closeSource() lets go of it again.
 */
export async function openSource(id, height = 720) {
  if (id === TEST_PICTURE) return openTestPicture();
  if (!navigator.mediaDevices?.getUserMedia) {
    throw new DOMException('no getUserMedia on this page', window.isSecureContext ? 'NotSupportedError' : 'SecurityError');
  }
  const size = { width: { ideal: Math.round((height * 16) / 9) }, height: { ideal: height }, frameRate: { ideal: 30 } };
  const which = id ? { deviceId: { exact: id } } : { facingMode: 'user' };
  return navigator.mediaDevices.getUserMedia({ audio: false, video: { ...size, ...which } });
}

export function closeSource(stream) {
  stream.getTracks().forEach((track) => track.stop());
  stream.stopDrawing?.();
}

/** The cameras the browser is willing to name; it names them only once one has been allowed. */
export async function cameras() {
  const devices = await navigator.mediaDevices?.enumerateDevices?.().catch(() => []) ?? [];
  return devices.filter(({ kind, deviceId }) => kind === 'videoinput' && deviceId);
}

/** What went wrong with the camera, and what to do about it. */
export function explainCameraError(error, page = location) {
  switch (error.name) {
    case 'SecurityError':
      return {
        title: 'The camera needs a secure page',
        text: `Browsers give the camera only to pages from https:// or from localhost; this one came from ${page.origin}. `
          + 'On the computer that runs the broker, open it as http://localhost. '
          + 'For a phone, start the broker with --development --lan and open the address that it prints, or put it behind a TLS proxy. '
          + 'The mirror page needs none of this, and neither does the test picture.',
      };
    case 'NotAllowedError':
      return {
        title: 'The camera is not allowed',
        text: 'Allow the camera for this page in the browser (the camera sign beside the address), '
          + 'and in the settings of the system if it asks there too. Then press start again.',
      };
    case 'NotFoundError':
    case 'OverconstrainedError':
      return {
        title: 'No camera was found',
        text: 'Plug one in or choose another under “Picture from”. The test picture works without a camera.',
      };
    case 'NotReadableError':
    case 'AbortError':
      return {
        title: 'The camera is busy',
        text: 'Another program or page seems to be using it. Close that and press start again.',
      };
    default:
      return { title: 'The camera did not start', text: `The browser says: ${error.message || error.name}` };
  }
}

function openTestPicture() {
  const canvas = Object.assign(document.createElement('canvas'), TEST_PICTURE_SIZE);
  const context = canvas.getContext('2d');
  const draw = () => drawTestPicture(context, performance.now(), new Date().toLocaleTimeString());
  draw();
  const stream = canvas.captureStream(TEST_PICTURE_FRAMES_PER_SECOND);
  const timer = setInterval(draw, 1000 / TEST_PICTURE_FRAMES_PER_SECOND);
  stream.stopDrawing = () => clearInterval(timer);
  return stream;
}
