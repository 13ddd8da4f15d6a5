// Reads a camera's frames for capture.js where pages cannot: one is on its way at a time, so that none are held up.

let goOn = () => {};

onmessage = async ({ data: { track } }) => {
  if (!track) {
    goOn();
    return;
  }
  if (typeof self.MediaStreamTrackProcessor !== 'function') {
    postMessage({ isMissing: true });
    return;
  }
  const reader = new self.MediaStreamTrackProcessor({ track, maxBufferSize: 1 }).readable.getReader();
  for (;;) {
    const { value: frame, done } = await reader.read();
    if (done) return;
    const taken = new Promise((resolve) => { goOn = resolve; });
    postMessage({ frame, capturedAt: performance.timeOrigin + performance.now() }, [frame]);
    await taken;
  }
};
