// Runs plans op by op on host arrays: the executor of the reference and cpu backends. Storage is assigned when a plan
// is prepared: a scratch array goes back to the pool after the last step that reads it, so a deep model needs few.
import type { Backend, BackendReport, Program } from './backend.ts';
import { closing } from './closing.ts';
import { arrayFor, copyOf, elements, entriesOf, reader, writer } from './dtype.ts';
import { checkIndices } from './indices.ts';
import { lastUses } from './lifetimes.ts';
import type { Kernel, KernelTable, Operand } from './operand.ts';
import type { Buffer, Call, DType, OpName, Plan, TypedArray, Value } from './plan.ts';
import { sizeOf } from './size.ts';

interface HostBuffer extends Buffer {
  readonly data: TypedArray;
}

interface HostProgram extends Program {
  readonly outputs: readonly HostBuffer[];
  run(call: Call): void;
}

interface MutableOperand extends Operand {
  readonly shape: number[];
}

/** A backend that runs `kernels` on host arrays. */
export function interpreter(kernels: KernelTable, report: BackendReport): Backend {
  return closing({
    report,
    alloc: (dtype, length): HostBuffer => ({ dtype, length, data: arrayFor(dtype, length) }),
    write(buffer, data, at = 0) {
      (buffer as HostBuffer).data.set(data, entriesOf(buffer.dtype, at));
    },
    bytes(buffer) {
      const { data } = buffer as HostBuffer;
      return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    },
    prepare: (plan) => prepare(plan, kernels),
    run(program, call) {
      (program as HostProgram).run(call);
    },
    async read(buffer, from = 0, to = buffer.length, into = undefined) {
      return copyOf(elements((buffer as HostBuffer).data, buffer.dtype, from, to), into);
    },
    free() {},
    dispose() {},
  });
}

function prepare(plan: Plan, kernels: KernelTable): HostProgram {
  const operands = assignStorage(plan);
  const operandOf = (value: Value): MutableOperand => {
    const operand = operands.get(value);
    if (operand === undefined) throw new Error('internal: a step reads a value nothing produces');
    return operand;
  };
  const calls = plan.steps.map((step) => {
    const kernel = kernels[step.op] as Kernel<OpName>;
    const out = operandOf(step.output);
    const inputs = step.inputs.map(operandOf);
    return () => {
      checkIndices(step.op, inputs, step.params);
      kernel(out, inputs, step.params);
    };
  });
  const bounded = [...operands].filter(([value]) => value.extent !== undefined);
  const inputs = [...operands].filter(([value]) => value.kind === 'input');
  return {
    plan,
    outputs: plan.outputs.map((value) => {
      const { data, dtype } = operandOf(value);
      return { data, dtype, length: data.length };
    }),
    run(call) {
      for (const [value, operand] of bounded) operand.shape[0] = call.extents[value.extent!];
      for (const [value, operand] of inputs) {
        if (value.kind !== 'input') continue;
        const data = call.inputs[value.name];
        if (data === undefined)
          throw new Error(`internal: the plan has an input ${value.name}, the call does not`);
        operand.data.set(data);
      }
      for (let index = 0; index < calls.length; index++) {
        const start = call.timings ? performance.now() : 0;
        calls[index]();
        if (call.timings) call.timings[index] = performance.now() - start;
      }
    },
    dispose() {},
  };
}

/** An operand for every value of the plan. */
function assignStorage(plan: Plan): Map<Value, MutableOperand> {
  const operands = new Map<Value, MutableOperand>();
  const lastUse = lastUses(plan);
  const pool: { dtype: DType; data: TypedArray }[] = [];
  const bind = (value: Value, data: TypedArray) => {
    const operand = {
      dtype: value.dtype,
      data,
      shape: [...value.shape],
      at: reader(data, value.dtype),
      put: writer(data, value.dtype),
    };
    operands.set(value, operand);
  };
  const storage = (value: Value): TypedArray => {
    const size = sizeOf(value.shape);
    if (value.kind === 'constant' || value.kind === 'state') {
      const { data } = value.buffer as HostBuffer;
      return elements(data, value.dtype, value.offset, value.offset + size);
    }
    const index = pool.findIndex(
      ({ dtype, data }) => dtype === value.dtype && data.length === size,
    );
    if (value.kind === 'input' || index < 0) return arrayFor(value.dtype, size);
    return pool.splice(index, 1)[0].data;
  };
  for (const [index, step] of plan.steps.entries()) {
    for (const value of [...step.inputs, step.output])
      if (!operands.has(value)) bind(value, storage(value));
    for (const value of new Set([...step.inputs, step.output])) {
      if (value.kind === 'scratch' && lastUse.get(value) === index) {
        const { dtype, data } = operands.get(value)!;
        pool.push({ dtype, data });
      }
    }
  }
  return operands;
}
