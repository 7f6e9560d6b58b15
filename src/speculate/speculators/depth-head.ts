// A head without attention at run time: one plan per step, over any rows of that depth. Nothing is kept between runs.
import type { Backend, Program } from '../../kernels/backend.ts';
import { record } from '../../tensor/record.ts';
import type { Pair } from '../drafters/passes.ts';
import type { DepthAlgorithm, DepthShape, DraftConfig, HeadParts } from './algorithm.ts';
import { withConstants } from './constants.ts';
import { createFusion } from './fuse.ts';
import type { DepthHead, HeadOptions } from './head.ts';

/** Prepares a head; its weights are freed with it. */
export function createDepthHead<Fields>(
  algorithm: DepthAlgorithm<Fields>,
  config: DraftConfig<Fields>,
  { weights: given, verifier, targetIds }: HeadOptions,
): DepthHead {
  const { backend, lent, maxRows, contextLength } = verifier;
  const shape = algorithm.depths(config);
  const { steps, readsTokens, constants = {}, paths = null } = shape;
  const weights = withConstants(given, constants, backend);
  const parts = { config, weights, lent };
  const fusion = createFusion(algorithm, parts, { backend, width: shape.width(0), maxRows });
  const { run, dispose } = createRuns(algorithm, parts, { backend, maxRows, shape });
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
      const found = new Map<object, StepResult>();
      for (let from = 0; from < rows.length; from += maxRows) {
        signal?.throwIfAborted();
        if (disposed) throw new Error('pass: expected a head, got a disposed one');
        if (verifier.disposed)
          throw new Error('pass: expected the model whose weights it uses, got a disposed one');
        const together = rows.slice(from, from + maxRows);
        for (const [at, result] of (await run(depth, together)).entries())
          found.set(keyOf(together[at]), result);
      }
      return pairs.map((pair) => found.get(keyOf(pair))!);
    },
    dispose() {
      if (disposed) return;
      disposed = true;
      fusion.dispose();
      dispose();
      for (const { value } of weights.values()) if ('buffer' in value) backend.free(value.buffer);
    },
  };
}

/** What a step gives for a pair. */
type StepResult = Awaited<ReturnType<DepthHead['pass']>>[number];

/** Runs of the steps of a head, which are recorded when they are first taken. */
function createRuns<Fields>(
  algorithm: DepthAlgorithm<Fields>,
  parts: HeadParts<DraftConfig<Fields>>,
  {
    backend,
    maxRows,
    shape: { width, readsTokens },
  }: { readonly backend: Backend; readonly maxRows: number; readonly shape: DepthShape },
) {
  const draftVocab = algorithm.draftVocab(parts.config);
  const programs: Program[] = [];
  const programOf = (depth: number): Program => {
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
  return {
    /** Step `depth` of at most `maxRows` pairs. */
    async run(depth: number, pairs: readonly Pair[]): Promise<StepResult[]> {
      const program = programOf(depth);
      const states = new Float32Array(pairs.length * width(depth));
      for (const [row, { state }] of pairs.entries()) states.set(state, row * width(depth));
      const tokens = Int32Array.from(pairs, ({ token }) => token);
      backend.run(program, {
        extents: { T: pairs.length, K: 0 },
        inputs: readsTokens ? { tokens, states } : { states },
      });
      const rows = async (at: number, size: number) => {
        const data = await backend.read(program.outputs[at], 0, pairs.length * size);
        return pairs.map((_, row) => data.subarray(row * size, (row + 1) * size) as Float32Array);
      };
      const [logits, left] = await Promise.all([
        rows(0, draftVocab),
        program.outputs.length > 1 ? rows(1, width(depth + 1)) : pairs.map(({ state }) => state),
      ]);
      return pairs.map((_, row) => ({ logits: logits[row], state: left[row] }));
    },
    dispose(): void {
      for (const program of programs) program?.dispose();
    },
  };
}
