// Runs the reconnect profile and prints its figures; see README.md.

import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { startBroker } from '../broker.mjs';
import { TRIALS, blackHole } from './black-hole.mjs';
import { VARIANTS, run } from './profile.mjs';

const CONFIG = fileURLToPath(new URL('../recovery.toml', import.meta.url));

const { values } = parseArgs({
  options: {
    clients: { type: 'string', default: '200' },
    messages: { type: 'string', default: '120' },
    'per-second': { type: 'string', default: '2' },
    'cut-every': { type: 'string', default: '15' },
    offline: { type: 'string', default: '2' },
    seed: { type: 'string', default: String(Math.floor(Math.random() * 2 ** 32)) },
    variant: { type: 'string', multiple: true, default: Object.keys(VARIANTS) },
    only: { type: 'string' },
    'black-hole': { type: 'boolean', default: false },
    seconds: { type: 'string', default: '60' },
    broker: { type: 'string' },
    plain: { type: 'boolean', default: false },
  },
});

/** The longest that a message may take beyond its client's own return. */
const BEYOND_RETURN_MS = 500;

// A release may throw from its own timers when it is disconnected while it connects.
process.on('uncaughtException', (error) => console.error(`(a client threw: ${error.message})`));

const broker = await startBroker({
  // A broker of before knows no history.
  args: values.plain ? [] : ['--config', CONFIG],
  env: { HELIOSTAT_LOGGING_LEVEL: 'off' },
  ...(values.broker && { binary: values.broker }),
});
const seed = Number(values.seed);
console.log(`seed ${seed}; ${process.version}`);
const failed = values['black-hole'] ? await throughBlackHole() : await throughCuts();
await broker.stop();
process.exit(failed ? 1 : 0);

async function throughCuts() {
  console.log(['variant', 'names', 'delivered', 'lost', 'twice', 'oldest twice', 'disorder', 'complete', 'incomplete', 'cuts',
    'return p50', 'return p99', 'p50', 'p99', 'max', 'beyond return'].join('\t'));
  let wrong = false;
  for (const variant of values.variant) {
    for (const names of values.plain ? [false] : values.only ? [values.only === 'names'] : [false, true]) {
      const outcome = await run(broker, {
        variant, names, seed,
        clients: Number(values.clients),
        messages: Number(values.messages),
        perSecond: Number(values['per-second']),
        cutEveryMs: Number(values['cut-every']) * 1000,
        offlineMs: Number(values.offline) * 1000,
      });
      console.log(line(outcome));
      wrong ||= names && (outcome.lost > 0 || outcome.disorder > 0 || outcome.incomplete > 0 || outcome.beyondReturnMs.at(-1) > BEYOND_RETURN_MS);
    }
  }
  return wrong;
}

function line(outcome) {
  const expected = outcome.clients * outcome.published;
  const share = (part, whole, digits) => `${((100 * part) / whole).toFixed(digits)} %`;
  return [
    outcome.variant,
    outcome.names ? 'yes' : 'no',
    share(expected - outcome.lost, expected, 1),
    outcome.lost,
    share(outcome.duplicates, expected, 3),
    ms(outcome.repeatedMs.at(-1)),
    outcome.disorder,
    outcome.complete,
    outcome.incomplete,
    outcome.cuts,
    seconds(quantile(outcome.returnsMs, 0.5)),
    seconds(quantile(outcome.returnsMs, 0.99)),
    seconds(quantile(outcome.delaysMs, 0.5)),
    seconds(quantile(outcome.delaysMs, 0.99)),
    seconds(outcome.delaysMs.at(-1)),
    seconds(outcome.beyondReturnMs.at(-1)),
  ].join('\t');
}

async function throughBlackHole() {
  console.log(['release', 'line', 'reconnect.js', 'lost', 'twice', 'in order', 'complete', 'back after the drop', 'back after the return'].join('\t'));
  // They wait for the most part, so they do it at the same time.
  const outcomes = await Promise.all(TRIALS.map((trial) => blackHole(broker, { ...trial, seconds: Number(values.seconds) })));
  outcomes.forEach((outcome, index) => {
    const { release, fate, helper } = TRIALS[index];
    console.log([release.version, fate, helper ? 'yes' : 'no', outcome.lost, outcome.duplicates, outcome.ordered, outcome.complete,
      seconds(outcome.backAfterDropMs), seconds(outcome.backAfterReturnMs)].join('\t'));
  });
  return outcomes.some(({ lost, ordered, complete }) => lost > 0 || !ordered || !complete);
}

function quantile(sorted, share) {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
}

function seconds(time) {
  return time === undefined ? '–' : `${(time / 1000).toFixed(2)} s`;
}

function ms(time) {
  return time === undefined ? '–' : `${Math.round(time)} ms`;
}
