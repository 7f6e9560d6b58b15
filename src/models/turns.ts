// Turns of the event loop. A plan runs to its end without waiting, and so would a loop over plans: timers, signals and a
// page's drawing would wait for the whole text.

/** Milliseconds after which others have a turn. */
const PATIENCE_MS = 10;

/** A function to call between plans: it resolves at once, or after a turn of the event loop when the last one was long ago. */
export function createTurns(): () => Promise<void> {
  let lastMs = performance.now();
  return async () => {
    if (performance.now() - lastMs < PATIENCE_MS) return;
    await turn();
    lastMs = performance.now();
  };
}

function turn(): Promise<void> {
  return new Promise((done) => {
    // Node's, and what browsers have without waiting for the clock.
    if ('setImmediate' in globalThis) return void setImmediate(done);
    const { port1, port2 } = new MessageChannel();
    (port1 as unknown as { onmessage: () => void }).onmessage = () => {
      port1.close();
      done();
    };
    port2.postMessage(null);
  });
}
