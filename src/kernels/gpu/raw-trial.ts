// Whether a device leaves the bits of an f32 alone when it loads it as one: words with every upper half that there is, among them
// all signs, exponents, infinities and numbers that are none, go through a product whose sums are whole numbers.
import type { Backend } from '../backend.ts';
import { BLOCK, BLOCK_BYTES } from '../blocks.ts';
import type { Plan, Value } from '../plan.ts';

const WORDS = BLOCK / 4;
const ROWS = 2 ** 16 / WORDS;
/** The lower halves, scattered. */
const SCATTER = 40_503;
/** Half a float of 16 bits: the scale 1. */
const ONE = 0x3c00;

/** Runs the trial on a backend with raw weights, which is disposed. */
export async function rawWorks(backend: Backend): Promise<boolean> {
  const bytes = new Uint8Array(ROWS * BLOCK_BYTES.q8_0);
  const view = new DataView(bytes.buffer);
  const expected = new Float32Array(ROWS);
  for (let row = 0; row < ROWS; row++) {
    const from = row * BLOCK_BYTES.q8_0;
    view.setUint16(from, ONE, true);
    for (let w = 0; w < WORDS; w++) {
      const upper = row * WORDS + w;
      view.setUint32(from + 2 + 4 * w, ((upper << 16) | ((upper * SCATTER) & 0xffff)) >>> 0, true);
    }
    for (let i = 0; i < BLOCK; i++) expected[row] += view.getInt8(from + 2 + i) * (i + 1);
  }
  try {
    const buffer = backend.alloc('q8_0', ROWS * BLOCK, BLOCK);
    backend.write(buffer, bytes);
    const x: Value = { kind: 'input', name: 'x', dtype: 'f32', shape: [1, BLOCK] };
    const weight: Value = {
      kind: 'constant',
      dtype: 'q8_0',
      shape: [ROWS, BLOCK],
      buffer,
      offset: 0,
    };
    const output: Value = { kind: 'scratch', dtype: 'f32', shape: [1, ROWS] };
    const step = { op: 'linear', inputs: [x, weight], output, params: {} } as const;
    const plan: Plan = { steps: [step], outputs: [output] };
    const program = backend.prepare(plan);
    const data = Float32Array.from({ length: BLOCK }, (_, i) => i + 1);
    backend.run(program, { extents: { T: 1, K: 0 }, inputs: { x: data } });
    const found = await backend.read(program.outputs[0]);
    return expected.every((value, row) => found[row] === value);
  } finally {
    backend.dispose();
  }
}
