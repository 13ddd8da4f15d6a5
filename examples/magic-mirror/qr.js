// A link as a QR code: bytes, error correction L, up to version 9 (230 bytes), as rows of dark and light modules.

/** Of each version: bytes of error correction of a block, and data bytes of each block. */
const VERSIONS = [
  null, [7, [19]], [10, [34]], [15, [55]], [20, [80]], [26, [108]], [18, [68, 68]], [20, [78, 78]], [24, [97, 97]], [30, [116, 116]],
];
/** Where the centres of the alignment patterns are, in both directions. */
const ALIGNMENTS = [null, [], [6, 18], [6, 22], [6, 26], [6, 30], [6, 34], [6, 22, 38], [6, 24, 42], [6, 26, 46]];

/** The text as rows of booleans, true for dark; null if it is too long. */
export function qrCode(text) {
  const bytes = new TextEncoder().encode(text);
  const version = VERSIONS.findIndex((known) => known && sum(known[1]) >= bytes.length + 2);
  if (version < 0) return null;
  const [correction, blocks] = VERSIONS[version];
  const { modules, fixed } = patterns(version);
  place(modules, fixed, interleaved(dataBytes(bytes, sum(blocks)), blocks, correction));
  const masked = MASKS.map((mask, index) => finished(modules, fixed, mask, index));
  return masked.reduce((best, next) => (penalty(next) < penalty(best) ? next : best));
}

/** The code as an SVG image that takes the colour of the text around it, with the quiet zone that readers need. */
export function qrSvg(text) {
  const rows = qrCode(text);
  if (!rows) return '';
  const dark = rows.flatMap((row, y) => row.map((isDark, x) => (isDark ? `M${x + 4} ${y + 4}h1v1h-1z` : '')));
  const size = rows.length + 8;
  return `<svg viewBox="0 0 ${size} ${size}" shape-rendering="crispEdges" role="img" aria-label="QR code of the link">`
    + `<rect width="${size}" height="${size}" fill="#fff"/><path fill="#000" d="${dark.join('')}"/></svg>`;
}

function sum(numbers) {
  return numbers.reduce((total, number) => total + number, 0);
}

/** Byte mode, length, the bytes, and padding. */
function dataBytes(bytes, capacity) {
  const bits = [...bitsOf(4, 4), ...bitsOf(bytes.length, 8), ...[...bytes].flatMap((byte) => bitsOf(byte, 8)), 0, 0, 0, 0];
  const data = [];
  for (let at = 0; at < bits.length; at += 8) data.push(Number.parseInt(bits.slice(at, at + 8).join('').padEnd(8, '0'), 2));
  for (let pad = 0xec; data.length < capacity; pad ^= 0xec ^ 0x11) data.push(pad);
  return data;
}

function bitsOf(value, count) {
  return Array.from({ length: count }, (_, index) => (value >> (count - 1 - index)) & 1);
}

function interleaved(data, blocks, correction) {
  let at = 0;
  const parts = blocks.map((length) => data.slice(at, at += length));
  const checks = parts.map((part) => remainder(part, correction));
  return [parts, checks].flatMap((lists) => lists[0].flatMap((_, index) => lists.map((list) => list[index])));
}

/** Reed-Solomon over GF(2⁸) with the polynomial 0x11d. */
function remainder(data, degree) {
  const divisor = Array(degree).fill(0);
  divisor[degree - 1] = 1;
  for (let index = 0, root = 1; index < degree; index += 1, root = times(root, 2)) {
    for (let at = 0; at < degree; at += 1) divisor[at] = times(divisor[at], root) ^ (divisor[at + 1] ?? 0);
  }
  const rest = Array(degree).fill(0);
  for (const byte of data) {
    const factor = byte ^ rest.shift();
    rest.push(0);
    divisor.forEach((coefficient, at) => { rest[at] ^= times(coefficient, factor); });
  }
  return rest;
}

function times(a, b) {
  let product = 0;
  for (let bit = 7; bit >= 0; bit -= 1) {
    product = (product << 1) ^ ((product >> 7) * 0x11d);
    product ^= ((b >> bit) & 1) * a;
  }
  return product;
}

