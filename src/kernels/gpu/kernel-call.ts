// The text of a kernel around the body that a template gives: parameters, the padding of columns, rows that are not in use.
import { sizeOf } from '../size.ts';
import type { KernelCall } from './lowered.ts';
import { type Emit, type Grid, gridSize, type Scalar } from './programs.ts';

/** The text and the bindings of one call. */
export function kernelCall(...[output, inputs, body]: Parameters<Emit>): KernelCall {
  const arrays: Grid[] = [];
  const constants: number[] = [];
  const names = inputs.map((grid) => {
    if (grid.source.kind !== 'constant') return `a${arrays.push(grid) - 1}`;
    constants.push(grid.source.index);
    return `this.constants.c${grid.source.index}`;
  });
  const reads = names.map((name, index) => {
    const { left = 0 } = inputs[index];
    return (y: string, x: string) => `${name}[${y}][${left === 0 ? x : `${x} + ${left}`}]`;
  });
  const scalars = new Set<Scalar>();
  const scalar = (name: Scalar) => {
    scalars.add(name);
    return name;
  };
  const { width, height } = gridSize(output.shape);
  // Columns in fours: threads take a slow path otherwise. The extra ones repeat the last.
  const padded = Math.ceil(width / 4) * 4;
  const clamp = padded === width ? '' : `const x = Math.min(this.thread.x, ${width - 1});\n    `;
  const y = 'this.thread.y';
  const text = clamp + body({ y, x: clamp === '' ? 'this.thread.x' : 'x', reads, scalar });
  const guarded =
    output.extent === undefined ? text : `if (${rowsInUse(output, scalar)}) {\n    ${text}\n    }`;
  const parameters = [...arrays.map((_, index) => `a${index}`), ...scalars];
  return {
    source: `function (${parameters.join(', ')}) {\n    ${guarded}\n  }`,
    size: [padded, height],
    arrays,
    scalars: [...scalars],
    constants,
  };
}

/** Whether this element belongs to a row in use. */
function rowsInUse(
  { shape, extent }: Parameters<Emit>[0],
  scalar: (name: Scalar) => string,
): string {
  if (extent === undefined) throw new Error('internal: rows of a tensor without an extent');
  if (shape.length === 1) return `this.thread.x < ${scalar(extent)}`;
  const perRow = sizeOf(shape.slice(1, -1));
  return `this.thread.y < ${scalar(extent)}${perRow === 1 ? '' : ` * ${perRow}`}`;
}
