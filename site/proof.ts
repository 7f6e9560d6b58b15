// A proof and a test of one verifier on made-up models: what the panel asks its worker, and what comes back.
import { createNoise } from '../src/speculate/noise.ts';
import { emit, type ProveOptions, prove } from '../src/speculate/prove.ts';
import { match } from '../src/speculate/verifiers/match.ts';
import { rejection } from '../src/speculate/verifiers/rejection.ts';
import { type ChiSquare, chiSquare } from './chi-square.ts';
import { blend, forgetful, toyModel } from './toys.ts';

const VERIFIERS = { match, rejection, forgetful };

/** What is to be proven. */
export interface ProofRequest {
  readonly verifier: keyof typeof VERIFIERS;
  readonly vocabulary: number;
  readonly branching: readonly number[];
  readonly seed: number;
  /** How near the drafter is to the target: 0 is another model, 1 the same. */
  readonly likeness: number;
  /** Texts to count. */
  readonly runs: number;
}

/** A text of the enumeration. */
export interface ProofRow {
  readonly text: string;
  readonly target: number;
  readonly emitted: number;
  readonly count: number;
}

/** What came out. */
export interface ProofResult {
  readonly rows: readonly ProofRow[];
  readonly maxError: number;
  readonly expectedTokens: number;
  readonly chiSquare: ChiSquare;
  readonly runs: number;
  readonly enumerationMs: number;
  readonly countingMs: number;
}

/** Enumerates every outcome, then counts texts of the seeds from 0 on. */
export function runProof({
  verifier,
  vocabulary,
  branching,
  seed,
  likeness,
  runs,
}: ProofRequest): ProofResult {
  const target = toyModel(seed, vocabulary);
  const options: ProveOptions = {
    verifier: VERIFIERS[verifier],
    vocabulary,
    branching,
    target,
    draft: blend(likeness, target, toyModel(seed + 1, vocabulary)),
  };
  const start = performance.now();
  const proof = prove(options);
  const enumerated = performance.now();
  const counts = new Map<string, number>();
  for (let run = 0; run < runs; run++) {
    const key = emit(options, createNoise(run)).join();
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  const texts = [...new Set([...proof.target.keys(), ...proof.emitted.keys()])];
  const rows = texts.map((text) => ({
    text,
    target: proof.target.get(text) ?? 0,
    emitted: proof.emitted.get(text) ?? 0,
    count: counts.get(text) ?? 0,
  }));
  return {
    rows: rows.sort((a, b) => b.target - a.target),
    maxError: proof.maxError,
    expectedTokens: proof.expectedTokens,
    chiSquare: chiSquare(proof.target, counts),
    runs,
    enumerationMs: enumerated - start,
    countingMs: performance.now() - enumerated,
  };
}
