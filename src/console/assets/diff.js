// What differs between two texts, line by line. Payloads are bounded, and so is the work: longer ones are compared as wholes.

const MOST_LINES = 600;

/** Lines with a mark: ' ' in both, '-' only before, '+' only now. */
export function lines(before, now) {
  const [a, b] = [before.split('\n'), now.split('\n')];
  if (a.length > MOST_LINES || b.length > MOST_LINES) return [...a.map((text) => ['-', text]), ...b.map((text) => ['+', text])];
  // The longest common subsequence, by the table that every book has.
  const longest = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i -= 1) {
    for (let j = b.length - 1; j >= 0; j -= 1) {
      longest[i][j] = a[i] === b[j] ? longest[i + 1][j + 1] + 1 : Math.max(longest[i + 1][j], longest[i][j + 1]);
    }
  }
  const told = [];
  let [i, j] = [0, 0];
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) {
      told.push([' ', a[i]]);
      i += 1;
      j += 1;
    } else if (i < a.length && (j === b.length || longest[i + 1][j] >= longest[i][j + 1])) {
      told.push(['-', a[i]]);
      i += 1;
    } else {
      told.push(['+', b[j]]);
      j += 1;
    }
  }
  return told;
}
