// A model at run time: an architecture, its weights on a backend, and one recorded plan per cache.
import type { Backend } from '../kernels/backend.ts';
import { OptionError } from '../kernels/errors.ts';
import type { Buffer, Call, Plan } from '../kernels/plan.ts';
import { createKept } from '../tensor/kept.ts';
import { type Recorder, record } from '../tensor/record.ts';
import type { Tensor } from '../tensor/tensor.ts';
import type { Architecture, Body, ForwardContext, Weights } from './architecture.ts';
import { SlotPool } from './cache.ts';
import type { DecoderConfig } from './config.ts';
import { DecoderCache } from './decoder-cache.ts';
import { createLadder } from './ladder.ts';
import type { Cache, ForwardOptions, ForwardResult, Model } from './model.ts';
import { ropeTables } from './rope.ts';
import {
  type BlockWindows,
  checkSequences,
  createRowBuffers,
  fillRows,
  type Row,
  rowInputs,
  rowsOf,
} from './rows.ts';
import { checkMutual, checkStates, checkTokens } from './segments.ts';
import { createTurns } from './turns.ts';

/** What a decoder is made of. */
export interface DecoderParts {
  readonly config: DecoderConfig;
  /** Straight-line code over the vocabulary, with its weights. */
  readonly forward: (
    ops: Recorder,
    context: Omit<ForwardContext, 'weights'>,
  ) => ReturnType<Architecture['forward']>;
  /** Its constants, which are freed with it. */
  readonly tensors: ReadonlySet<Tensor>;
  /** What heads that draft for it may borrow, as long as it lives. */
  readonly lent: Lent;
  /** Of a loaded one; heads, whose forwards are their own, have none. */
  readonly body?: Body;
  /** The decoder whose weights it uses, as long as that lives. */
  readonly lender?: Pick<Decoder, 'disposed'>;
  /** Numbers per row of logits, where they are not those of the vocabulary. */
  readonly logitsWidth?: number;
  /** Columns of a head that rotary positions turn; all where it does not say. */
  readonly rotaryDim?: number | undefined;
  /** Width of the state that comes with every row; without it rows have none (`Segment.states`). */
  readonly stateWidth?: number;
  /** Of decoders whose drafts are blocks (`Segment.draft.mutual`) although layers have windows; others refuse that. */
  readonly blockWindows?: BlockWindows | undefined;
  readonly backend: Backend;
  /** Disposes the backend with the model. */
  readonly ownsBackend?: boolean;
  readonly contextLength: number;
  readonly maxRows: number;
  /** What loading has to tell; shown in the report after the backend's own notes. */
  readonly notes?: readonly string[];
}

/** Weights of a decoder that others may read. */
export type Lent = Pick<Weights, 'embed' | 'norm' | 'head'>;

/** A model whose forward is recorded; `trace` gives the plan of a cache to `explain`. */
export interface Decoder extends Model {
  /** Where its weights are. */
  readonly backend: Backend;
  readonly lent: Lent;
  /** What decoders of fewer layers are made of; see `shorten`. */
  readonly body: Body | undefined;
  /** It, or the one whose weights it uses. */
  readonly disposed: boolean;
  /**
   * The plan of a cache and the milliseconds each step took in its last run. Runs are timed from the first call on, since
   * it keeps a backend from running a plan in one go; until the next run the times are zero.
   */
  trace(cache: Cache): { readonly plan: Plan; readonly timings: Float64Array };
}

