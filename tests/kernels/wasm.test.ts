// The wasm backend: conformance with and without relaxed SIMD, and what is particular to it.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { Heap } from '../../src/kernels/wasm/heap.ts';
import { wasm } from '../../src/kernels/wasm/index.ts';
import { record } from '../../src/tensor/record.ts';
import { scope } from '../../src/tensor/scope.ts';
import { backendConformance } from './conformance.ts';

const dist = fileURLToPath(new URL('../../dist/kernels/index.js', import.meta.url));

for (const relaxed of [false, true]) {
  const kind = relaxed ? ', relaxed' : '';
  for (const threads of [1, 2, 3])
    backendConformance(`wasm, ${threads} threads${kind}`, () => wasm({ relaxed, threads }));
  backendConformance(`wasm, memory not shared${kind}`, () => wasm({ relaxed, shared: false }));
}

describe('what runs', () => {
  it('is relaxed SIMD where the engine has it, and the report says so', () => {
    const backend = wasm({ threads: 1 });
    expect(backend.report.executor).toBe('relaxed SIMD, 1 thread');
    backend.dispose();
  });

  it('is one thread without shared memory, and the report says why', () => {
    const backend = wasm({ shared: false });
    expect(backend.report.executor).toBe('relaxed SIMD, 1 thread');
    expect(backend.report.notes).toContain('one thread: the memory is not shared, as asked');
    backend.dispose();
    expect(() => wasm({ shared: false, threads: 2 })).toThrow(
      'wasm: threads: expected 1 where there is no shared memory or no worker, got 2',
    );
  });

  it('is one thread in a page that is not isolated', () => {
    vi.stubGlobal('SharedArrayBuffer', undefined);
    delete (globalThis as { SharedArrayBuffer?: unknown }).SharedArrayBuffer;
    try {
      const backend = wasm({ relaxed: false });
      expect(backend.report.executor).toBe('SIMD, 1 thread');
      expect(backend.report.notes.join()).toContain('cross-origin isolated');
      backend.dispose();
      expect(() => wasm({ shared: true })).toThrow('expected SharedArrayBuffer');
    } finally {
      vi.unstubAllGlobals();
    }
  });

  it('sets no flag of V8 when neither relaxed SIMD nor 256 bits are wanted', () => {
    expect(flagsSet({}, '{ relaxed: false, wide: false }')).toEqual([]);
  });

  it.each([
    { v8: '12.4.254.21-node.33', arch: 'x64', wide: false },
    { v8: '13.6.233.10-node.27', arch: 'x64', wide: true },
    { v8: '14.6.202.34-node.34', arch: 'x64', wide: true },
    { v8: '15.0.1-node.1', arch: 'x64', wide: false },
    { v8: '13.6.233.10-node.27', arch: 'arm64', wide: false },
    { v8: '14.6.202.34-node.20', arch: 'x64', bun: '1.4.5', wide: false },
  ])('asks for 256 bits in the releases of V8 that are known to have them: %o', (engine) => {
    const flags = flagsSet(engine, '{ relaxed: false }');
    expect(flags).toEqual(engine.wide ? ['--experimental-wasm-revectorize'] : []);
  });

  it('says so when 256 bits are asked for and not to be had', () => {
    vi.stubGlobal('process', { arch: 'arm64', version: 'v24.9.0', versions: { v8: '13.6.1' } });
    try {
      expect(() => wasm({ wide: true })).toThrow(
        'wasm: wide: expected Node 24 to 26 on x64, got v24.9.0 on arm64',
      );
    } finally {
      vi.unstubAllGlobals();
    }
  });
});

/** The flags that a process sets for a backend with these options, if its engine were that one. */
function flagsSet(
  engine: { readonly v8?: string; readonly arch?: string; readonly bun?: string },
  options: string,
) {
  const script = `
    const { wasm } = await import(${JSON.stringify(dist)});
    const { v8, arch, bun } = { ...process.versions, arch: process.arch, ...${JSON.stringify(engine)} };
    Object.defineProperty(process, 'arch', { value: arch });
    Object.defineProperty(process, 'versions', { value: { ...process.versions, v8, bun } });
    const flags = [];
    process.getBuiltinModule('node:v8').setFlagsFromString = (flag) => flags.push(flag);
    wasm(${options}).dispose();
    console.log(JSON.stringify(flags));
  `;
  const { stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    encoding: 'utf8',
  });
  return JSON.parse(stdout);
}

describe('the heap', () => {
  it('gives every range to one owner at a time and joins what is given back', () => {
    const command = fc.record({ bytes: fc.nat(400), release: fc.nat(9) });
    fc.assert(
      fc.property(fc.array(command, { maxLength: 60 }), (commands) => {
        const heap = new Heap(100);
        const live: { from: number; bytes: number }[] = [];
        for (const { bytes, release } of commands) {
          const from = heap.allocate(bytes);
          expect(from % 64).toBe(0);
          expect(from).toBeGreaterThanOrEqual(128);
          for (const other of live)
            expect(from + bytes <= other.from || other.from + other.bytes <= from).toBe(true);
          live.push({ from, bytes });
          if (release < live.length) heap.release(live.splice(release, 1)[0].from);
        }
        const { end } = heap;
        for (const { from } of live) heap.release(from);
        if (end > 128) expect(heap.allocate(end - 128 - 16)).toBe(128);
        expect(heap.end).toBe(end);
      }),
      { seed: 20_262 },
    );
  });
});

describe('the memory', () => {
  it('stays flat over a thousand programs and buffers', async () => {
    const backend = wasm();
    const buffer = backend.alloc('f32', 1000);
    const plan = record((ops) => [ops.exp(ops.input('x', 'f32', [1000]))]);
    let address: unknown;
    for (let round = 0; round < 1000; round++) {
      const program = backend.prepare(plan);
      const more = backend.alloc('f32', 5000);
      address ??= (more as unknown as { address: number }).address;
      expect((more as unknown as { address: number }).address).toBe(address);
      backend.free(more);
      program.dispose();
    }
    backend.free(buffer);
    backend.dispose();
  });

  it('keeps data when it grows, and gives zeros where something else has been', async () => {
    const backend = wasm();
    const small = backend.alloc('f32', 4);
    backend.write(small, Float32Array.of(1, 2, 3, 4));
    const large = backend.alloc('f32', 3_000_000);
    backend.write(large, new Float32Array(3_000_000).fill(7));
    backend.free(large);
    const again = backend.alloc('f32', 3_000_000);
    expect([...(await backend.read(again, 2_999_998))]).toEqual([0, 0]);
    expect([...(await backend.read(small))]).toEqual([1, 2, 3, 4]);
    backend.dispose();
  });
});

describe('f16 weights', () => {
  it('keep subnormal numbers, infinities and NaN', async () => {
    const backend = wasm();
    const bits = Uint16Array.of(0x0001, 0x83ff, 0x7c00, 0x3c00, 0xfc00, 0x7e00, 0x7bff, 0x8000);
    const values = await scope(backend, (ops) =>
      ops.linear(ops.tensor([1], [1, 1]), ops.tensor(bits, [8, 1], 'f16')).read(),
    );
    expect([...values]).toEqual([
      2 ** -24,
      -1023 * 2 ** -24,
      Number.POSITIVE_INFINITY,
      1,
      Number.NEGATIVE_INFINITY,
      Number.NaN,
      65504,
      0,
    ]);
    backend.dispose();
  });
});
