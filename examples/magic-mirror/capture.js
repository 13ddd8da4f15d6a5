// The frames of a camera, one after the other, for an encoder.

/** Why this page can send no video, in words; null if it can. */
export function whyNoVideo() {
  if (!window.isSecureContext) return 'this page came neither from https:// nor from localhost, and browsers encode video only on those';
  if (!('VideoEncoder' in globalThis && 'VideoFrame' in globalThis)) return 'this browser has no video encoder for pages (WebCodecs)';
  return null;
}

/**
 * Hands each frame of `stream` to `take(frame, capturedAt)`, which has to close it; `capturedAt` in milliseconds since
 * 1970. From a MediaStreamTrackProcessor where there is one, which goes on in the background, else from `video`, in which
 * the stream plays. Returns what ends it.
 */
export function takeFrames(stream, video, take) {
  const [track] = stream.getVideoTracks();
  if (typeof globalThis.MediaStreamTrackProcessor !== 'function') return fromElement(video, take);
  return fromTrack(new globalThis.MediaStreamTrackProcessor({ track, maxBufferSize: 1 }), take);
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

function wallClock() {
  return performance.timeOrigin + performance.now();
}
