// Research layouts to the format and back: the same bytes under other names, nothing lost, nothing made up.
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { cpu } from '../../../src/kernels/cpu/index.ts';
import { loadModel } from '../../../src/models/load.ts';
import { convertSpeculator, exportResearch } from '../../../src/speculate/speculators/convert.ts';
import { Speculator } from '../../../src/speculate/speculators/load.ts';
import { migrateSpeculator } from '../../../src/speculate/speculators/migrate.ts';
import {
  openCheckpoint,
  type TensorData,
  writeSafetensors,
} from '../../../src/tensor/safetensors.ts';
import {
  type FolderSource,
  inFolder,
  memorySource,
  openFolder,
} from '../../../src/tensor/source.ts';
import { contentOf, golden, TARGET, verifier } from './research.ts';

const NOT_COMPARED = 'the format takes it from the target; the two were not compared';
const json = (path: string) => JSON.parse(readFileSync(golden(path), 'utf8'));

async function tensorOf(source: FolderSource, name: string): Promise<TensorData> {
  const { tensors, readInto } = await openCheckpoint(source);
  const { type, shape, from, to } = tensors.get(name)!;
  const data = new Uint8Array(to - from);
  await readInto(name, 0, data);
  return { name, dtype: type as 'F32', shape, data };
}

describe.each(['eagle1', 'hass', 'eagle3'])('%s in the layout of its project', (name) => {
  it('becomes the speculator, byte by byte, and is told from the others by its tensors', async () => {
    const source = await openFolder(golden(`heads/${name}-native`));
    const made = await convertSpeculator(source, { verifier });
    expect(made.algorithm).toBe(name === 'eagle3' ? 'eagle3' : 'eagle');
    const folder = memorySource(await made.files(), 'made');
    expect((await migrateSpeculator(folder)).changes).toEqual([]);
    const expected = await inFolder(golden(`heads/${name}`), contentOf);
    // The embedding is the target's, and may be left out.
    if (name === 'eagle3') delete expected['embed_tokens.weight'];
    expect(await contentOf(folder)).toEqual(expected);
    expect(made.renamed.length).toBeGreaterThan(3);
    const dropped = name === 'eagle3' ? [] : [['embed_tokens.weight', NOT_COMPARED]];
    expect(made.dropped).toEqual(dropped);

    const target = await loadModel(TARGET, { backend: cpu(), contextLength: 64 });
    using speculator = await Speculator.fromPretrained(folder, { verifier: target });
    expect(speculator.config.algorithm).toBe(made.algorithm);
    const method = json(`heads/${name}/config.json`).speculators_config.proposal_methods[0];
    expect(speculator.config.proposals).toEqual([method]);
    target.dispose();
    await source.close();
  });

  it('comes back as it was', async () => {
    const source = await openFolder(golden(`heads/${name}-native`));
    const made = await convertSpeculator(source, { verifier });
    const embedding =
      name === 'eagle3' ? {} : { embedding: await tensorOf(source, 'embed_tokens.weight') };
    const back = await exportResearch(memorySource(await made.files(), 'made'), embedding);
    expect(back.config).toEqual(json(`heads/${name}-native/config.json`));
    expect(back.notes).toEqual([]);
    const returned = memorySource(await back.files(), 'back');
    expect(await contentOf(returned)).toEqual(await contentOf(source));
    await source.close();
  });
});

describe('a conversion', () => {
  /** The native EAGLE-3 head with one tensor more, or under another name. */
  async function changed(change: (tensors: TensorData[]) => TensorData[]): Promise<FolderSource> {
    const source = await openFolder(golden('heads/eagle3-native'));
    const { tensors } = await openCheckpoint(source);
    const all = await Promise.all([...tensors.keys()].map((name) => tensorOf(source, name)));
    return memorySource(
      {
        'config.json': await source.text('config.json'),
        'model.safetensors': writeSafetensors(change(all)),
      },
      'changed',
    );
  }
  const extra: TensorData = {
    name: 'extra.weight',
    dtype: 'f32',
    shape: [1],
    data: Float32Array.of(1),
  };

  it('has the metadata of its source, both ways', async () => {
    const source = await openFolder(golden('heads/eagle3-native'));
    const { tensors } = await openCheckpoint(source);
    const all = await Promise.all([...tensors.keys()].map((name) => tensorOf(source, name)));
    const metadata = { format: 'pt', run: '7' };
    const marked = memorySource({
      'config.json': await source.text('config.json'),
      'model.safetensors': writeSafetensors(all, metadata),
    });
    const made = memorySource(await (await convertSpeculator(marked, { verifier })).files());
    const back = memorySource(await (await exportResearch(made)).files());
    for (const each of [made, back])
      expect((await openCheckpoint(each)).metadata).toEqual(metadata);
    await source.close();
  });

  it('names what it has no place for, instead of losing it', async () => {
    const source = await changed((tensors) => [...tensors, extra]);
    await expect(convertSpeculator(source, { verifier })).rejects.toThrow(
      'changed: expected tensors that the format has a place for, got extra.weight',
    );
  });

  it('refuses tensors of no layout that it knows, and a speculator', async () => {
    const source = await changed(() => [extra]);
    await expect(convertSpeculator(source, { verifier })).rejects.toThrow(
      /^changed: expected the tensors of peagle, eagle3, .*, got extra\.weight$/,
    );
    const done = await openFolder(golden('heads/eagle3'));
    await expect(convertSpeculator(done, { verifier })).rejects.toThrow(
      'expected a research format',
    );
    await done.close();
  });

  it('refuses a target of another vocabulary', async () => {
    const source = await openFolder(golden('heads/eagle3-native'));
    const other = { config: { ...verifier.config, vocab_size: 65 }, name: null };
    await expect(convertSpeculator(source, { verifier: other })).rejects.toThrow(
      'expected a target with the vocabulary of t2d, 64, got 65',
    );
    await source.close();
  });

  it('says what no file says: the place of the first norm', async () => {
    const source = await openFolder(golden('heads/eagle3-native'));
    const { config } = await convertSpeculator(source, {
      verifier,
      fields: { norm_before_residual: true },
    });
    expect(config).toMatchObject({ norm_before_residual: true });
    await source.close();
  });
});