/** Puts an architecture and its weights together; frees the weights where the backend has no room for what comes beside them. */
export function createDecoder(parts: DecoderParts): Decoder {
  const { config, backend, contextLength, maxRows, stateWidth } = parts;
  const { logitsWidth = config.vocab, rotaryDim = config.headDim, blockWindows } = parts;
  const windows = [...new Set(config.windows.filter((window) => window > 0))];
  // Windows that are in the lists of what rows see, rather than in the kernels.
  const listed = blockWindows === undefined ? [] : windows;
  const half = rotaryDim / 2;
  const tables = ropeTables(config.rope, rotaryDim, contextLength);
  const kept = createKept(backend, parts.tensors);
  const cos = kept.constant(tables.cos, [contextLength, half]);
  const sin = kept.constant(tables.sin, [contextLength, half]);
  const ladder = createLadder();
  const turns = createTurns();
  let disposed = false;

  function checkAlive(what: string): void {
    if (disposed) throw new Error(`${what}: expected a model, got a disposed one`);
    if (parts.lender?.disposed)
      throw new Error(`${what}: expected the model whose weights it uses, got a disposed one`);
  }

  function dispose(): void {
    if (disposed) return;
    disposed = true;
    kept.free();
    if (parts.ownsBackend) backend.dispose();
  }

  function checkOwn(what: string, cache: Cache): asserts cache is DecoderCache {
    if (!(cache instanceof DecoderCache) || cache.owner !== parts)
      throw new OptionError(`${what}: expected a cache of this model, got another object`);
  }

  function createCache(options: Parameters<Model['createCache']>[0] = {}) {
    checkAlive('createCache');
    const { slots = contextLength + maxRows, taps = [], argmax = false, ...unknown } = options;
    for (const key of Object.keys(unknown))
      throw new OptionError(`createCache: expected slots, taps and argmax, got ${key}`);
    if (!Number.isInteger(slots) || slots < 1)
      throw new OptionError(`createCache: slots: expected a whole number from 1, got ${slots}`);
    for (const tap of taps)
      if (!Number.isInteger(tap) || tap < 0 || tap > config.layers)
        throw new OptionError(
          `createCache: taps: expected layers from 0 to ${config.layers}, got ${tap}`,
        );
    const width = config.kvHeads * config.headDim;
    const own = createKept(backend);
    const state = () => own.state([slots, width]);
    const keys = Array.from({ length: config.layers }, state);
    const values = Array.from({ length: config.layers }, state);
    try {
      const plan = record((ops) => {
        const { logits, hidden } = parts.forward(ops, {
          config,
          rows: rowInputs(ops, { maxRows, slots, windows: listed }),
          ...(stateWidth !== undefined && {
            states: ops.input('states', 'f32', [maxRows, stateWidth], 'T'),
          }),
          cos,
          sin,
          keys,
          values,
          taps,
        });
        // The logarithm is that of a softmax: its largest is that of the token.
        const results = argmax
          ? [ops.max(ops.logSoftmax(logits), 1), ops.argmax(logits, 1)]
          : [logits];
        return [...results, ...hidden];
      });
      const pool = new SlotPool(slots);
      const buffers = createRowBuffers(maxRows, slots, listed);
      const program = backend.prepare(plan);
      const release = own.free;
      return new DecoderCache({ owner: parts, pool, taps, argmax, program, buffers, release });
    } catch (error) {
      own.free();
      throw error;
    }
  }

  async function runRows(
    cache: DecoderCache,
    rows: readonly Row[],
    place: ForwardOptions['place'],
  ): Promise<ForwardResult> {
    const { kept, inputs } = fillRows(cache.buffers, rows);
    const timings = cache.timings ?? undefined;
    const states = stateWidth === undefined ? null : { states: joinRows(rows.map(stateOf)) };
    const call: Call = {
      extents: { T: rows.length, K: kept },
      inputs: { ...inputs, ...states },
      timings,
    };
    backend.run(cache.program, call);
    if (kept === 0) return { logits: [], hidden: [] };
    const read = async (buffer: Buffer, width: number, into?: Float32Array) =>
      rowsOfBuffer((await backend.read(buffer, 0, kept * width, into)) as Float32Array, width);
    const { outputs } = cache.program;
    const [logits, ...taps] = await Promise.all([
      cache.argmax
        ? chosenRows(read(outputs[0], 1), read(outputs[1], 1), logitsWidth)
        : read(outputs[0], logitsWidth, place?.(kept * logitsWidth)),
      ...outputs.slice(cache.argmax ? 2 : 1).map((buffer) => read(buffer, config.width)),
    ]);
    return { logits, hidden: logits.map((_, row) => joinRows(taps.map((tap) => tap[row]))) };
  }

  return {
    config,
    backend,
    lent: parts.lent,
    body: parts.body,
    get disposed() {
      return disposed || parts.lender?.disposed === true;
    },
    contextLength,
    maxRows,
    ladder,
    get report() {
      return { ...backend.report, notes: [...backend.report.notes, ...(parts.notes ?? [])] };
    },
    createCache,
    async forward(cache, segments, { signal, place } = {}) {
      checkOwn('forward', cache);
      checkAlive('forward');
      checkOpen(cache);
      checkSequences(segments, cache.pool);
      checkTokens(segments, config.vocab);
      checkStates(segments, stateWidth);
      checkMutual(segments, maxRows, blockWindows === undefined ? windows : []);
      const lengths = segments.map(({ sequence }) => sequence.length);
      try {
        const rows = rowsOf(segments, contextLength, blockWindows);
        const results: ForwardResult[] = [];
        const start = performance.now();
        for (let from = 0; from < rows.length; from += maxRows) {
          signal?.throwIfAborted();
          checkAlive('forward');
          checkOpen(cache);
          results.push(await runRows(cache, rows.slice(from, from + maxRows), place));
          await turns();
        }
        // Only what verification does: rows of a prompt have no logits, and long ones are several runs.
        if (results.length === 1 && results[0].logits.length === rows.length)
          ladder.add(rows.length, performance.now() - start);
        return {
          logits: results.flatMap((result) => result.logits),
          hidden: results.flatMap((result) => result.hidden),
        };
      } catch (error) {
        // Rows that were not computed must not be used, neither of the prefix nor of a draft.
        for (const [index, { sequence }] of segments.entries()) sequence.truncate(lengths[index]);
        throw error;
      }
    },
    trace(cache) {
      checkOwn('trace', cache);
      const { plan } = cache.program;
      cache.timings ??= new Float64Array(plan.steps.length);
      return { plan, timings: cache.timings };
    },
    dispose,
    [Symbol.dispose]: dispose,
  };
}

