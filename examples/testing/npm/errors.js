// What can go wrong between a test and its broker.

import { AssertionError } from 'node:assert';

/** The broker cannot be found, started or reached; the message says what to do. */
export class HeliostatError extends Error {
  get name() {
    return 'HeliostatError';
  }
}

/** The control API refused a request. */
export class ControlError extends HeliostatError {
  constructor(method, path, status, text) {
    super(`${method} ${path}: ${status}: ${text}`);
    Object.assign(this, { method, path, status });
  }

  get name() {
    return 'ControlError';
  }
}

/** What a test waited for did not come; `outcome` is the broker's answer, `stack` that of the caller. */
export class NotMet extends AssertionError {
  constructor(outcome, stack) {
    super({ message: outcome.message });
    this.name = 'NotMet';
    this.outcome = outcome;
    this.stack = stack.replace(/^.*/, () => `NotMet: ${outcome.message}`);
  }
}
