// A small P-EAGLE head: the EAGLE-3 head with a mask.
import { fileURLToPath } from 'node:url';
import {
  openCheckpoint,
  type TensorData,
  writeSafetensors,
} from '../../../src/tensor/safetensors.ts';
import { type FolderSource, memorySource, openFolder } from '../../../src/tensor/source.ts';
import { numbers } from '../../kernels/toy.ts';

const golden = (path: string) => fileURLToPath(new URL(`../../golden/${path}`, import.meta.url));
export const MASK = 3;

/** Its config, changed, and random numbers for the state of the mask. */
export async function makeHead(
  change: (config: Record<string, unknown>) => object = (same) => same,
): Promise<FolderSource> {
  const source = await openFolder(golden('heads/eagle3'));
  const { tensors, readInto } = await openCheckpoint(source);
  const all: TensorData[] = [];
  for (const [name, { type, shape, from, to }] of tensors) {
    const data = new Uint8Array(to - from);
    await readInto(name, 0, data);
    all.push({ name, dtype: type as 'F32', shape, data });
  }
  all.push({ name: 'mask_hidden', dtype: 'f32', shape: [1, 1, 96], data: numbers(8, 96) });
  const config = JSON.parse(await source.text('config.json'));
  const own = { ...config, speculators_model_type: 'peagle', mask_token_id: MASK };
  await source.close();
  return memorySource(
    { 'config.json': JSON.stringify(change(own)), 'model.safetensors': writeSafetensors(all) },
    'peagle',
  );
}
