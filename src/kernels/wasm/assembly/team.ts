// How workers meet. The control block is a few words in the memory they share; control.ts has the same offsets.
// Everybody spins for a while, which costs nothing when the others are close, and then sleeps.

/** Bumped for every run. */
const GENERATION: usize = 0;
/** The run: tape, end, scratch of worker 0, bytes of scratch a worker, workers that take part. */
const TAPE: usize = 4;
const END: usize = 8;
const SCRATCH: usize = 12;
const STRIDE: usize = 16;
const WORKERS: usize = 20;
/** Workers that have started; the first to start is worker 1. */
const READY: usize = 24;
/** Not zero: workers leave `work`. */
const CLOSED: usize = 28;
/**
 * The generation that the words of the run are for, written before them. A worker that was not counted in a run may look
 * at the words when they are already those of the next one; then it sees another stamp.
 */
const STAMP: usize = 32;
/** On a cache line of its own, because everybody looks at it: who has arrived, and how often all have. */
const ARRIVED: usize = 64;
const PHASE: usize = 128;
const SLEEPERS: usize = 192;

/** Loads of a word before sleeping, a few microseconds. */
const SPINS: i32 = 4000;
/** Between runs a little longer: the next one is often only a token away. */
const IDLE_SPINS: i32 = 40000;

/**
 * Sleeps unless the word is no longer `old`. From the host, because V8 11.3 (Node 20) loses locals over
 * memory.atomic.wait32 in code of its baseline compiler.
 */
@external('env', 'sleep')
declare function sleep(word: usize, old: i32): void;

/** Returns when all `workers` have called it. */
export function barrier(control: usize, workers: i32): void {
  const phase = atomic.load<i32>(control, PHASE);
  if (atomic.add<i32>(control, 1, ARRIVED) === workers - 1) {
    atomic.store<i32>(control, 0, ARRIVED);
    atomic.store<i32>(control, phase + 1, PHASE);
    wake(control, PHASE);
  } else changed(control, PHASE, phase, SPINS);
}

/** Wakes whoever sleeps on a word; asking first is cheaper than waking nobody. */
function wake(control: usize, word: usize): void {
  if (atomic.load<i32>(control, SLEEPERS) > 0) atomic.notify(control + word, -1);
}

/** Returns when a word is no longer `old`. */
function changed(control: usize, word: usize, old: i32, spins: i32): void {
  for (let spin = 0; spin < spins; spin++)
    if (atomic.load<i32>(control + word) !== old) return;
  atomic.add<i32>(control, 1, SLEEPERS);
  while (atomic.load<i32>(control + word) === old) sleep(control + word, old);
  atomic.sub<i32>(control, 1, SLEEPERS);
}

/** Starts a run that the control block describes; the caller takes part as worker 0. */
export function start(control: usize): void {
  atomic.add<i32>(control, 1, GENERATION);
  wake(control, GENERATION);
}

/** Registers a worker; its number. */
export function join(control: usize): i32 {
  return atomic.add<i32>(control, 1, READY) + 1;
}

/** Waits for the run after `generation`; its number, or -1 when the team is closed. */
export function next(control: usize, generation: i32): i32 {
  changed(control, GENERATION, generation, IDLE_SPINS);
  return atomic.load<i32>(control, CLOSED) !== 0 ? -1 : atomic.load<i32>(control, GENERATION);
}

/** Whether `worker` takes part in the run of `generation`. */
export function takesPart(control: usize, worker: i32, generation: i32): bool {
  const counted = worker < workersOf(control);
  return counted && atomic.load<i32>(control, STAMP) === generation;
}

export function generationOf(control: usize): i32 {
  return atomic.load<i32>(control, GENERATION);
}

export function workersOf(control: usize): i32 {
  return atomic.load<i32>(control, WORKERS);
}

export function tapeOf(control: usize): usize {
  return <usize>load<u32>(control, TAPE);
}

export function endOf(control: usize): usize {
  return <usize>load<u32>(control, END);
}

/** Scratch space of a worker. */
export function scratchOf(control: usize, worker: i32): usize {
  return <usize>load<u32>(control, SCRATCH) + <usize>worker * load<u32>(control, STRIDE);
}
