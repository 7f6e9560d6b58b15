// How workers meet. The control block is a few words in the memory they share; ../team.ts has the same offsets.
//
// Worker 0 is whoever asked for the run. It tells every other worker in a word of that worker's own (`start`, `next`), all
// meet wherever one needs what another has computed (`meet`), and worker 0 waits until all are through (`finish`). So the
// words of a run, its tape and its scratch space stay as they are while anybody may look at them.
//
// Whoever waits spins for a while, which costs nothing when the others are close, and then sleeps. Waiting is for "this
// word is no longer `old`", and both words that are waited for only ever count up, so nothing depends on who is late: a
// change between looking and sleeping is seen by the sleep itself, which compares again.

/** The run: tape, end, scratch of worker 0, bytes of scratch a worker, workers that take part. */
const TAPE: usize = 0;
const END: usize = 4;
const SCRATCH: usize = 8;
const STRIDE: usize = 12;
const WORKERS: usize = 16;
/** Workers that have started; the first to start is worker 1. */
const READY: usize = 20;
/** Not zero: workers leave `work`. */
const CLOSED: usize = 24;
/** Not zero: a worker is lost, and nobody waits for anybody any more. */
const FAILED: usize = 28;
/** Loads of a word before sleeping, in a run; see `wait`. */
const PATIENCE: usize = 32;
/** On cache lines of their own, because everybody looks at them: how often all have met, and who has arrived. */
const PHASE: usize = 64;
const ARRIVED: usize = 128;
/** A line for each worker: how many runs it was told of. */
const TOLD: usize = 192;
const LINE: usize = 64;
/** Next to a word that is waited for: who sleeps on it. */
const SLEEPERS: usize = 4;

/** Loads before sleeping: some 100 us at most, some 20 us at least, which is more than waking somebody costs. */
const SPINS: i32 = 200_000;
const LEAST_SPINS: i32 = 40_000;
/**
 * Between runs, some 500 us: sampling and choosing a draft take that long for a small model, and a worker that had to be woken
 * for every token cost it 10 %.
 */
const IDLE_SPINS: i32 = 1_000_000;

/**
 * Sleeps unless the word is no longer `old`, or returns at once where sleeping is not allowed; `times` counts the calls of
 * one wait. From the host, because V8 11.3 (Node 20) loses locals over memory.atomic.wait32 in code of its baseline
 * compiler.
 */
@external('env', 'sleep')
declare function sleep(word: usize, old: i32, worker: i32, times: i32): void;

/** Tells the workers of the run that the control block describes. */
export function start(control: usize, workers: i32): void {
  const patience = load<i32>(control, PATIENCE);
  const more = patience === 0 ? SPINS : max(LEAST_SPINS, patience + (patience >> 3));
  if (patience !== min(SPINS, more)) store<i32>(control, min(SPINS, more), PATIENCE);
  for (let worker = 1; worker < workers; worker++) {
    const told = toldOf(control, worker);
    atomic.add<i32>(told, 1);
    wake(told);
  }
}

/** Registers a worker; its number. It has been told of no run yet, so it misses none. */
export function join(control: usize): i32 {
  return atomic.add<i32>(control, 1, READY) + 1;
}

/** Waits until a worker that has done `runs` is told of another one; false when the team is closed. */
export function next(control: usize, worker: i32, runs: i32): bool {
  wait(control, toldOf(control, worker), runs, worker, IDLE_SPINS);
  return (atomic.load<i32>(control, CLOSED) | atomic.load<i32>(control, FAILED)) === 0;
}

/**
 * Returns when all `workers` have called it; false when the team has failed.
 *
 * The phase is read before arriving, so it cannot count up in between: it does so when the last one arrives. That one
 * sets the count of arrivals back first; the others arrive again only after they have seen the new phase.
 */
export function meet(control: usize, worker: i32, workers: i32): bool {
  const phase = atomic.load<i32>(control, PHASE);
  if (!arrive(control, workers)) wait(control, control + PHASE, phase, worker, patienceOf(control));
  return atomic.load<i32>(control, FAILED) === 0;
}

/**
 * The last meeting of a run, which only worker 0 waits for. The others may leave before the phase has changed, because they
 * read it again only in the next run, and that one is told after worker 0 has seen the change.
 */
export function finish(control: usize, worker: i32, workers: i32): void {
  const phase = atomic.load<i32>(control, PHASE);
  if (!arrive(control, workers) && worker === 0)
    wait(control, control + PHASE, phase, worker, patienceOf(control));
}

/** Whether this one is the last. */
function arrive(control: usize, workers: i32): bool {
  if (atomic.add<i32>(control, 1, ARRIVED) !== workers - 1) return false;
  atomic.store<i32>(control, 0, ARRIVED);
  atomic.add<i32>(control, 1, PHASE);
  wake(control + PHASE);
  return true;
}

/** Wakes whoever sleeps on a word; asking first is cheaper than waking nobody. */
function wake(word: usize): void {
  // A sleeper counts itself before it looks at the word for the last time, so one that is not counted yet sees the change.
  if (atomic.load<i32>(word, SLEEPERS) > 0) atomic.notify(word, -1);
}

/**
 * Returns when a word is no longer `old`, or the team has failed. A failure is marked before the phase is counted up, and
 * `old` was read before the mark is looked at here: either the mark is seen or the phase is no longer `old`.
 *
 * Where cores are short, spinning takes the core that another worker needs, so every sleep in a run halves the patience of
 * all, and every run lets it grow by an eighth.
 */
function wait(control: usize, word: usize, old: i32, worker: i32, spins: i32): void {
  for (let spin = 0; spin < spins; spin++) if (atomic.load<i32>(word) !== old) return;
  if (word === control + PHASE) store<i32>(control, spins >> 1, PATIENCE);
  atomic.add<i32>(word, 1, SLEEPERS);
  for (let times = 0; atomic.load<i32>(word) === old; times++) {
    if (atomic.load<i32>(control, FAILED) !== 0) break;
    sleep(word, old, worker, times);
  }
  atomic.sub<i32>(word, 1, SLEEPERS);
}

function patienceOf(control: usize): i32 {
  return load<i32>(control, PATIENCE);
}

function toldOf(control: usize, worker: i32): usize {
  return control + TOLD + <usize>worker * LINE;
}

export function workersOf(control: usize): i32 {
  return load<i32>(control, WORKERS);
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
