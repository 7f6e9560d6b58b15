// How vLLM serves a speculator: its `speculative_config`, and what its bridge to the format would refuse or read differently.
import { FormatError, OptionError, UnsupportedError } from '../../kernels/errors.ts';
import type { SpeculatorConfig } from './config.ts';

/** What vLLM calls the algorithms of the format that it serves. */
const METHODS: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  eagle3: { method: 'eagle3' },
  peagle: { method: 'eagle3', parallel_drafting: true },
  dflash: { method: 'dflash' },
  dspark: { method: 'dspark' },
};

/** How the others get there. */
const OTHERWISE: Readonly<Record<string, string>> = {
  eagle:
    '; it serves EAGLE-1 heads in their research layout (foretoken convert --back, exportResearch in a program)',
  independent: '; it serves an ordinary draft model by its folder (method draft_model)',
  mtp: '; it serves multi-token prediction as a part of the target',
  mlp: "; it serves MLP speculators in IBM's layout",
  medusa: '; it serves Medusa heads without the fields of the format',
};

/** vLLM refuses longer drafts. */
const MAX_TOKENS = 32;

/** Options of `exportVllm`. */
export interface VllmOptions {
  /** Folder or hub name of the speculator, as the server will see it. */
  readonly speculator: string;
  /** Folder or hub name of the target; default as the config says. */
  readonly verifier?: string | undefined;
  /** Drafted tokens a round, 1 to 32; default as the first proposal method says, which is the one vLLM reads. */
  readonly draftLength?: number | undefined;
}

/** A speculator as vLLM takes it. */
export interface VllmExport {
  /** The command for a POSIX shell. */
  readonly command: string;
  readonly speculativeConfig: Readonly<Record<string, unknown>>;
  /** What vLLM reads differently. */
  readonly notes: readonly string[];
}

/**
 * The command that serves a target with a speculator in vLLM. Throws an UnsupportedError for algorithms that vLLM does not
 * serve in this format, a FormatError for a config without what vLLM requires, an OptionError for a wrong draft length.
 */
export function exportVllm(
  config: SpeculatorConfig,
  { speculator, verifier, draftLength }: VllmOptions,
): VllmExport {
  const { algorithm, proposals, raw } = config;
  if (!Object.hasOwn(METHODS, algorithm))
    throw new UnsupportedError(
      `${speculator}: expected an algorithm that vLLM serves in this format (${Object.keys(METHODS).join(', ')}), got ${algorithm}${Object.hasOwn(OTHERWISE, algorithm) ? OTHERWISE[algorithm] : ''}`,
    );
  const missing = missingKeys(config);
  if (missing.length > 0)
    throw new FormatError(
      `${speculator}/config.json: expected ${missing.join(' and ')}, which vLLM requires, got none`,
    );
  const [first] = proposals;
  const tokens = draftLength ?? Number(first['speculative_tokens']);
  if (!Number.isInteger(tokens) || tokens < 1 || tokens > MAX_TOKENS)
    throw new OptionError(
      `exportVllm: expected a draft of 1 to ${MAX_TOKENS} tokens, the most that vLLM takes, got ${tokens}`,
    );
  const notes: string[] = [];
  if (first.proposal_type !== 'greedy')
    notes.push(`vLLM drafts chains; the first proposal method is ${first.proposal_type}`);
  if (algorithm === 'eagle3' && !('norm_before_residual' in raw))
    notes.push('norm_before_residual is missing: vLLM takes true then, the format says false');
  const speculativeConfig = {
    ...METHODS[algorithm],
    model: speculator,
    num_speculative_tokens: tokens,
  };
  const json = JSON.stringify(speculativeConfig);
  return {
    command: `vllm serve ${quoted(verifier ?? config.verifier.nameOrPath!)} --speculative-config ${quoted(json)}`,
    speculativeConfig,
    notes,
  };
}

/** Paths that vLLM's bridge looks up without a default. */
function missingKeys({ raw, verifier }: SpeculatorConfig): string[] {
  const missing: string[] = [];
  const { proposal_methods: methods } = raw['speculators_config'] as {
    readonly proposal_methods: readonly object[];
  };
  if (methods.length === 0 || !('speculative_tokens' in methods[0]))
    missing.push('speculators_config.proposal_methods[0].speculative_tokens');
  if (verifier.nameOrPath === null) missing.push('speculators_config.verifier.name_or_path');
  if (raw['transformer_layer_config'] === undefined) missing.push('transformer_layer_config');
  return missing;
}

/** A word of a POSIX shell. */
const quoted = (word: string) =>
  /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
