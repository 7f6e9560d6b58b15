// Kernel templates of the decoder's ops. One output element has one order of accumulation, fixed by the sizes and by the
// row's own list of slots, so a row has the same bits whatever other rows are computed beside it.
import {
  type Emit,
  type Grid,
  type Output,
  quotient,
  type Site,
  sumOf,
  type Template,
} from './programs.ts';

/** y = x / √(mean(x²) + eps) · gain, over each group of D columns; the scale of a group is a step of its own. */
export const rmsNorm: Template<'rmsNorm'> = (emit, [x, gain], output, { eps }) => {
  const [width] = gain.shape;
  const [rows, columns] = output.shape;
  const scales = emit(
    { shape: [rows, columns / width], extent: output.extent },
    [x],
    ({ y, x: group, reads: [input] }) => `
    const from = ${group} * ${width};
    ${sumOf('squares', width, (i) => `${input(y, `from + ${i}`)} * ${input(y, `from + ${i}`)}`)}
    return 1 / Math.sqrt(squares / ${width} + ${eps});`,
  );
  return emit(
    output,
    [x, scales, gain],
    ({ y, x: column, reads: [input, scale, gains] }) => `
    const group = ${columns === width ? '0' : quotient(column, width)};
    return ${input(y, column)} * ${scale(y, 'group')} * ${gains('0', columns === width ? column : `${column} - group * ${width}`)};`,
  );
};

/** (a, b) -> (a·cos − b·sin, b·cos + a·sin) for the pairs (d, d + R/2) of each head; `upper` is 1 for b, else 0. */
export const rope: Template<'rope'> = (emit, inputs, output, { heads }) => {
  const headDim = output.shape[1] / heads;
  const half = inputs[2].shape[1];
  return emit(
    output,
    inputs,
    ({ y, x, reads: [input, positions, cos, sin] }) => `
    const column = ${x} - ${quotient(x, headDim)} * ${headDim};
    ${2 * half < headDim ? `if (column >= ${2 * half}) {\n      return ${input(y, x)};\n    }` : ''}
    const upper = column < ${half} ? 0 : 1;
    const d = column - upper * ${half};
    const partner = ${x} + ${half} - ${2 * half} * upper;
    const position = ${positions('0', y)};
    const turned = (2 * upper - 1) * ${input(y, 'partner')};
    return ${input(y, x)} * ${cos('position', 'd')} + turned * ${sin('position', 'd')};`,
  );
};

/**
 * writer[s] = the last row t with slots[t] = s, else −1: the inverse that turns a scatter into a gather. Lowering sets its
 * length, which the text does not depend on.
 */
export function writerOf(emit: Emit, slots: Grid): Grid {
  return emit({ shape: [4] }, [slots], ({ x, reads: [slot], scalar }) => {
    const rows = slots.extent === undefined ? `${slots.shape[0]}` : scalar(slots.extent);
    return `
    let found = -1;
    for (let t = 0; t < ${rows}; t++) {
      if (${slot('0', 't')} === ${x}) {
        found = t;
      }
    }
    return found;`;
  });
}

/**
 * state[s] = rows[writer[s]] where there is one. In place nothing is returned for the other slots, and gpu.js then leaves the
 * cell of the buffer as it was: that is what makes the state live there. `initial` fills them in the first run. Where a device
 * gives garbage for such cells, `previous` is the state of the run before, and is copied.
 */
export function scatter(
  emit: Emit,
  parts: {
    readonly rows: Grid;
    readonly writer: Grid;
    readonly initial?: Grid | undefined;
    readonly previous?: Grid | undefined;
  },
  output: Output,
): Grid {
  const { rows, writer, initial, previous } = parts;
  const kept = previous ?? initial;
  const inputs = kept === undefined ? [rows, writer] : [rows, writer, kept];
  return emit(output, inputs, ({ y, x, reads: [row, slot, old], scalar }) => {
    const write = `
    const t = ${slot('0', y)};
    if (t >= 0) {
      return ${row('t', x)};
    }`;
    if (previous !== undefined) return `${write}\n    return ${old(y, x)};`;
    if (initial === undefined) return write;
    return `${write}
    if (t < 0 && ${scalar('first')} > 0 && ${y} < ${output.shape[0]}) {
      return ${old(y, x)};
    }`;
  });
}

