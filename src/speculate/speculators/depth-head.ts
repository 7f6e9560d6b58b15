// A head without attention at run time: one plan per step, over any rows of that depth. Nothing is kept between runs.
import type { Program } from '../../kernels/backend.ts';
import type { DType } from '../../kernels/plan.ts';
import { record } from '../../tensor/record.ts';
import { Tensor } from '../../tensor/tensor.ts';
import type { DepthAlgorithm, DepthConfig } from './algorithm.ts';
import { createFusion } from './fuse.ts';
import type { DepthHead, HeadOptions, Pair } from './head.ts';

/** Records the steps of a head when they are first taken; its weights are freed with it. */
export function createDepthHead<Fields>(
  algorithm: DepthAlgorithm<Fields>,
  config: DepthConfig<Fields>,
  { weights: given, verifier, targetIds }: HeadOptions,
): DepthHead {
  const { backend, lent, maxRows, contextLength } = verifier;
  const { steps, width, readsTokens, constants = {}, paths = null } = algorithm.depths(config);
  const draftVocab = algorithm.draftVocab(config);
  const constant = (data: Float32Array) => {
    const buffer = backend.alloc('f32', data.length);
    backend.write(buffer, data);
    const dtype: DType = 'f32';
    return new Tensor(
      { kind: 'constant', dtype, shape: [data.length], buffer, offset: 0 },
      backend,
    );
  };
  const weights = new Map([
    ...given,
    ...Object.entries(constants).map(([name, data]) => [name, constant(data)] as const),
  ]);
  const parts = { config, weights, lent };
  const fusion = createFusion(algorithm, parts, { backend, width: width(0), maxRows });
  const programs: Program[] = [];
  const stepOf = (depth: number): Program => {
    programs[depth] ??= backend.prepare(
      record((ops) => {
        const tokens = ops.input('tokens', 'i32', [maxRows], 'T');
        const states = ops.input('states', 'f32', [maxRows, width(depth)], 'T');
        const { logits, state } = algorithm.step(ops, { ...parts, depth, tokens, states });
        return state === null ? [logits] : [logits, state];
      }),
    );
    return programs[depth];
  };

  /** Step `depth` of at most `maxRows` pairs. */
  async function run(depth: number, pairs: readonly Pair[]) {
    const program = stepOf(depth);
    const states = new Float32Array(pairs.length * width(depth));
    for (const [row, { state }] of pairs.entries()) states.set(state, row * width(depth));
    const tokens = Int32Array.from(pairs, ({ token }) => token);
    backend.run(program, {
      extents: { T: pairs.length, K: 0 },
      inputs: readsTokens ? { tokens, states } : { states },
    });
    const widths = [draftVocab, width(depth + 1)];
    const [logits, left] = (await Promise.all(
      program.outputs.map((buffer, at) => backend.read(buffer, 0, pairs.length * widths[at])),
    )) as Float32Array[];
    const rowOf = (data: Float32Array, row: number, size: number) =>
      data.subarray(row * size, (row + 1) * size);
    return pairs.map(({ state }, row) => ({
      logits: rowOf(logits, row, draftVocab),
      state: left === undefined ? state : rowOf(left, row, widths[1]),
    }));
  }

  let disposed = false;
  return {
    steps,
    paths,
    taps: algorithm.taps(config),
    targetIds,
    vocab: config.target.vocab,
    contextLength,
    fuse: fusion.fuse,
    async pass(depth, pairs, signal) {
      const keyOf = (pair: Pair): object => (readsTokens ? pair : pair.state);
      const rows = [...new Map(pairs.map((pair) => [keyOf(pair), pair])).values()];
      const found = new Map<object, Awaited<ReturnType<typeof run>>[number]>();
      for (let from = 0; from < rows.length; from += maxRows) {
        signal?.throwIfAborted();
        const together = rows.slice(from, from + maxRows);
        for (const [at, each] of (await run(depth, together)).entries())
          found.set(keyOf(together[at]), each);
      }
      return pairs.map((pair) => found.get(keyOf(pair))!);
    },
    dispose() {
      if (disposed) return;
      disposed = true;
      fusion.dispose();
      for (const program of programs) program?.dispose();
      for (const { value } of weights.values()) if ('buffer' in value) backend.free(value.buffer);
    },
  };
}
