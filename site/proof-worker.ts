// Runs proofs away from the page, so that it can be used and the proof be stopped.
import { type ProofRequest, runProof } from './proof.ts';

self.onmessage = ({ data }: MessageEvent<ProofRequest>) => {
  try {
    postMessage({ result: runProof(data) });
  } catch (error) {
    postMessage({ error: (error as Error).message });
  }
};