/**
 * y[t,h] = Σ_j softmax_j(scale · q[t,h]·k[s_j,g]) · v[s_j,g] over the slots s_j row t sees, g = ⌊h·G/H⌋. Five steps:
 * scores, their maximum, e^(score − maximum), its sum, the weighted sum. The exponentials have their own step because
 * each one is a slow call on webasm.
 */
export const attention: Template<'attention'> = (
  emit,
  [q, keys, values, visible, starts, counts],
  output,
  { heads, kvHeads, scale, window },
) => {
  const [rows, width] = output.shape;
  const headDim = width / heads;
  const share = heads / kvHeads;
  const longest = Math.min(keys.shape[0], visible.shape[0], window > 0 ? window : Infinity);
  const perSlot = { shape: [rows, heads, longest], extent: output.extent };
  const perHead = { shape: [rows, heads], extent: output.extent };
  const seen = (count: string) => (window > 0 ? `Math.min(${count}, ${window})` : count);
  const head = ({ y }: Site) => `const t = ${quotient(y, heads)};
    const h = ${y} - t * ${heads};`;

  const scores = emit(perSlot, [q, keys, visible, starts, counts], (site) => {
    const [query, key, slots, start, count] = site.reads;
    return `
    ${head(site)}
    const n = ${seen(count('0', 't'))};
    if (${site.x} < n) {
      const slot = ${slots('0', `${start('0', 't')} + ${count('0', 't')} - n + ${site.x}`)};
      const from = h * ${headDim};
      const shared = ${quotient('h', share)} * ${headDim};
      ${sumOf('dot', headDim, (d) => `${query('t', `from + ${d}`)} * ${key('slot', `shared + ${d}`)}`)}
      return dot * ${scale};
    }`;
  });
  const maxima = emit(
    perHead,
    [scores, counts],
    ({ y, x, reads: [score, count] }) => `
    const n = ${seen(count('0', y))};
    const row = ${y} * ${heads} + ${x};
    let largest = ${score('row', '0')};
    for (let j = 1; j < n; j++) {
      largest = Math.max(largest, ${score('row', 'j')});
    }
    return largest;`,
  );
  const weights = emit(perSlot, [scores, maxima, counts], (site) => {
    const [score, largest, count] = site.reads;
    return `
    ${head(site)}
    if (${site.x} < ${seen(count('0', 't'))}) {
      return Math.exp(${score(site.y, site.x)} - ${largest('t', 'h')});
    }`;
  });
  const totals = emit(
    perHead,
    [weights, counts],
    ({ y, x, reads: [weight, count] }) => `
    const n = ${seen(count('0', y))};
    const row = ${y} * ${heads} + ${x};
    let total = 0;
    for (let j = 0; j < n; j++) {
      total += ${weight('row', 'j')};
    }
    return total;`,
  );
  return emit(output, [weights, totals, values, visible, starts, counts], (site) => {
    const { x, y, reads } = site;
    const [weight, total, value, slots, start, count] = reads;
    return `
    const n = ${seen(count('0', y))};
    const first = ${start('0', y)} + ${count('0', y)} - n;
    const h = ${quotient(x, headDim)};
    const row = ${y} * ${heads} + h;
    const column = ${x} - h * ${headDim} + ${quotient('h', share)} * ${headDim};
    let sum = 0;
    for (let j = 0; j < n; j++) {
      sum += ${weight('row', 'j')} * ${value(slots('0', 'first + j'), 'column')};
    }
    return sum / ${total(y, 'h')};`;
  });
};

/** y = gate / (1 + e^−gate) · up */
export const siluMul: Template<'siluMul'> = (emit, inputs, output) =>
  emit(
    output,
    inputs,
    ({ y, x, reads: [gate, up] }) => `
    const v = ${gate(y, x)};
    return v / (1 + Math.exp(-v)) * ${up(y, x)};`,
  );
