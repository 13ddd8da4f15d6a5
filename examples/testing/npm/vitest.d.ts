import type { TestAPI } from 'vitest';
import type { App, Broker, Endpoint, Settings } from './index.js';

export { expect } from 'vitest';

/** Vitest's `test` with fixtures. */
export const test: TestAPI<{
  /** An app of the test's own; deleted after it. When the test has failed, its error tells what the broker saw. */
  pusher: App;
  /** That of the environment or of `heliostat-testing/vitest-setup`; else one that this worker has started. */
  broker: Broker;
  /** Settings of `pusher`: `const quiet = test.extend({ pusherSettings: { client_events: false } })`. */
  pusherSettings: Settings;
  /** Whom the webhooks of `pusher` are sent to. */
  pusherWebhooks: readonly Endpoint[] | undefined;
}>;
