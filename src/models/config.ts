// The configuration of a decoder after its file has been checked: our names, no optional fields. Types only.

/** Rotary embedding, as Hugging Face's `rope_parameters` describe it. */
export type RopeConfig =
  | { readonly type: 'default'; readonly theta: number }
  | { readonly type: 'linear'; readonly theta: number; readonly factor: number }
  /** Each frequency divided by a factor of its own, as GGUF files have it. */
  | { readonly type: 'factors'; readonly theta: number; readonly factors: readonly number[] }
  | {
      readonly type: 'llama3';
      readonly theta: number;
      readonly factor: number;
      readonly lowFreqFactor: number;
      readonly highFreqFactor: number;
      readonly originalMaxPositions: number;
    }
  | {
      readonly type: 'yarn';
      readonly theta: number;
      readonly factor: number;
      readonly originalMaxPositions: number;
      readonly attentionFactor: number;
      readonly betaFast: number;
      readonly betaSlow: number;
      readonly truncate: boolean;
    };

/** How many times each part of a model is repeated by `inflate`. */
export interface InflationFactors {
  readonly width: number;
  readonly heads: number;
  readonly ffn: number;
  readonly layers: number;
}

/** What `inflate` made of a model, with its parameters before and after. */
export interface Inflation {
  readonly factors: InflationFactors;
  readonly from: number;
  readonly to: number;
}

/** A Llama-family decoder. */
export interface DecoderConfig {
  readonly modelType: string;
  readonly layers: number;
  readonly width: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly ffnWidth: number;
  readonly vocab: number;
  readonly normEps: number;
  readonly maxPositions: number;
  readonly rope: RopeConfig;
  /** The head is the embedding. */
  readonly tied: boolean;
  /** Biases of q, k and v; of the attention output; of the feed-forward. */
  readonly qkvBias: boolean;
  readonly outBias: boolean;
  readonly mlpBias: boolean;
  /** RMS norms of q and k per head. */
  readonly qkNorm: boolean;
  /** Sliding window per layer; 0 sees everything. */
  readonly windows: readonly number[];
  readonly bosToken: number | null;
  readonly eosTokens: readonly number[];
  /** Present when the weights are those of the file repeated. */
  readonly inflation?: Inflation;
  /** The file's own object, unknown keys included. */
  readonly raw: Readonly<Record<string, unknown>>;
}
