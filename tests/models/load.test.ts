// Loading: what is read and in which dtype, what is ignored with a note, and one error for everything that is wrong.
import { readFileSync } from 'node:fs';
import { describe, expect, it, vi } from 'vitest';
import type { Backend } from '../../src/kernels/backend.ts';
import { cpu } from '../../src/kernels/cpu/index.ts';
import { convert, fromFloat32 } from '../../src/kernels/dtype.ts';
import { UnsupportedError } from '../../src/kernels/errors.ts';
import type { DType, Buffer as Storage, TypedArray } from '../../src/kernels/plan.ts';
import { wasm } from '../../src/kernels/wasm/index.ts';
import { type LoadProgress, load, loadModel } from '../../src/models/load.ts';
import { PIECE_BYTES } from '../../src/tensor/checkpoint.ts';
import { openCheckpoint, writeSafetensors } from '../../src/tensor/safetensors.ts';
import { type FolderSource, memorySource, openFolder } from '../../src/tensor/source.ts';
import { loadTiny, tiny } from './fixtures.ts';

interface Entry {
  name: string;
  dtype: DType;
  shape: readonly number[];
  data: TypedArray;
}

/** The plain tiny checkpoint as files in memory, after a change. */
async function changed(
  change: (entries: Map<string, Entry>, config: Record<string, unknown>) => void = () => {},
  more: Record<string, string> = {},
): Promise<FolderSource> {
  const { folder } = tiny('llama');
  const source = await openFolder(folder);
  const checkpoint = await openCheckpoint(source);
  const entries = new Map<string, Entry>();
  for (const { name, dtype, shape } of checkpoint.tensors.values())
    entries.set(name, { name, dtype: dtype as DType, shape, data: await checkpoint.read(name) });
  await source.close();
  const config = JSON.parse(readFileSync(`${folder}/config.json`, 'utf8'));
  change(entries, config);
  const files = {
    'config.json': JSON.stringify(config),
    'model.safetensors': writeSafetensors(entries.values()),
    ...more,
  };
  return memorySource(files, 'memory');
}

const vector = (name: string, size: number): Entry => ({
  name,
  dtype: 'f32',
  shape: [size],
  data: new Float32Array(size),
});

