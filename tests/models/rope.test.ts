// Rotary frequencies against those of transformers, and the tables against their formula.
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { architectureOf } from '../../src/models/architectures.ts';
import type { RopeConfig } from '../../src/models/config.ts';
import { inverseFrequencies, ropeTables } from '../../src/models/rope.ts';

const golden = new URL('../golden/', import.meta.url);
const folders = readdirSync(golden).filter((name) => name.startsWith('tiny-random-'));
const readJson = (path: string) => JSON.parse(readFileSync(new URL(path, golden), 'utf8'));

const yarn: RopeConfig = {
  type: 'yarn',
  theta: 10_000,
  factor: 4,
  originalMaxPositions: 32,
  attentionFactor: 1.5,
  betaFast: 32,
  betaSlow: 1,
  truncate: true,
};

describe('inverseFrequencies', () => {
  it.each(folders)('gives the frequencies of transformers for %s', (folder) => {
    const json = readJson(`${folder}/config.json`);
    const { rope, headDim } = architectureOf(json, 'config.json').readConfig(json, 'config.json');
    const { inv_freq: expected, attention_scaling: scaling } = readJson(
      `${folder}/golden.json`,
    ).rope;
    const { inverse, attentionFactor } = inverseFrequencies(rope, headDim);
    expect(inverse.length).toBe(expected.length);
    for (const [d, frequency] of inverse.entries())
      expect(Math.abs(frequency / expected[d] - 1), `pair ${d}`).toBeLessThan(1e-6);
    expect(Math.abs(attentionFactor / scaling - 1)).toBeLessThan(1e-6);
  });

  it('keeps, blends and divides the waves of llama3', () => {
    const rope: RopeConfig = {
      type: 'llama3',
      theta: 10_000,
      factor: 8,
      lowFreqFactor: 1,
      highFreqFactor: 4,
      originalMaxPositions: 64,
    };
    const plain = inverseFrequencies({ type: 'default', theta: 10_000 }, 16).inverse;
    const ratios = [...inverseFrequencies(rope, 16).inverse].map(
      (frequency, d) => plain[d] / frequency,
    );
    expect(ratios[0]).toBe(1);
    expect(ratios.at(-1)).toBeCloseTo(8, 12);
    expect(ratios.some((ratio) => ratio > 1 && ratio < 8 - 1e-9)).toBe(true);
    expect(ratios).toEqual(ratios.toSorted((a, b) => a - b));
  });

  it('rounds the ends of the YaRN ramp only when told to', () => {
    const rounded = inverseFrequencies(yarn, 32).inverse;
    const exact = inverseFrequencies({ ...yarn, truncate: false }, 32).inverse;
    expect(rounded).not.toEqual(exact);
    expect(rounded.at(-1)).toBe(exact.at(-1));
  });

  it('survives a YaRN ramp without length', () => {
    const { inverse } = inverseFrequencies({ ...yarn, betaFast: 1000, betaSlow: 1000 }, 8);
    expect(inverse.every(Number.isFinite)).toBe(true);
  });
});

describe('ropeTables', () => {
  it('holds cos and sin of position times frequency, times the attention factor', () => {
    const { inverse } = inverseFrequencies(yarn, 8);
    const { cos, sin } = ropeTables(yarn, 8, 5);
    expect([cos.length, sin.length]).toEqual([20, 20]);
    for (let p = 0; p < 5; p++)
      for (let d = 0; d < 4; d++) {
        expect(cos[p * 4 + d]).toBe(Math.fround(1.5 * Math.cos(p * inverse[d])));
        expect(sin[p * 4 + d]).toBe(Math.fround(1.5 * Math.sin(p * inverse[d])));
      }
  });
});
