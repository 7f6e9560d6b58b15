// Target states to the states of a head: a plan of its own, run over as many rows as there are.
import type { Backend, Program } from '../../kernels/backend.ts';
import { record } from '../../tensor/record.ts';
import type { AlgorithmBase, DraftConfig, HeadParts } from './algorithm.ts';

/** A prepared fusion. */
export interface Fusion {
  /** Target states f32 [taps * C] to states f32 [width]. */
  fuse(states: readonly Float32Array[]): Promise<Float32Array[]>;
  dispose(): void;
}

/** Records the fusion of an algorithm when it is first asked for. */
export function createFusion<Config extends DraftConfig<unknown>>(
  algorithm: AlgorithmBase<Config>,
  parts: HeadParts<Config>,
  {
    backend,
    width,
    maxRows,
  }: { readonly backend: Backend; readonly width: number; readonly maxRows: number },
): Fusion {
  const { config } = parts;
  const wide = algorithm.taps(config).length * config.target.width;
  let program: Program | undefined;
  const prepared = () => {
    program ??= backend.prepare(
      record((ops) => [
        algorithm.fuse(ops, parts, ops.input('states', 'f32', [maxRows, wide], 'T')),
      ]),
    );
    return program;
  };
  return {
    async fuse(states) {
      const fused: Float32Array[] = [];
      for (let from = 0; from < states.length; from += maxRows) {
        const rows = states.slice(from, from + maxRows);
        const data = new Float32Array(rows.length * wide);
        for (const [row, state] of rows.entries()) data.set(state, row * wide);
        const { outputs } = prepared();
        backend.run(prepared(), { extents: { T: rows.length, K: 0 }, inputs: { states: data } });
        const result = await backend.read(outputs[0], 0, rows.length * width);
        for (let row = 0; row < rows.length; row++)
          fused.push(result.slice(row * width, (row + 1) * width) as Float32Array);
      }
      return fused;
    },
    dispose() {
      program?.dispose();
    },
  };
}
