// foretoken itself, as a user gets it: the wasm backend and a GGUF file, with the defaults of both.
import { wasm } from '../../src/kernels/wasm/index.ts';
import { loadModel } from '../../src/models/load.ts';
import { record } from '../../src/tensor/record.ts';
import { Tensor } from '../../src/tensor/tensor.ts';
import { version } from '../../src/version.ts';
import { matrixBlocks, SIZE } from './matrix.ts';
import type { Adapter } from './peer.ts';

/** The adapter. */
export const foretoken: Adapter = {
  packages: () => [],
  async openDecoder(file, { threads }) {
    const backend = wasm({ threads });
    const model = await loadModel(file, { backend, contextLength: 512 });
    const cache = model.createCache();
    const sequence = cache.sequence();
    let logits: Float32Array = new Float32Array(0);
    return {
      version,
      build: `wasm, ${model.report.executor}`,
      async feed(tokens, wanted) {
        const keep = wanted === 'all' ? { keep: tokens.map((_, row) => row) } : {};
        const result = await model.forward(cache, [{ sequence, tokens, ...keep }]);
        logits = result.logits.at(-1)!;
      },
      truncate: (length) => sequence.truncate(length),
      next: async () => logits.indexOf(logits.reduce((a, b) => Math.max(a, b))),
      dispose() {
        model.dispose();
        backend.dispose();
      },
    };
  },
  async openMatrix({ threads }) {
    const backend = wasm({ threads });
    const buffer = backend.alloc('q4_0', SIZE * SIZE, SIZE);
    backend.write(buffer, matrixBlocks());
    const weight = new Tensor(
      { kind: 'constant', dtype: 'q4_0', shape: [SIZE, SIZE], buffer, offset: 0 },
      backend,
    );
    const plan = record((ops) => [ops.linear(ops.input('x', 'f32', [1, SIZE], 'T'), weight)]);
    const program = backend.prepare(plan);
    const [y] = program.outputs;
    return {
      version,
      build: `wasm, ${backend.report.executor}`,
      async multiply(x) {
        backend.run(program, { extents: { T: 1, K: 0 }, inputs: { x } });
        return (await backend.read(y)) as Float32Array;
      },
      dispose: () => backend.dispose(),
    };
  },
};
