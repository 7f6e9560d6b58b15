// The target of the heads on a backend, for the tests of a block.
import { afterAll, beforeAll } from 'vitest';
import type { Backend } from '../../../src/kernels/backend.ts';
import type { Decoder } from '../../../src/models/decoder.ts';
import { loadModel } from '../../../src/models/load.ts';
import { TARGET } from './research.ts';

/** Loads the target before the tests of the block it is called in, and disposes of it and its backend after them. */
export function targetOn(
  open: () => Backend | Promise<Backend>,
  contextLength: number,
): () => Decoder {
  let target: Decoder;
  beforeAll(async () => {
    target = await loadModel(TARGET, { backend: await open(), contextLength });
  });
  afterAll(() => {
    target.dispose();
    target.backend.dispose();
  });
  return () => target;
}
