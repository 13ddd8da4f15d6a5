// Judges what a viewer was sent of tracks (docs/video.md) by nothing but that: whether a decoder could make something of all of it, in
// the order in which it came. The same as src/track.rs, for pages: hand it what the page's socket was sent.
//
//   const checker = new TrackChecker();
//   checker.take('client-video', 'video/webcodecs', { sequence: 1, timestamp: 0, key: true, config: {…} });
//   assert.deepEqual(checker.faults, []);

export class TrackChecker {
  #tracks = new Map();
  #upper = new Set();
  faults = [];
  frames = 0;
  keys = 0;
  moves = 0;

  // A publisher has sent this. Without it nobody knows of what is missing that it was of layer 1, to which no other frame refers: then every
  // gap without a key frame is a fault.
  sent(event, members) {
    if (members.layer === 1) this.#upper.add(JSON.stringify([event, nameOf(members), isSmall(members), members.sequence]));
  }

  // The viewer was sent this binary message, as docs/binary.md lays it out (an ArrayBuffer, or bytes).
  takeMessage(message) {
    const { event, mediaType, members } = readBinaryMessage(message);
    return this.take(event, mediaType, members);
  }

  // The same of a message that has been read. Returns what it is, if it is one of a track.
  take(event, mediaType, members) {
    const isSound = mediaType.startsWith('audio/');
    if (!isSound && !mediaType.startsWith('video/')) return null;
    this.frames += 1;
    const { sequence, timestamp } = members;
    if (!Number.isSafeInteger(sequence) || sequence < 0 || !Number.isSafeInteger(timestamp)) {
      this.#fault(event, `no sequence or no timestamp: ${JSON.stringify(members)}`);
      return null;
    }
    if (members.publisher !== undefined) this.#fault(event, `${sequence} tells what proves who films`);
    const frame = { event, sequence, timestamp, isKey: members.key === true, isSmall: isSmall(members), isSound };
    const track = JSON.stringify([event, nameOf(members), isSound]);
    if (frame.isKey) this.#takeKey(track, frame, members);
    else this.#takeDelta(track, frame, members);
    return frame;
  }

  #takeKey(track, { event, sequence, isSmall, isSound }, members) {
    this.keys += 1;
    const { config } = members;
    const numbers = isSound ? ['sampleRate', 'numberOfChannels'] : ['codedWidth', 'codedHeight'];
    if (!config?.codec || numbers.some((name) => !Number.isSafeInteger(config[name]))) {
      this.#fault(event, `the key frame ${sequence} carries no configuration: ${JSON.stringify(members)}`);
    }
    const before = this.#tracks.get(track);
    if (before && before.isSmall !== isSmall) this.moves += 1;
    this.#tracks.set(track, { isSmall, sequence });
  }

  #takeDelta(track, { event, sequence, isSmall, isSound }, members) {
    const seen = this.#tracks.get(track);
    if (!seen) return this.#fault(event, `${sequence} came before any key frame`);
    const before = seen.sequence;
    const isOther = seen.isSmall !== isSmall;
    seen.sequence = sequence;
    if (isOther) return this.#fault(event, `${sequence} is of another rendition than ${before}, and no key frame`);
    if (sequence <= before) return this.#fault(event, `${sequence} came after ${before}, without a key frame`);
    const name = nameOf(members);
    for (let missing = before + 1; !isSound && missing < sequence; missing += 1) {
      if (!this.#upper.has(JSON.stringify([event, name, isSmall, missing]))) {
        return this.#fault(event, `${sequence} is an orphan: it came after ${before}, without a key frame`);
      }
    }
    return undefined;
  }

  #fault(event, what) {
    this.faults.push(`${event}: ${what}`);
  }
}

// Event, media type, members and content of a binary message.
export function readBinaryMessage(message) {
  const bytes = ArrayBuffer.isView(message)
    ? new Uint8Array(message.buffer, message.byteOffset, message.byteLength) : new Uint8Array(message);
  if (bytes.length < 12 || bytes[0] !== 1) throw new Error('no binary message of version 1');
  const decoder = new TextDecoder();
  let at = 12;
  const texts = [0, 1, 2, 3, 4].map((n) => {
    const begin = at;
    at += (bytes[2 + 2 * n] << 8) | bytes[3 + 2 * n];
    return decoder.decode(bytes.subarray(begin, at));
  });
  const [channel, event, mediaType, userId, members] = texts;
  return { channel, event, mediaType, userId, members: members ? JSON.parse(members) : {}, content: bytes.subarray(at) };
}

const nameOf = (members) => members.track ?? '';
const isSmall = (members) => members.rendition === 'small';
