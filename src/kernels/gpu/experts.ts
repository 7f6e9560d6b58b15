// Kernel templates of a mixture of experts. What a row does not go to costs a comparison.
import { quotient, sumOf, type Template } from './programs.ts';

/**
 * y[t,e] = e^(l_e − max) / Σ e^(l − max) for the `count` largest logits l_e of row t, else 0. Two steps: the powers, with a sign that
 * says which are chosen, and their shares.
 */
export const route: Template<'route'> = (emit, [logits], output, { count, normalised }) => {
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
    return Math.max(0, own) / total;`,
  );
};

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