describe('loadModel', () => {
  it('keeps matrices in the dtype of the file or the one asked for, and vectors in f32', async () => {
    const dtypes = async (name: string, dtype?: 'f32' | 'f16' | 'bf16') => {
      const seen = new Set<string>();
      const backend = cpu();
      const alloc = backend.alloc;
      const spying = {
        ...backend,
        alloc(kept: DType, length: number) {
          seen.add(kept);
          return alloc(kept, length);
        },
      };
      await loadTiny(name, { backend: spying, dtype });
      return [...seen].sort();
    };
    expect(await dtypes('llama')).toEqual(['f32']);
    expect(await dtypes('llama-bf16')).toEqual(['bf16', 'f32']);
    expect(await dtypes('llama-f16')).toEqual(['f16', 'f32']);
    expect(await dtypes('llama-bf16', 'f32')).toEqual(['f32']);
    expect(await dtypes('llama', 'f16')).toEqual(['f16', 'f32']);
  });

  it('reports progress up to the last byte', async () => {
    const steps: LoadProgress[] = [];
    await loadTiny('llama-sharded', { onProgress: (progress) => steps.push(progress) });
    expect(steps.map(({ loadedBytes }) => loadedBytes)).toEqual(
      steps.map(({ loadedBytes }) => loadedBytes).toSorted((a, b) => a - b),
    );
    expect(steps[steps.length - 1].loadedBytes).toBe(steps[0].totalBytes);
  });

  it('stops at an abort and frees what it had', async () => {
    const controller = new AbortController();
    const reason = new Error('enough');
    const backend = cpu();
    let held = 0;
    let pieces = 0;
    const counting = {
      ...backend,
      alloc(dtype: DType, length: number) {
        held += 1;
        return backend.alloc(dtype, length);
      },
      free: () => held--,
    };
    const options = {
      backend: counting,
      signal: controller.signal,
      onProgress: () => ++pieces === 5 && controller.abort(reason),
    };
    await expect(loadTiny('llama', options as never)).rejects.toBe(reason);
    expect(pieces).toBe(5);
    expect(held).toBe(0);
  });

  it('names every missing, unused and misshaped tensor in one error', async () => {
    const source = await changed((entries) => {
      entries.delete('model.norm.weight');
      entries.set(
        'model.layers.0.self_attn.q_proj.bias',
        vector('model.layers.0.self_attn.q_proj.bias', 32),
      );
      entries.set(
        'model.layers.1.input_layernorm.weight',
        vector('model.layers.1.input_layernorm.weight', 31),
      );
      entries.set('lm_head.weight', {
        name: 'lm_head.weight',
        dtype: 'i8',
        shape: [64, 32],
        data: new Int8Array(64 * 32),
      });
    });
    const error = await loadModel(source).catch((caught: Error) => caught);
    expect(error).toMatchObject({ name: 'FormatError' });
    for (const part of [
      'missing model.norm.weight [32]',
      'unused model.layers.0.self_attn.q_proj.bias in',
      'model.layers.1.input_layernorm.weight: expected shape [32], got [31]',
      'lm_head.weight: expected F32, F16 or BF16, got I8',
    ])
      expect((error as Error).message).toContain(part);
  });

  it('ignores rotary tables and a tied head, with a note', async () => {
    const name = 'model.layers.0.self_attn.rotary_emb.inv_freq';
    const model = await loadModel(
      await changed((entries, config) => {
        config['tie_word_embeddings'] = true;
        entries.set(name, vector(name, 4));
      }),
    );
    expect(model.report.notes).toContain(`ignored ${name}: computed from the config`);
    expect(model.report.notes).toContain('ignored lm_head.weight: tied to the embedding');
  });

  it('adds the end tokens of generation_config.json', async () => {
    const more = { 'generation_config.json': JSON.stringify({ eos_token_id: [7, 9] }) };
    const model = await loadModel(await changed((_, config) => (config['eos_token_id'] = 2), more));
    expect(model.config.eosTokens).toEqual([2, 7, 9]);
  });

  it('says when the context is shorter than the file allows', async () => {
    const long = await changed((_, config) => (config['max_position_embeddings'] = 9000));
    const model = await loadModel(long);
    expect(model.contextLength).toBe(4096);
    expect(model.report.notes).toContain(
      'contextLength: 4096 of the 9000 positions the file allows',
    );
    await expect(loadModel(await changed(), { contextLength: 100_000 })).rejects.toThrow(
      'expected at most',
    );
  });

  it('gives the logits of an f32 file within the rounding of its 16-bit copy', async () => {
    const round = (dtype: 'f16' | 'bf16') =>
      changed((entries) => {
        for (const [name, entry] of entries)
          entries.set(name, {
            ...entry,
            dtype,
            data: fromFloat32(entry.data as Float32Array, dtype),
          });
      });
    const logits = async (source: FolderSource) => {
      const model = await loadModel(source);
      const cache = model.createCache();
      return (await model.forward(cache, [{ sequence: cache.sequence(), tokens: [1, 2, 3] }]))
        .logits[0];
    };
    const full = await logits(await changed());
    for (const [dtype, tolerance] of [
      ['f16', 1e-2],
      ['bf16', 1e-1],
    ] as const) {
      const rounded = await logits(await round(dtype));
      const worst = Math.max(...rounded.map((value, index) => Math.abs(value - full[index])));
      expect(worst).toBeGreaterThan(0);
      expect(worst).toBeLessThan(tolerance);
    }
  });

  it.each<[string, Record<string, string>, string]>([
    [
      'nothing to load',
      { 'tokenizer.json': '{}' },
      'memory: expected config.json with safetensors, or one .gguf file, got neither',
    ],
    ['no config', { 'model.safetensors': '' }, 'memory: expected a file config.json, got none'],
    ['a config that is no JSON', { 'config.json': '{' }, 'memory/config.json: expected JSON'],
    [
      'a model of another kind',
      { 'config.json': '{"model_type": "bert"}' },
      'model_type: expected one of llama, mistral, qwen2, qwen3, got "bert"',
    ],
  ])('refuses a folder with %s', async (_, files, message) => {
    await expect(loadModel(memorySource(files, 'memory'))).rejects.toThrow(message);
  });

  it('refuses options it does not know', async () => {
    await expect(loadTiny('llama', { dtyp: 'f32' } as never)).rejects.toThrow('dtyp');
    await expect(loadTiny('llama', { dtype: 'q8' } as never)).rejects.toThrow('dtype');
  });
});

