// What comes with a run: the inputs as they are at its time, checked, and as the arrays of the pipeline.
import { ShapeError } from '../errors.ts';
import { checkIndices, INDEX_INPUTS, type IndexedInput } from '../indices.ts';
import type { Call, TypedArray, Value } from '../plan.ts';
import { sizeOf } from '../size.ts';
import type { ArgumentSource, Lowered } from './lowered.ts';
import { argumentShape } from './pipeline.ts';
import { checkIntegers, floatsOf, widen } from './storage.ts';

/** Copies the inputs of a run, at its time. A call that is refused here leaves the program as it was. */
export function takeInputs(
  lowered: Lowered,
  { inputs, extents }: Call,
): ReadonlyMap<string, TypedArray> {
  const taken = new Map<string, TypedArray>();
  for (const source of lowered.arguments) {
    const { name, dtype, shape } = source.kind === 'input' ? source.input : source.index;
    const data = inputs[name];
    if (data === undefined)
      throw new Error(`internal: the plan has an input ${name}, the call does not`);
    if (data.length > sizeOf(shape))
      throw new ShapeError(
        `gpu: ${name}: expected ${sizeOf(shape)} elements at most, got ${data.length}`,
      );
    checkIntegers(name, dtype, data);
    if (!taken.has(name)) taken.set(name, data.slice());
  }
  checkStepIndices(lowered, extents, (value) => value.kind === 'input' && taken.get(value.name));
  return taken;
}

/** Throws a ShapeError for an index out of range in the steps whose indices `dataOf` knows all of. */
export function checkStepIndices(
  { indexed }: Lowered,
  extents: Call['extents'],
  dataOf: (value: Value) => TypedArray | false | undefined,
): void {
  for (const { op, inputs, params } of indexed) {
    const data = new Map(INDEX_INPUTS[op]!.map((index) => [index, dataOf(inputs[index])]));
    if ([...data.values()].some((known) => !known)) continue;
    const seen = inputs.map((value, index): IndexedInput => {
      const { shape, extent } = value;
      return {
        shape: extent === undefined ? shape : shape.with(0, extents[extent]),
        data: data.get(index) || NOTHING,
      };
    });
    checkIndices(op, seen, params);
  }
}

const NOTHING = new Int32Array(0);

/** The array of an argument: an input as f32, or the rows of a table that it names. */
export function argumentData(
  source: ArgumentSource,
  inputs: ReadonlyMap<string, TypedArray>,
): Float32Array {
  const data = new Float32Array(sizeOf(argumentShape(source)));
  if (source.kind === 'input') {
    const { name, dtype } = source.input;
    data.set(widen(inputs.get(name)!, dtype));
    return data;
  }
  const { table, index } = source;
  const width = sizeOf(table.shape.slice(1));
  for (const [n, row] of inputs.get(index.name)!.entries())
    data.set(floatsOf({ ...table, shape: [width], offset: table.offset + row * width }), n * width);
  return data;
}
