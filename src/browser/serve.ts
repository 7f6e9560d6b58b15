// The worker's side: models live here, so that a page that shows their text never waits for them.
import * as z from 'zod';
import { OptionError, UnsupportedError } from '../kernels/errors.ts';
import { timeRows } from '../models/ladder.ts';
import { load } from '../models/load.ts';
import { WEIGHT_DTYPES } from '../models/weights.ts';
import { generate } from '../speculate/generate.ts';
import { Speculator } from '../speculate/speculators/load.ts';
import { proposalNames } from '../speculate/speculators/proposal.ts';
import { VERIFIER_NAMES, VERIFIERS } from '../speculate/verifiers/named.ts';
import { fileSource } from '../tensor/file-source.ts';
import { type FolderSource, memorySource } from '../tensor/source.ts';
import { urlSource } from '../tensor/url-source.ts';
import { packError } from './errors.ts';
import { createHeld, type Held } from './held.ts';
import { BACKENDS, createPool, type OpenBackend, type Pool } from './pool.ts';
import type {
  Answer,
  CallName,
  Calls,
  LoadedInfo,
  Origin,
  Request,
  ResultData,
  SpeculatorInfo,
} from './protocol.ts';
import { packRound } from './round.ts';
import { removeStored, storedModels, storedSource, storeModel } from './store.ts';

export type { OpenBackend } from './pool.ts';

/** The worker's end of the line; the global scope of a dedicated worker is one. */
export interface Port {
  postMessage(message: Answer): void;
  onmessage: ((event: { readonly data: Request }) => void) | null;
}

/** A call in progress. */
interface Line<Name extends CallName> {
  readonly signal: AbortSignal;
  send(event: Calls[Name]['event']): void;
}

type Handlers = {
  readonly [Name in CallName]: (
    params: Calls[Name]['params'],
    line: Line<Name>,
  ) => Promise<Calls[Name]['value']> | Calls[Name]['value'];
};

/** Answers the requests of a page. `backends` are offered beside `wasm` and `cpu`, by name. */
export function serve(port: Port, backends: Readonly<Record<string, OpenBackend>> = {}): void {
  const running = new Map<number, AbortController>();
  const handlers = createHandlers({ ...BACKENDS, ...backends });
  port.onmessage = async ({ data }) => {
    const { id } = data;
    if ('abort' in data) {
      running.get(id)?.abort(data.abort);
      return;
    }
    const controller = new AbortController();
    running.set(id, controller);
    const handler = handlers[data.call] as Handlers[CallName] as (
      params: unknown,
      line: Line<CallName>,
    ) => unknown;
    try {
      const line = {
        signal: controller.signal,
        send: (event: unknown) => port.postMessage({ id, event }),
      };
      port.postMessage({ id, value: await handler(data.params, line) });
    } catch (error) {
      port.postMessage({ id, error: packError(error) });
    } finally {
      running.delete(id);
    }
  };
}

function createHandlers(backends: Readonly<Record<string, OpenBackend>>): Handlers {
  const pool = createPool(backends);
  const held = createHeld();
  return {
    load: (params, line) => loadModel(held, pool, params, line),
    loadSpeculator: (params, line) => loadSpeculator(held, params, line),
    generate: (params, line) => generateIn(held, params, line),

    store: async ({ name, origin }, { signal, send }) =>
      storeModel(name, await sourceOf(origin), { signal, onProgress: send }),
    stored: () => storedModels(),
    async removeStored({ name }) {
      await removeStored(name);
      return null;
    },

    encode: ({ model, text, options }) => held.model(model).tokenizer.encode(text, options),
    report: ({ model }) => held.model(model).model.report,
    ladder: ({ model, ...options }, { signal }) =>
      held.run(model, undefined, ({ loaded, gone }) =>
        timeRows(loaded.model, { ...options, signal: AbortSignal.any([signal, gone]) }),
      ),

    async dispose({ model }) {
      await held.disposeModel(model);
      return null;
    },
    async disposeSpeculator({ speculator }) {
      await held.disposeSpeculator(speculator);
      return null;
    },
  };
}