/** What stands in every code of a version. */
function patterns(version) {
  const size = 17 + 4 * version;
  const modules = Array.from({ length: size }, () => Array(size).fill(false));
  const fixed = Array.from({ length: size }, () => Array(size).fill(false));
  const set = (x, y, isDark) => {
    if (x < 0 || y < 0 || x >= size || y >= size) return;
    modules[y][x] = isDark;
    fixed[y][x] = true;
  };
  for (let at = 0; at < size; at += 1) {
    set(6, at, at % 2 === 0);
    set(at, 6, at % 2 === 0);
  }
  for (const [cx, cy] of [[3, 3], [size - 4, 3], [3, size - 4]]) square(set, cx, cy, 4, [2, 4]);
  const centres = ALIGNMENTS[version];
  for (const cy of centres) {
    for (const cx of centres) {
      const isCorner = (cx === 6 && cy === 6) || (cx === 6 && cy === size - 7) || (cx === size - 7 && cy === 6);
      if (!isCorner) square(set, cx, cy, 2, [1]);
    }
  }
  // Room for the format, and for the version where that is told.
  for (let at = 0; at < 9; at += 1) {
    const ends = at < 8 ? [[size - 1 - at, 8], [8, size - 1 - at]] : [];
    for (const [x, y] of [[8, at], [at, 8], ...ends]) if (!fixed[y][x]) set(x, y, false);
  }
  set(8, size - 8, true);
  if (version >= 7) {
    const bits = withCheck(version, 12, 0x1f25);
    for (let index = 0; index < 18; index += 1) {
      const [a, b] = [size - 11 + (index % 3), Math.floor(index / 3)];
      set(a, b, ((bits >> index) & 1) === 1);
      set(b, a, ((bits >> index) & 1) === 1);
    }
  }
  return { modules, fixed };
}

/** Rings around a centre; those at the distances of `light` are light. */
function square(set, cx, cy, radius, light) {
  for (let dy = -radius; dy <= radius; dy += 1) {
    for (let dx = -radius; dx <= radius; dx += 1) set(cx + dx, cy + dy, !light.includes(Math.max(Math.abs(dx), Math.abs(dy))));
  }
}

/** A value followed by its BCH check bits. */
function withCheck(value, bits, generator) {
  let rest = value;
  for (let index = 0; index < bits; index += 1) rest = (rest << 1) ^ ((rest >> (bits - 1)) * generator);
  return (value << bits) | rest;
}

/** Fills the bits in, two columns at a time, upwards and downwards by turns. */
function place(modules, fixed, bytes) {
  const size = modules.length;
  let at = 0;
  for (let right = size - 1; right >= 1; right -= 2) {
    if (right === 6) right = 5;
    for (let step = 0; step < size; step += 1) {
      const y = ((right + 1) & 2) === 0 ? size - 1 - step : step;
      for (const x of [right, right - 1]) {
        if (fixed[y][x]) continue;
        modules[y][x] = ((bytes[at >> 3] >> (7 - (at & 7))) & 1) === 1;
        at += 1;
      }
    }
  }
}

const MASKS = [
  (x, y) => (x + y) % 2, (x, y) => y % 2, (x) => x % 3, (x, y) => (x + y) % 3,
  (x, y) => (Math.floor(x / 3) + Math.floor(y / 2)) % 2, (x, y) => ((x * y) % 2) + ((x * y) % 3),
  (x, y) => (((x * y) % 2) + ((x * y) % 3)) % 2, (x, y) => (((x + y) % 2) + ((x * y) % 3)) % 2,
];

/** The code with a mask over its data, and the format that names it. */
function finished(modules, fixed, mask, index) {
  const size = modules.length;
  const rows = modules.map((row, y) => row.map((isDark, x) => (fixed[y][x] ? isDark : isDark !== (mask(x, y) === 0))));
  const format = withCheck((1 << 3) | index, 10, 0x537) ^ 0x5412;
  for (let bit = 0; bit < 15; bit += 1) {
    const isDark = ((format >> bit) & 1) === 1;
    const first = bit < 6 ? bit : bit + 1;
    rows[bit < 8 ? first : 8][bit < 8 ? 8 : bit === 8 ? 7 : 14 - bit] = isDark;
    if (bit < 8) rows[8][size - 1 - bit] = isDark;
    else rows[size - 15 + bit][8] = isDark;
  }
  return rows;
}

/** How hard the code is to read: long runs, blocks of one colour, and an imbalance of the two. */
function penalty(rows) {
  const columns = rows.map((_, x) => rows.map((row) => row[x]));
  let total = 0;
  for (const line of [...rows, ...columns]) {
    const text = line.map(Number).join('');
    for (const [run] of text.matchAll(/0{5,}|1{5,}/g)) total += run.length - 2;
    total += 40 * (text.match(/(?=00001011101|10111010000)/g)?.length ?? 0);
  }
  for (let y = 1; y < rows.length; y += 1) {
    for (let x = 1; x < rows.length; x += 1) if (new Set([rows[y][x], rows[y - 1][x], rows[y][x - 1], rows[y - 1][x - 1]]).size === 1) total += 3;
  }
  const dark = sum(rows.flat().map(Number)) / rows.length ** 2;
  return total + 10 * Math.floor(Math.abs(dark - 0.5) * 20);
}
