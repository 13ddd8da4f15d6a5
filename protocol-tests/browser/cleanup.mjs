// What a test opened is closed in the opposite order: pages before their browser, the browser before its broker.
// The test runner's own hooks run in the order in which they were added.

const stacks = new WeakMap();

/** Runs `work` when the test ends, before everything that was handed in earlier. All of it runs, whatever fails. */
export function cleanup(t, work) {
  const known = stacks.get(t);
  if (known) {
    known.push(work);
    return;
  }
  const stack = [work];
  stacks.set(t, stack);
  t.after(async () => {
    const failures = [];
    while (stack.length > 0) {
      try {
        await stack.pop()();
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0) throw failures.length === 1 ? failures[0] : new AggregateError(failures, failures.join('\n'));
  });
}