describe('a large matrix', () => {
  const ROWS = 100_000;
  const table = Float32Array.from({ length: ROWS * 32 }, (_, i) => Math.sin(i));

  /** The tiny model with an embedding of 12.8 MB. */
  const large = () =>
    changed((entries, config) => {
      config['vocab_size'] = ROWS;
      for (const name of ['model.embed_tokens.weight', 'lm_head.weight'])
        entries.set(name, { name, dtype: 'f32', shape: [ROWS, 32], data: table });
    });

  /** `toEqual` takes seconds for as many. */
  const sameBytes = (a: TypedArray, b: TypedArray) =>
    Buffer.from(a.buffer, a.byteOffset, a.byteLength).equals(
      Buffer.from(b.buffer, b.byteOffset, b.byteLength),
    );

  /** A backend that remembers its buffers, what was written to them, and through which door. */
  function watched(inner: Backend) {
    const buffers: Storage[] = [];
    const writes: number[] = [];
    const backend: Backend = {
      ...inner,
      alloc(dtype, length, columns) {
        const buffer = inner.alloc(dtype, length, columns);
        buffers.push(buffer);
        return buffer;
      },
      write(buffer, data, at) {
        writes.push(data.byteLength);
        inner.write(buffer, data, at);
      },
    };
    return { backend, buffers, writes };
  }

  it('is read straight into the memory of the backend, in pieces, with progress for each', async () => {
    const { backend, buffers, writes } = watched(cpu());
    const steps: LoadProgress[] = [];
    await loadModel(await large(), { backend, onProgress: (step) => steps.push(step) });
    // Only the rotary tables are written.
    expect(writes).toHaveLength(2);
    const own = steps.filter(({ tensor }) => tensor === 'model.embed_tokens.weight');
    const pieces = Math.ceil(table.byteLength / PIECE_BYTES);
    expect(pieces).toBeGreaterThan(3);
    expect(own.map(({ loadedBytes }) => loadedBytes)).toEqual(
      Array.from({ length: pieces }, (_, index) =>
        Math.min(table.byteLength, (index + 1) * PIECE_BYTES),
      ),
    );
    expect(sameBytes(await backend.read(buffers[0]), table)).toBe(true);
  });

  it.each([
    ['cpu', () => cpu()],
    ['wasm', () => wasm({ threads: 1 })],
  ])('is quantised in pieces on %s, none of them whole', async (_, open) => {
    const { backend, buffers, writes } = watched(open());
    await loadModel(await large(), { backend, dtype: 'q8_0' });
    const whole = (table.length / 32) * 34;
    expect(Math.max(...writes)).toBeLessThan(whole);
    const quantised = convert(table, 'f32', 'q8_0');
    expect(sameBytes(await backend.read(buffers[0]), quantised)).toBe(true);
    backend.dispose();
  });

  it('needs nothing but read of a source', async () => {
    const { readInto: _, files: __, ...source } = await large();
    const { backend, buffers } = watched(cpu());
    await loadModel(source, { backend });
    expect(sameBytes(await backend.read(buffers[0]), table)).toBe(true);
  });

  it('is not read at all for a backend that does not hold the dtype', async () => {
    const source = await large();
    let read = 0;
    const counting = {
      ...source,
      readInto: async (...args: Parameters<NonNullable<FolderSource['readInto']>>) => {
        read += args[2].length;
        await source.readInto!(...args);
      },
    };
    const whole = cpu();
    const backend: Backend = {
      ...whole,
      alloc(dtype, ...size) {
        if (dtype === 'q4_0') throw new UnsupportedError('expected floats, got q4_0');
        return whole.alloc(dtype, ...size);
      },
    };
    await expect(loadModel(counting, { backend, dtype: 'q4_0' })).rejects.toMatchObject({
      name: 'UnsupportedError',
    });
    expect(read).toBe(0);
  });
});