async function loadModel(
  held: Held,
  pool: Pool,
  { origin, options }: Calls['load']['params'],
  { signal, send }: Line<'load'>,
): Promise<LoadedInfo> {
  const { backend: choice, ...rest } = options;
  const lease = await pool.lease(choice ?? { name: 'wasm' }).catch((error) => {
    // `load` then has a backend for where there is no WebAssembly, and a note that says so.
    if (choice === undefined && error instanceof UnsupportedError) return undefined;
    throw error;
  });
  try {
    const loaded = await load(await sourceOf(origin), {
      ...rest,
      signal,
      ...(lease && { backend: lease.backend }),
      onProgress: send,
    });
    const { config, contextLength, report } = loaded.model;
    const model = held.addModel(loaded, () => lease?.end());
    const { vocab, width, layers } = config;
    const parameters = { vocab, width, layers };
    return { model, loadMs: loaded.loadMs, report, parameters, contextLength };
  } catch (error) {
    lease?.end();
    throw error;
  }
}

const SpeculatorSchema = z.strictObject({ dtype: z.enum(['auto', ...WEIGHT_DTYPES]).optional() });

async function loadSpeculator(
  held: Held,
  { origin, verifier, options }: Calls['loadSpeculator']['params'],
  { signal, send }: Line<'loadSpeculator'>,
): Promise<SpeculatorInfo> {
  const parsed = SpeculatorSchema.safeParse(options);
  if (!parsed.success) throw new OptionError(`loadSpeculator: ${z.prettifyError(parsed.error)}`);
  return held.run(verifier, undefined, async ({ loaded: { model, tokenizer }, gone }) => {
    const speculator = await Speculator.fromPretrained(await sourceOf(origin), {
      ...options,
      verifier: model,
      tokenizer,
      signal: AbortSignal.any([signal, gone]),
      onProgress: send,
    });
    const { config, notes } = speculator;
    return {
      speculator: held.addSpeculator(speculator, verifier),
      algorithm: config.algorithm,
      notes,
      proposals: proposalNames(config.proposals, speculator.head?.paths ?? null).map((type) => ({
        type,
        notes: speculator.notesOn(type),
      })),
      defaultProposal: config.defaultProposal,
    };
  });
}

async function generateIn(
  held: Held,
  { model, prompt, options, candidates }: Calls['generate']['params'],
  { signal, send }: Line<'generate'>,
): Promise<ResultData> {
  const { drafter: choice, verifier, draftLength, ...rest } = options;
  if (verifier !== undefined && !Object.hasOwn(VERIFIERS, verifier))
    throw new OptionError(
      `generate: verifier: expected ${VERIFIER_NAMES.join(', ')}, got ${JSON.stringify(verifier)}`,
    );
  return held.run(model, choice, async ({ loaded, drafting, gone }) => {
    const generation = generate(loaded, prompt, {
      ...rest,
      signal: AbortSignal.any([signal, gone]),
      drafter: drafting?.drafter,
      draftLength: draftLength ?? drafting?.draftLength,
      verifier: verifier === undefined ? drafting?.verifier : VERIFIERS[verifier],
      ...(candidates !== null && {
        onRound: (round) => send({ round: packRound(round, loaded.tokenizer, candidates) }),
      }),
    });
    for await (const token of generation) send({ token });
    const { stats, ...result } = await generation.result;
    const { explain, ...figures } = stats;
    return { ...result, stats: figures, explanation: explain() };
  });
}

async function sourceOf(origin: Origin): Promise<FolderSource> {
  if ('url' in origin)
    return urlSource(origin.url, origin.headers ? { headers: origin.headers } : {});
  if ('stored' in origin) return storedSource(origin.stored);
  if ('files' in origin) return fileSource(origin.files, origin.name);
  return memorySource(origin.memory, origin.name);
}
