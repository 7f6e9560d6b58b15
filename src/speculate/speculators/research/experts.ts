// Experts of a mixture: one matrix per expert and projection in the checkpoints of models, two tensors for all of them in the
// format: gate_up_proj [E, 2 * I, H], the rows of gate before those of up, and down_proj [E, H, I].
import { FormatError } from '../../../kernels/errors.ts';
import { cutParts, partsBytes, type TensorParts } from '../../../tensor/parts.ts';
import type { Arranged } from './format.ts';
import { concatenated } from './rows.ts';

const SEPARATE = /^(.+\.experts)\.(\d+)\.(gate_proj|up_proj|down_proj)\.weight$/;
const FUSED = /^(.+\.experts)\.(gate_up_proj|down_proj)$/;

/** The experts of one layer joined; other tensors as they are. Throws a FormatError for experts that are not all there. */
export function fuseExperts(tensors: readonly TensorParts[]): Arranged {
  const others: TensorParts[] = [];
  const layers = new Map<string, Map<string, TensorParts>>();
  for (const tensor of tensors) {
    const [, prefix, index, projection] = SEPARATE.exec(tensor.name) ?? [];
    if (prefix === undefined) others.push(tensor);
    else {
      const experts = layers.get(prefix) ?? new Map<string, TensorParts>();
      layers.set(prefix, experts.set(`${Number(index)}.${projection}`, tensor));
    }
  }
  const changes: string[] = [];
  for (const [prefix, experts] of layers) {
    const count = 1 + Math.max(...[...experts.keys()].map((key) => Number.parseInt(key, 10)));
    const need = (index: number, projection: string) => {
      const tensor = experts.get(`${index}.${projection}`);
      if (tensor === undefined)
        throw new FormatError(
          `${prefix}: expected ${projection} of experts 0 to ${count - 1}, got none of expert ${index}`,
        );
      return tensor;
    };
    const all = Array.from({ length: count }, (_, index) => index);
    const halves = all.flatMap((index) => [need(index, 'gate_proj'), need(index, 'up_proj')]);
    const downs = all.map((index) => need(index, 'down_proj'));
    const [rows, columns] = sameShapes(halves);
    others.push(
      concatenated(`${prefix}.gate_up_proj`, halves, [count, 2 * rows, columns]),
      concatenated(`${prefix}.down_proj`, downs, [count, ...sameShapes(downs)]),
    );
    changes.push(`joined the ${count} experts of ${prefix} to gate_up_proj and down_proj`);
  }
  return { tensors: others, changes };
}

/** The inverse. Throws a FormatError for one of the two tensors without the other. */
export function separateExperts(tensors: readonly TensorParts[]): Arranged {
  const others: TensorParts[] = [];
  const layers = new Map<string, Map<string, TensorParts>>();
  for (const tensor of tensors) {
    const [, prefix, name] = FUSED.exec(tensor.name) ?? [];
    if (prefix === undefined) others.push(tensor);
    else layers.set(prefix, (layers.get(prefix) ?? new Map()).set(name, tensor));
  }
  const changes: string[] = [];
  for (const [prefix, pair] of layers) {
    const [gateUp, down] = [pair.get('gate_up_proj'), pair.get('down_proj')];
    if (gateUp === undefined || down === undefined)
      throw new FormatError(
        `${prefix}: expected gate_up_proj and down_proj, got ${[...pair.keys()].join()} only`,
      );
    const [count, rows] = gateUp.shape;
    if (gateUp.shape.length !== 3 || down.shape.length !== 3 || down.shape[0] !== count || rows % 2)
      throw new FormatError(
        `${prefix}: expected gate_up_proj [E, 2 * I, H] and down_proj [E, H, I], got [${gateUp.shape}] and [${down.shape}]`,
      );
    for (let index = 0; index < count; index++) {
      const at = `${prefix}.${index}`;
      others.push(
        part(`${at}.gate_proj.weight`, gateUp, 2 * index, 2 * count),
        part(`${at}.up_proj.weight`, gateUp, 2 * index + 1, 2 * count),
        part(`${at}.down_proj.weight`, down, index, count),
      );
    }
    changes.push(`took gate_up_proj and down_proj of ${prefix} apart into ${count} experts`);
  }
  return { tensors: others, changes };
}

/** The shape that matrices share, which have to be of one type. */
function sameShapes(tensors: readonly TensorParts[]): readonly number[] {
  const [{ shape, dtype, name }] = tensors;
  if (shape.length !== 2)
    throw new FormatError(`${name}: expected a matrix, got ${dtype} [${shape}]`);
  const other = tensors.find((each) => each.shape.join() !== shape.join() || each.dtype !== dtype);
  if (other !== undefined)
    throw new FormatError(
      `${other.name}: expected a matrix ${dtype} [${shape}] as ${name} is, got ${other.dtype} [${other.shape}]`,
    );
  return shape;
}

/** One of `count` equal parts of the rows, as a matrix. */
function part(name: string, whole: TensorParts, index: number, count: number): TensorParts {
  const [experts, rows, columns] = whole.shape;
  const size = partsBytes(whole) / count;
  const parts = cutParts(whole, index * size, (index + 1) * size);
  return { name, dtype: whole.dtype, shape: [(experts * rows) / count, columns], parts };
}
