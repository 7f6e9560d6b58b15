// Rotary position tables (RoFormer, Su et al., 2021) and the ways to stretch them to longer texts: linear, llama3
// and YaRN (Peng et al., 2023), with the formulas of transformers' modeling_rope_utils. Everything is computed in
// float64 and rounded once, when the tables are stored.
import type { RopeConfig } from './config.ts';

/** Angles per position: inverse f64 [D/2], and the factor YaRN puts on cos and sin. */
interface Frequencies {
  readonly inverse: Float64Array;
  readonly attentionFactor: number;
}

/** inverse[d] = theta^(-2d / D), stretched as the config says. */
export function inverseFrequencies(rope: RopeConfig, headDim: number): Frequencies {
  const inverse = Float64Array.from(
    { length: headDim / 2 },
    (_, d) => rope.theta ** ((-2 * d) / headDim),
  );
  switch (rope.type) {
    case 'default':
      return { inverse, attentionFactor: 1 };
    case 'linear':
      return { inverse: inverse.map((frequency) => frequency / rope.factor), attentionFactor: 1 };
    case 'factors':
      return {
        inverse: inverse.map((frequency, d) => frequency / rope.factors[d]),
        attentionFactor: 1,
      };
    case 'llama3':
      return {
        inverse: inverse.map((frequency) => stretchLlama3(frequency, rope)),
        attentionFactor: 1,
      };
    case 'yarn':
      return {
        inverse: stretchYarn(inverse, rope, headDim),
        attentionFactor: rope.attentionFactor,
      };
  }
}

/** cos and sin f32 [P, D/2] of every position, the attention factor included. */
export function ropeTables(
  rope: RopeConfig,
  headDim: number,
  positions: number,
): { cos: Float32Array; sin: Float32Array } {
  const { inverse, attentionFactor } = inverseFrequencies(rope, headDim);
  const half = inverse.length;
  const cos = new Float32Array(positions * half);
  const sin = new Float32Array(positions * half);
  for (let p = 0; p < positions; p++)
    for (let d = 0; d < half; d++) {
      cos[p * half + d] = Math.cos(p * inverse[d]) * attentionFactor;
      sin[p * half + d] = Math.sin(p * inverse[d]) * attentionFactor;
    }
  return { cos, sin };
}

/** Keeps short waves, divides long ones by the factor, and blends in between. */
function stretchLlama3(frequency: number, rope: Extract<RopeConfig, { type: 'llama3' }>): number {
  const { factor, lowFreqFactor, highFreqFactor, originalMaxPositions } = rope;
  const turns = (originalMaxPositions * frequency) / (2 * Math.PI);
  if (turns > highFreqFactor) return frequency;
  if (turns < lowFreqFactor) return frequency / factor;
  const smooth = (turns - lowFreqFactor) / (highFreqFactor - lowFreqFactor);
  return ((1 - smooth) * frequency) / factor + smooth * frequency;
}

/** Blends from kept to divided frequencies over the pairs that turn betaFast .. betaSlow times. */
function stretchYarn(
  inverse: Float64Array,
  rope: Extract<RopeConfig, { type: 'yarn' }>,
  headDim: number,
): Float64Array {
  const { theta, factor, originalMaxPositions, betaFast, betaSlow, truncate } = rope;
  // The pair index at which a wave makes `turns` turns over the original positions.
  const pairOf = (turns: number) =>
    (headDim * Math.log(originalMaxPositions / (turns * 2 * Math.PI))) / (2 * Math.log(theta));
  const fast = pairOf(betaFast);
  const slow = pairOf(betaSlow);
  const low = Math.max(truncate ? Math.floor(fast) : fast, 0);
  const end = Math.min(truncate ? Math.ceil(slow) : slow, headDim - 1);
  // transformers widens an empty ramp by 0.001 instead of dividing by zero.
  const high = end === low ? end + 0.001 : end;
  return inverse.map((frequency, d) => {
    const ramp = Math.min(Math.max((d - low) / (high - low), 0), 1);
    return (frequency / factor) * ramp + frequency * (1 - ramp);
  });
}
