import type {
  PlaywrightTestArgs,
  PlaywrightTestOptions,
  PlaywrightWorkerArgs,
  PlaywrightWorkerOptions,
  TestType,
} from '@playwright/test';
import type { App, Broker, Endpoint, Settings } from './index.js';

export { expect } from '@playwright/test';

export interface PusherTestOptions {
  /** Settings of `pusher`: `test.use({ pusherSettings: { client_events: false } })`. */
  pusherSettings: Settings;
  /** Whom the webhooks of `pusher` are sent to. */
  pusherWebhooks: readonly Endpoint[] | undefined;
}

export interface PusherTestArgs {
  /** An app of the test's own; deleted after it. When the test has failed, its report tells what the broker saw. */
  pusher: App;
}

export interface PusherWorkerArgs {
  /** That of the environment or of `heliostat-testing/playwright-setup`; else one that this worker has started. */
  broker: Broker;
}

/** Playwright's `test` with fixtures. */
export const test: TestType<
  PlaywrightTestArgs & PlaywrightTestOptions & PusherTestArgs & PusherTestOptions,
  PlaywrightWorkerArgs & PlaywrightWorkerOptions & PusherWorkerArgs
>;
