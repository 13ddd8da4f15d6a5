// Tells the table of clients and features what a test has shown. `docs/compatibility.md` is made of such records, so that
// it says what ran and nothing else. They are written only where PROTOCOL_TESTS_RECORDS names a directory, which
// `protocol-tests/run` does.

import { appendFileSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const directory = process.env.PROTOCOL_TESTS_RECORDS;

/**
 * Notes that `subject`, `{ client, version }`, has used these features against the broker: the last line of a test, when
 * all of it has been asserted. The names are those of `protocol-tests/compatibility/subjects.json`; the table's maker
 * refuses others.
 */
export function shown({ client, version }, ...features) {
  if (!directory) return;
  mkdirSync(directory, { recursive: true });
  // One write per test, so that the test files that run side by side do not mix theirs.
  const lines = features.map((feature) => `${JSON.stringify({ client, version, feature })}\n`);
  appendFileSync(join(directory, 'node.jsonl'), lines.join(''));
}

/** The version of an installed package, by the name under which package.json installs it. */
export function installedVersion(name) {
  return JSON.parse(readFileSync(new URL(`node_modules/${name}/package.json`, import.meta.url), 'utf8')).version;
}
