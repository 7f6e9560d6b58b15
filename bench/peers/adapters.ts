// The engines that are compared, by name; ours comes first.
import { foretoken } from './foretoken.ts';
import { llama } from './llama.ts';
import { onnx } from './onnx.ts';
import type { Adapter } from './peer.ts';

export type PeerName = keyof typeof ADAPTERS;

/** Every engine. */
export const ADAPTERS = {
  foretoken,
  'node-llama-cpp': llama,
  'onnxruntime-web': onnx,
} satisfies Readonly<Record<string, Adapter>>;

/** Their names, in the order of the tables. */
export const PEER_NAMES = Object.keys(ADAPTERS) as PeerName[];
