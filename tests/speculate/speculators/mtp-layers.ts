// What tests expect of every kind of layer of multi-token prediction: the numbers of transformers and of a second implementation, errors
// with a name, and files that are saved, migrated, converted and loaded with other types of weights.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import type { Decoder } from '../../../src/models/decoder.ts';
import type { WeightDType } from '../../../src/models/weights.ts';
import type { Json } from '../../../src/speculate/speculators/config.ts';
import type { Conversion } from '../../../src/speculate/speculators/convert.ts';
import { Speculator } from '../../../src/speculate/speculators/load.ts';
import { migrateSpeculator } from '../../../src/speculate/speculators/migrate.ts';
import type { TensorData } from '../../../src/tensor/safetensors.ts';
import { type FolderSource, memorySource, openFolder } from '../../../src/tensor/source.ts';
import { chain, expectClose, expectedChain, type NAMES, PROMPT, passOf } from './chains.ts';
import type { Pair, readTensors } from './float64.ts';
import { checkpointOf, isOther, mtpSource } from './mtp-heads.ts';
import { contentOf, thereAndBack } from './research.ts';

/** A second implementation, and the numbers of a layer for it. */
export interface Second<Shape> {
  readonly passes: (
    tensors: Awaited<ReturnType<typeof readTensors>>,
    pairs: readonly Pair[],
    shape: Shape,
    names: typeof NAMES,
  ) => readonly { readonly state: readonly number[]; readonly logits: readonly number[] }[];
  readonly shape: Shape;
}

const secondChain = <Shape>(
  source: FolderSource,
  { passes, shape }: Second<Shape>,
  pairs: readonly Pair[],
  count: number,
) =>
  expectedChain(source, (tensors, all, names) => passes(tensors, all, shape, names), pairs, count);

const goldenOf = (folder: string) => JSON.parse(readFileSync(join(folder, 'golden.json'), 'utf8'));

/** Expects of a golden head the logits and states that transformers gave. */
export async function expectGolden(verifier: Decoder, folder: string): Promise<void> {
  const { prompt, steps } = goldenOf(folder);
  expect(prompt).toEqual(PROMPT);
  using speculator = await Speculator.fromPretrained(folder, { verifier });
  const found = await chain(verifier, speculator, steps.length);
  expectClose(found.steps, steps);
}

/** Expects the same of the second implementation. */
export async function expectGoldenSecond<Shape>(
  verifier: Decoder,
  folder: string,
  second: Second<Shape>,
): Promise<void> {
  const { steps } = goldenOf(folder);
  const source = await openFolder(folder);
  using speculator = await Speculator.fromPretrained(source, { verifier });
  const { pairs } = await chain(verifier, speculator, 1);
  expectClose(await secondChain(source, second, pairs, steps.length), steps);
  await source.close();
}

/** Expects a head to load without notes, and to give what the second implementation does. */
export async function expectSecond<Shape>(
  verifier: Decoder,
  source: FolderSource,
  second: Second<Shape>,
): Promise<void> {
  using speculator = await Speculator.fromPretrained(source, { verifier });
  expect(speculator.notes).toEqual([]);
  const { pairs, steps } = await chain(verifier, speculator, 5);
  expectClose(steps, await secondChain(source, second, pairs, 5));
}

/** Expects an error with a name and a part of its message. */
export function expectRefused(act: () => unknown, name: string, message: string): void {
  let error: unknown;
  try {
    act();
  } catch (caught) {
    error = caught;
  }
  expect(error).toMatchObject({ name, message: expect.stringContaining(message) });
}

/** Expects the tensors that a head gives back to be those of its source, byte by byte, and returns them. */
export async function expectKept(
  verifier: Decoder,
  source: FolderSource,
): Promise<Record<string, string>> {
  using speculator = await Speculator.fromPretrained(source, { verifier });
  const saved = await contentOf(memorySource(await speculator.files(), 'saved'));
  expect(saved).toEqual(await contentOf(source));
  return saved;
}

/** Expects a head in a folder of its own to be the one that was saved: config, bytes and logits. */
export async function expectSaved(verifier: Decoder, source: FolderSource): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'foretoken-mtp-'));
  try {
    using speculator = await Speculator.fromPretrained(source, { verifier });
    await speculator.savePretrained(folder);
    const saved = await openFolder(folder);
    expect(await contentOf(saved)).toEqual(await contentOf(source));
    expect(JSON.parse(await saved.text('config.json'))).toEqual(
      JSON.parse(await source.text('config.json')),
    );
    expect(await passOf(verifier, saved)).toEqual(await passOf(verifier, source));
    await saved.close();
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Expects a migration to have nothing to tell, and to keep bytes and logits. */
export async function expectMigrated(verifier: Decoder, source: FolderSource): Promise<void> {
  const { files, notes } = await migrateSpeculator(source);
  expect(notes).toEqual([]);
  const migrated = memorySource(await files(), 'migrated');
  expect(await contentOf(migrated)).toEqual(await contentOf(source));
  expect(await passOf(verifier, migrated)).toEqual(await passOf(verifier, source));
}

/** Expects a checkpoint, but for its `lost` tensors, to become a head and to come back. Returns the conversion. */
export async function expectConverted(
  verifier: Decoder,
  checkpoint: FolderSource,
  { head, lost }: { readonly head: FolderSource; readonly lost: (name: string) => boolean },
): Promise<Conversion> {
  const made = await thereAndBack(checkpoint, { target: verifier, lost });
  expect(made.algorithm).toBe('mtp');
  // Not of the head.
  expect(made.notes).toEqual([expect.stringContaining('does not run its target')]);
  const converted = await passOf(verifier, memorySource(await made.files(), 'made'));
  expect(converted).toEqual(await passOf(verifier, head));
  return made;
}

/** The same of a layer in the checkpoint that DeepSeek and GLM have. */
export async function expectDeepseekConverted(
  verifier: Decoder,
  layer: Json,
  tensors: readonly TensorData[],
): Promise<void> {
  const { layout } = await expectConverted(verifier, checkpointOf(layer, tensors), {
    head: mtpSource(layer, tensors),
    lost: isOther,
  });
  expect(layout).toBe('deepseek-mtp');
}

/** Expects weights of a type to change logits, by less than a tolerance. Returns the notes of loading them. */
export async function expectRounded(
  verifier: Decoder,
  source: FolderSource,
  { dtype, tolerance }: { readonly dtype: WeightDType; readonly tolerance: number },
) {
  const { logits, notes } = await passOf(verifier, source, dtype);
  const exact = (await passOf(verifier, source)).logits;
  const off = Math.max(
    ...logits.flatMap((row, t) => [...row].map((v, i) => Math.abs(v - exact[t][i]))),
  );
  expect(off).toBeGreaterThan(0);
  expect(off).toBeLessThan(tolerance);
  return notes;
}
