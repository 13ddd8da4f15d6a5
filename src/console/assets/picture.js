// Pictures within payloads: images as such, data URLs in text, and key frames of video.

import { fill, make } from './page.js';

const IMAGE_URL = /^data:image\/(?:png|jpeg|webp|gif|avif);base64,[A-Za-z0-9+/=]+$/;
const DECODE_MS = 3000;

/** The picture of an entry's payload, or nothing. What cannot be decoded says so. */
export function pictureOf({ data, event }) {
  if (!data) return null;
  if (typeof data.text === 'string') return imageUrlIn(data.text, event);
  const { media_type: type = '', payload } = data;
  if (!payload) return null;
  const url = payload.replace(/^\/console\//, '');
  if (type.startsWith('image/')) return make('img.payload-picture', { src: url, alt: `The picture in ${event}`, loading: 'lazy' });
  if (!type.startsWith('video/')) return null;
  const members = parse(data.members) ?? {};
  if (!members.key) return make('p.hint', { textContent: `A frame of video that depends on those before it (number ${members.sequence ?? '?'}); key frames are shown as pictures.` });
  const place = make('div.frame-picture', {}, make('p.hint', { textContent: 'Decoding…' }));
  decode(url, members).then(
    (canvas) => fill(place, canvas),
    (error) => fill(place, make('p.hint', { textContent: `The key frame cannot be shown: ${error.message}` })),
  );
  return place;
}

/** A data URL is the whole text, or one member of its JSON. */
function imageUrlIn(text, event) {
  const found = [text, ...strings(parse(text), 0)].find((part) => IMAGE_URL.test(part));
  return found ? make('img.payload-picture', { src: found, alt: `The picture in ${event}` }) : null;
}

function strings(value, depth) {
  if (typeof value === 'string') return [value];
  if (depth > 3 || value === null || typeof value !== 'object') return [];
  return Object.values(value).slice(0, 50).flatMap((part) => strings(part, depth + 1));
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

async function decode(url, { config, timestamp = 0 }) {
  if (!globalThis.VideoDecoder) throw new Error('this browser has no WebCodecs here');
  if (!config) throw new Error('it has no configuration');
  const { description, codec, codedWidth, codedHeight } = config;
  const answer = await fetch(url, { credentials: 'same-origin' });
  if (!answer.ok) throw new Error(answer.status === 404 ? 'its bytes are not kept any more' : 'its node has not told its bytes');
  const bytes = await answer.arrayBuffer();
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('the decoder gave nothing')), DECODE_MS);
    const over = (end, value) => {
      clearTimeout(timer);
      end(value);
    };
    const decoder = new VideoDecoder({
      output: (frame) => {
        const canvas = make('canvas.payload-picture', { width: frame.displayWidth, height: frame.displayHeight, role: 'img', 'aria-label': `A key frame, ${frame.displayWidth} by ${frame.displayHeight}` });
        canvas.getContext('2d').drawImage(frame, 0, 0);
        frame.close();
        over(resolve, canvas);
      },
      error: (error) => over(reject, error),
    });
    try {
      decoder.configure({ codec, codedWidth, codedHeight, ...(description ? { description: Uint8Array.from(atob(description), (character) => character.charCodeAt(0)) } : {}) });
      decoder.decode(new EncodedVideoChunk({ type: 'key', timestamp, data: bytes }));
      decoder.flush().catch((error) => over(reject, error));
    } catch (error) {
      over(reject, error);
    }
  });
}