/** Rows of a vocabulary that say one thing: ln p [1] of each, at its token [1]. */
async function chosenRows(
  values: Promise<readonly ArrayLike<number>[]>,
  tokens: Promise<readonly ArrayLike<number>[]>,
  vocab: number,
): Promise<Float32Array[]> {
  const [chosen, found] = await Promise.all([values, tokens]);
  return chosen.map((value, row) => {
    const logits = new Float32Array(vocab).fill(Number.NEGATIVE_INFINITY);
    logits[found[row][0]] = value[0];
    return logits;
  });
}

const stateOf = ({ state }: Row): Float32Array => {
  if (state === undefined) throw new Error('internal: states are checked first');
  return state;
};

function checkOpen(cache: DecoderCache): void {
  if (cache.disposed) throw new Error('forward: expected a cache, got a disposed one');
}

/** Every tensor of a tree once, although a tied head is the embedding. */
export function tensorsOf(weights: Weights): Set<Tensor> {
  const { embed, norm, head, layers } = weights;
  return new Set([
    embed,
    norm,
    head,
    ...layers.flatMap((layer) => Object.values(layer) as Tensor[]),
  ]);
}

function rowsOfBuffer(data: Float32Array, width: number): Float32Array[] {
  return Array.from({ length: data.length / width }, (_, row) =>
    data.subarray(row * width, (row + 1) * width),
  );
}

function joinRows(rows: readonly Float32Array[]): Float32Array {
  if (rows.length === 1) return rows[0];
  const joined = new Float32Array(rows.reduce((sum, row) => sum + row.length, 0));
  let offset = 0;
  for (const row of rows) {
    joined.set(row, offset);
    offset += row.length;
  }
  return joined;
}
