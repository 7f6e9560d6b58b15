// The end of a backend, the same for all: disposing is done once, frees at once, and leaves nothing that could be used.
import type { Backend } from './backend.ts';

/** A backend that can be disposed any number of times and throws for any other use afterwards. */
export function closing(backend: Omit<Backend, typeof Symbol.dispose>): Backend {
  const last = backend.report;
  // Let go of when disposed, because what it holds may be gigabytes.
  let held: typeof backend | null = backend;
  const open = (what: string) => {
    if (held === null)
      throw new Error(`${last.backend}: ${what}: expected a backend, got a disposed one`);
    return held;
  };
  const dispose = () => {
    const closed = held;
    held = null;
    closed?.dispose();
  };
  return {
    get report() {
      return held?.report ?? last;
    },
    alloc: (dtype, length, columns) => open('alloc').alloc(dtype, length, columns),
    write: (buffer, data, at) => open('write').write(buffer, data, at),
    ...(backend.bytes && { bytes: (buffer) => open('bytes').bytes?.(buffer) ?? null }),
    prepare: (plan) => open('prepare').prepare(plan),
    run: (program, call) => open('run').run(program, call),
    read: async (buffer, from, to, into) => open('read').read(buffer, from, to, into),
    free(buffer) {
      held?.free(buffer);
    },
    dispose,
    [Symbol.dispose]: dispose,
  };
}
