// What comes with a run: the inputs as they are at its time, checked, and as the arrays of the pipeline.
import { ShapeError } from '../errors.ts';
import type { Call, TypedArray } from '../plan.ts';
import type { ArgumentSource, Lowered } from './lower.ts';
import { argumentShape } from './pipeline.ts';
import { sizeOf } from './programs.ts';
import { checkIntegers, floatsOf, widen } from './storage.ts';

/** Copies the inputs of a run, at its time. A call that is refused here leaves the program as it was. */
export function takeInputs(lowered: Lowered, { inputs }: Call): ReadonlyMap<string, TypedArray> {
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
    if (source.kind === 'rows') checkRows(name, data, source.table.shape[0]);
    if (!taken.has(name)) taken.set(name, data.slice());
  }
  for (const { counts, slots } of lowered.limits)
    if (counts.kind === 'input') checkCounts(inputs[counts.name], slots);
  return taken;
}

function checkRows(name: string, rows: TypedArray, length: number): void {
  for (const row of rows)
    if (row < 0 || row >= length)
      throw new ShapeError(`gpu: ${name}: expected rows from 0 to ${length - 1}, got ${row}`);
}

/** The same limits for counts that are constants. */
export function checkConstantCounts({ limits }: Lowered): void {
  for (const { counts, slots } of limits)
    if (counts.kind !== 'input') checkCounts(floatsOf(counts), slots);
}

/** The scores of a row have room for every slot once. */
function checkCounts(counts: TypedArray, slots: number): void {
  for (const count of counts)
    if (count > slots)
      throw new ShapeError(
        `gpu: attention: expected rows that see at most ${slots} slots, got ${count}`,
      );
}

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
