// Eager tensors: values, views, and who gives back what.
import { describe, expect, it } from 'vitest';
import type { Backend } from '../../src/kernels/backend.ts';
import type { Buffer, DType, TypedArray } from '../../src/kernels/plan.ts';
import { reference } from '../../src/kernels/reference/index.ts';
import { type Eager, scope } from '../../src/tensor/scope.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';

/** A backend that knows which of its buffers and programs are alive. */
function counted() {
  const inner = reference();
  const buffers = new Set<Buffer>();
  let programs = 0;
  const backend: Backend = {
    ...inner,
    alloc(dtype, length) {
      const buffer = inner.alloc(dtype, length);
      buffers.add(buffer);
      return buffer;
    },
    free(buffer) {
      expect(buffers.delete(buffer)).toBe(true);
    },
    prepare(plan) {
      const program = inner.prepare(plan);
      programs += 1;
      return {
        ...program,
        dispose() {
          programs -= 1;
        },
      };
    },
  };
  return { backend, alive: () => ({ buffers: buffers.size, programs }) };
}

const run = <Result>(body: (ops: Eager) => Result | Promise<Result>) => scope(reference(), body);

describe('scope', () => {
  it('gives back everything that does not leave it', async () => {
    const { backend, alive } = counted();
    await scope(backend, (ops) => {
      ops.add(ops.tensor([1, 2], [2]), ops.zeros([2]));
    });
    expect(alive()).toEqual({ buffers: 0, programs: 0 });
  });

  it('keeps what is returned, alone, in arrays, in objects, and what is returned as a view', async () => {
    const { backend, alive } = counted();
    const made = await scope(backend, (ops) => {
      const x = ops.tensor([1, 2, 3, 4], [2, 2]);
      ops.neg(x);
      return { sums: [ops.sum(x)], rows: x.rows(1, 2), count: 2 };
    });
    expect(alive()).toEqual({ buffers: 1, programs: 1 });
    expect(await made.sums[0].read()).toEqual(Float32Array.of(3, 7));
    expect(await made.rows.read()).toEqual(Float32Array.of(3, 4));
  });

  it('gives back everything when its body throws', async () => {
    const { backend, alive } = counted();
    const failing = scope(backend, (ops) => {
      ops.neg(ops.tensor([1], [1]));
      throw new Error('enough');
    });
    await expect(failing).rejects.toThrow('enough');
    expect(alive()).toEqual({ buffers: 0, programs: 0 });
  });

  it('nests', async () => {
    const { backend, alive } = counted();
    await scope(backend, async (outer) => {
      const x = outer.tensor([1, 2], [2]);
      const y = await scope(backend, (inner) => inner.mul(inner.neg(x), x));
      expect(await y.read()).toEqual(Float32Array.of(-1, -4));
    });
    // What the inner scope returned belongs to the caller.
    expect(alive()).toEqual({ buffers: 0, programs: 1 });
  });
});

describe('a tensor', () => {
  it('shares its storage with views of its rows and of other shapes', async () => {
    await run(async (ops) => {
      const state = ops.state([3, 2]);
      const view = state.rows(1, 3);
      ops.scatter(state, ops.tensor([5, 6], [1, 2]), ops.tensor(Int32Array.of(2), [1]));
      expect(await view.read()).toEqual(Float32Array.of(0, 0, 5, 6));
      expect(await state.reshape([2, 3]).rows(1, 2).read()).toEqual(Float32Array.of(0, 5, 6));
    });
  });

  it.each<[DType, readonly number[] | TypedArray, TypedArray]>([
    ['f32', [1.5, -2], Float32Array.of(1.5, -2)],
    ['i32', [7, -2], Int32Array.of(7, -2)],
    ['i8', [7, -2], Int8Array.of(7, -2)],
    ['u8', [7, 2], Uint8Array.of(7, 2)],
    ['bool', [1, 0], Uint8Array.of(1, 0)],
    ['bf16', Uint16Array.of(0x3fc0, 0xc000), Uint16Array.of(0x3fc0, 0xc000)],
  ])('holds %s', async (dtype, data, expected) => {
    await run(async (ops) => expect(await ops.tensor(data, [2], dtype).read()).toEqual(expected));
  });

  it('is refused when its data do not fit', async () => {
    await run((ops) => {
      expect(() => ops.tensor([1, 2, 3], [2, 2])).toThrow(
        'tensor: expected 4 elements for [2, 2], got 3',
      );
      expect(() => ops.tensor(Uint16Array.of(1), [1])).toThrow(
        'expected a dtype for a Uint16Array',
      );
      expect(() => ops.tensor([1], [1], 'f16')).toThrow(
        'expected bit patterns in a Uint16Array for f16',
      );
      const x: Tensor = ops.zeros([2, 2]);
      expect(() => x.rows(1, 3)).toThrow('rows: expected 0 <= from <= to <= 2, got 1 .. 3');
      expect(() => x.reshape([3])).toThrow('reshape: expected a shape of 4 elements, got [3]');
    });
  });
});