describe('a matrix whose rows are no whole blocks', () => {
  it('stays as in the file, with a note', async () => {
    const model = await loadTiny('llama-bf16', { dtype: 'q4_0' });
    expect(model.report.notes).toContain(
      '2 matrices with rows of 56 kept in bf16: q4_0 takes whole blocks of 32',
    );
  });
});

describe('what is loaded', () => {
  const file = readFileSync(new URL('../golden/gguf/mixed.gguf', import.meta.url));
  const path = `${import.meta.dirname}/../golden/gguf/mixed.gguf`;

  it('is a GGUF by its path, or the only one of a folder', async () => {
    expect((await loadModel(path)).config.vocab).toBe(48);
    const alone = memorySource({ 'a.gguf': file, 'config.json': '{}', 'README.md': '' });
    expect((await loadModel(alone)).config.vocab).toBe(48);
  });

  it('is the safetensors of a folder that has a GGUF too', async () => {
    const source = await changed(() => {}, { 'a.gguf': 'not read' });
    expect((await loadModel(source)).config.vocab).toBe(64);
  });

  it('is not chosen among several GGUF files', async () => {
    const several = memorySource({ 'b.gguf': file, 'a.gguf': file }, 'memory');
    await expect(loadModel(several)).rejects.toThrow(
      'memory: expected safetensors or one .gguf file, got a.gguf, b.gguf; name one of them',
    );
  });

  it('is not a file that is not there', async () => {
    await expect(loadModel(path.replace('mixed', 'missing'))).rejects.toMatchObject({
      name: 'FormatError',
    });
    await expect(loadModel({} as never)).rejects.toThrow(
      'expected the path of a folder or of a .gguf file, or a FolderSource',
    );
  });
});

describe('load', () => {
  it('wants a tokenizer', async () => {
    await expect(load(tiny('llama').folder)).rejects.toThrow('tokenizer.json');
  });

  it('loads the embedded target, its notes and its tokenizer, and gives it back', async () => {
    using loaded = await load(`${import.meta.dirname}/../../models/target`);
    expect(loaded.tokenizer.encode('Once upon a time')).toHaveLength(5);
    expect(loaded.loadMs).toBeGreaterThan(0);
    expect(loaded.model.report.backend).toBe('wasm');
    expect(loaded.model.report.executor).toMatch(/^relaxed SIMD, \d thread/);
  });

  it('takes the cpu backend where WebAssembly SIMD is missing, and says so', async () => {
    const validate = vi
      .spyOn(
        (globalThis as unknown as { WebAssembly: { validate(): boolean } }).WebAssembly,
        'validate',
      )
      .mockReturnValue(false);
    try {
      const model = await loadTiny('llama');
      expect(model.report.backend).toBe('cpu');
      expect(model.report.notes.join()).toContain(
        'backend: cpu instead of wasm (wasm: expected an engine with WebAssembly SIMD and threads, got one without)',
      );
      model.dispose();
    } finally {
      validate.mockRestore();
    }
  });
});
