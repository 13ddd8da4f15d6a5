// The types against the document by which the broker describes its control API.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { sharedBroker } from './support.mjs';

const shared = sharedBroker();

/** What the package has under another name, or unwraps. */
const OTHERWISE = new Set([
  'app_id', 'path_prefix', 'until', 'timeout_ms', 'holds_ms', 'advance_ms', 'to', 'next', 'cleared', 'closed', 'error', 'apps',
  'strangers', 'version',
]);

test('every member and every word that the control API knows is in the types', async () => {
  const { url, token } = shared.broker;
  const answer = await fetch(`${url}/openapi.json`, { headers: { authorization: `Bearer ${token}` } });
  const types = await readFile(new URL('index.d.ts', import.meta.resolve('heliostat-testing')), 'utf8');
  const known = new Set(types.replace(/\/\*\*.*?\*\//gs, '').match(/\w+/g));
  const words = [...named((await answer.json()).components.schemas)];
  assert.ok(words.length > 100);
  assert.deepEqual([...new Set(words)].filter((word) => !known.has(word) && !OTHERWISE.has(word)), []);
});

/** Members of objects, and texts that are one of several. */
function* named(schema) {
  if (typeof schema !== 'object' || schema === null) return;
  if (schema.properties) yield* Object.keys(schema.properties);
  for (const word of [schema.const, ...(schema.enum ?? [])]) if (typeof word === 'string') yield word;
  for (const inner of Object.values(schema)) yield* named(inner);
}
