// Kernel templates of a mixture of experts. What a row does not go to costs a comparison.
import type { OpParams, Value } from '../plan.ts';
import { type Emit, type Grid, quotient, sumOf, type Template } from './programs.ts';

/** y[t,e] = factor · s_e / (Σ s + 10^-20) for the chosen e of row t, else 0; s = softmax(l) or 1 / (1 + e^−l). */
export const route: Template<'route'> = (emit, [logits, bias], output, params) => {
  if (params.scores === 'softmax') return routeBySoftmax(emit, logits, output, params);
  return routeBySigmoids(emit, { logits, bias }, output, params);
};

type Routing = OpParams['route'];

const times = (factor: number) => (factor === 1 ? '' : ` * ${factor}`);

/** Two steps: e^(l − max) with a sign that says which are chosen, and their shares. */
function routeBySoftmax(emit: Emit, logits: Grid, output: Value, params: Routing): Grid {
  const { count, normalised, factor } = params;
  const experts = output.shape[1];
  const powers = emit(
    output,
    [logits],
    ({ y, x, reads: [logit] }) => `
    const own = ${logit(y, x)};
    let before = 0;
    let largest = own;
    for (let e = 0; e < ${experts}; e++) {
      const other = ${logit(y, 'e')};
      largest = Math.max(largest, other);
      if (other > own || (other === own && e < ${x})) {
        before += 1;
      }
    }
    const power = Math.exp(own - largest);
    return before < ${count} ? power : -power;`,
  );
  return emit(
    output,
    [powers],
    ({ y, x, reads: [power] }) => `
    const own = ${power(y, x)};
    ${sumOf('total', experts, (e) => `${normalised ? 'Math.max(0, ' : 'Math.abs('}${power(y, e)})`)}
    return Math.max(0, own) / total${times(factor)};`,
  );
}

/** Less than an expert is ever worth. */
const LEAST = '-3e38';

/** Steps: scores; what experts are worth, little in groups that are not kept; the scores of those chosen; their shares. */
function routeBySigmoids(
  emit: Emit,
  { logits, bias }: { readonly logits: Grid; readonly bias: Grid | undefined },
  output: Value,
  params: Routing,
): Grid {
  const { count, normalised, factor, groups } = params;
  const experts = output.shape[1];
  const scores = emit(
    output,
    [logits],
    ({ y, x, reads: [logit] }) => `return 1 / (1 + Math.exp(0 - ${logit(y, x)}));`,
  );
  const all =
    bias === undefined
      ? scores
      : emit(
          output,
          [scores, bias],
          ({ y, x, reads: [score, added] }) => `return ${score(y, x)} + ${added('0', x)};`,
        );
  const worth = groups === 1 ? all : keepGroups(emit, all, output, params);
  const chosen = emit(
    output,
    [worth, scores],
    ({ y, x, reads: [value, score] }) => `
    const own = ${value(y, x)};
    let before = 0;
    for (let e = 0; e < ${experts}; e++) {
      const other = ${value(y, 'e')};
      if (other > own || (other === own && e < ${x})) {
        before += 1;
      }
    }
    return before < ${count} ? ${score(y, x)} : 0;`,
  );
  if (!normalised && factor === 1) return chosen;
  return emit(output, [chosen], ({ y, x, reads: [score] }) =>
    normalised
      ? `
    ${sumOf('total', experts, (e) => score(y, e))}
    return ${score(y, x)} / (total + 1e-20)${times(factor)};`
      : `return ${score(y, x)}${times(factor)};`,
  );
}

/** Of every element what it is, or LEAST where the sum of the two largest of its group is not among the largest sums. */
function keepGroups(emit: Emit, all: Grid, output: Value, { groups, groupsKept }: Routing): Grid {
  const size = output.shape[1] / groups;
  const sums = emit(
    { shape: [output.shape[0], groups], extent: output.extent },
    [all],
    ({ y, x, reads: [value] }) => `
    let first = ${LEAST};
    let second = ${LEAST};
    for (let i = 0; i < ${size}; i++) {
      const column = ${x} * ${size} + i;
      const other = ${value(y, 'column')};
      if (other > first) {
        second = first;
        first = other;
      } else if (other > second) {
        second = other;
      }
    }
    return first + second;`,
  );
  return emit(
    output,
    [all, sums],
    ({ y, x, reads: [value, sum] }) => `
    const group = ${quotient(x, size)};
    const own = ${sum(y, 'group')};
    let before = 0;
    for (let g = 0; g < ${groups}; g++) {
      const other = ${sum(y, 'g')};
      if (other > own || (other === own && g < group)) {
        before += 1;
      }
    }
    return before < ${groupsKept} ? ${value(y, x)} : ${LEAST};`,
  );
}

/**
 * y[t,c] = Σ_e s[t,e] · Σ_f down[e,c,f]·h[t,e,f] over the experts e with a share s, h = silu(gate·x) * up·x. Two steps: h, and the
 * sum.
 */
export const experts: Template<'experts'> = (emit, [x, shares, gateUp, down], output) => {
  const [rows, width] = output.shape;
  const [count, , inner] = down.shape;
  const hidden = emit(
    { shape: [rows, count, inner], extent: output.extent },
    [x, shares, gateUp],
    (site) => {
      const [input, share, weight] = site.reads;
      return `
    const t = ${quotient(site.y, count)};
    const e = ${site.y} - t * ${count};
    if (${share('t', 'e')} !== 0) {
      const gateRow = e * ${2 * inner} + ${site.x};
      const upRow = gateRow + ${inner};
      ${sumOf('gate', width, (c) => `${input('t', c)} * ${weight('gateRow', c)}`)}
      ${sumOf('up', width, (c) => `${input('t', c)} * ${weight('upRow', c)}`)}
      return gate / (1 + Math.exp(-gate)) * up;
    }`;
    },
  );
  return emit(output, [hidden, shares, down], ({ y, x: column, reads: [unit, share, weight] }) => {
    const part = sumOf('part', inner, (f) => `${unit('row', f)} * ${weight('downRow', f)}`);
    return `
    let sum = 0;
    for (let e = 0; e < ${count}; e++) {
      const share = ${share(y, 'e')};
      if (share !== 0) {
        const row = ${y} * ${count} + e;
        const downRow = e * ${width} + ${column};
        ${part}
        sum += share * part;
      }
    }
    return sum;`;
  });
};
