// The frames of a camera, one after the other, for an encoder.

import { wallClock } from './webcodecs.js';

/** Why this page can send no video, in words; null if it can. */
export function whyNoVideo() {
  if (!window.isSecureContext) return 'this page came neither from https:// nor from localhost, and browsers encode video only on those';
  if (!('VideoEncoder' in globalThis && 'VideoFrame' in globalThis)) return 'this browser has no video encoder for pages (WebCodecs)';
  return null;
}

/**
 * Hands each frame of `stream` to `take(frame, capturedAt)`, which has to close it; `capturedAt` in milliseconds since
 * 1970. From a MediaStreamTrackProcessor, here or in a worker, where there is one: that goes on in the background. Else from
 * `video`, in which the stream plays. Returns what ends it.
 */
export function takeFrames(stream, video, take) {
  const [track] = stream.getVideoTracks();
  if (typeof globalThis.MediaStreamTrackProcessor === 'function') {
    return fromTrack(new globalThis.MediaStreamTrackProcessor({ track, maxBufferSize: 1 }), take);
  }
  return fromWorker(track, take, () => fromElement(video, take));
}

function fromTrack({ readable }, take) {
  const reader = readable.getReader();
  let ended = false;
  const read = async () => {
    while (!ended) {
      const { value: frame, done } = await reader.read();
      if (done) return;
      if (ended) frame.close();
      else take(frame, wallClock());
    }
  };
  read().catch(() => {});
  return () => {
    ended = true;
    reader.cancel().catch(() => {});
  };
}

/** Safari has the processor in workers alone. Where there is none either, or the track cannot go there, `otherwise` does it. */
function fromWorker(track, take, otherwise) {
  const worker = new Worker(new URL('capture-worker.js', import.meta.url));
  const own = track.clone();
  let end = () => {
    worker.terminate();
    own.stop();
  };
  worker.onmessage = ({ data: { frame, capturedAt, isMissing } }) => {
    if (frame) {
      take(frame, capturedAt);
      worker.postMessage({ next: true });
    } else if (isMissing) {
      end();
      end = otherwise();
    }
  };
  const goOnHere = () => worker.onmessage({ data: { isMissing: true } });
  worker.onerror = goOnHere;
  try {
    worker.postMessage({ track: own }, [own]);
  } catch {
    goOnHere();
  }
  return () => end();
}

function fromElement(video, take) {
  let handle = null;
  const next = () => { handle = video.requestVideoFrameCallback?.(heard) ?? requestAnimationFrame(() => heard(performance.now(), {})); };
  const heard = (now, { captureTime = now, mediaTime = now / 1000 }) => {
    next();
    if (video.readyState < HTMLMediaElement.HAVE_CURRENT_DATA) return;
    take(new VideoFrame(video, { timestamp: Math.round(mediaTime * 1_000_000) }), performance.timeOrigin + captureTime);
  };
  next();
  return () => {
    video.cancelVideoFrameCallback?.(handle);
    cancelAnimationFrame(handle);
  };
}
