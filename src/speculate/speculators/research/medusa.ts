// Medusa heads in two layouts. Their authors' (FasterDecoding): head h is the list of its residual blocks `{h}.{l}.linear` and its matrix
// `{h}.{last}`, possibly behind the prefix `medusa_head.`; what config.json does not say comes from the shapes. vLLM's: names
// and fields are those of the format.
import * as z from 'zod';
import { FormatError, UnsupportedError } from '../../../kernels/errors.ts';
import { parse } from '../../../models/schema.ts';
import { medusa } from '../../drafters/medusa.ts';
import type { Json } from '../config.ts';
import type { ResearchFormat } from './format.ts';
import { checkTarget } from './target.ts';

const FILE = 'config.json';
const ARCHITECTURES = ['MedusaSpeculator'];
const BLOCK = /^blocks\.(\d+)\.layers\.(\d+)\.(weight|bias)$/;
const MATRIX = /^lm_heads\.(\d+)\.weight$/;
const AUTHORS_BLOCK = /^(?:medusa_head\.)?(\d+)\.(\d+)\.linear\.(weight|bias)$/;
const AUTHORS_MATRIX = /^(?:medusa_head\.)?(\d+)\.\d+\.weight$/;

/** A token for each head. */
const draftLength = (config: Json) => Number(config['num_heads']);

/** The name in the format of a tensor of the authors. */
function renamed(name: string): string | undefined {
  const block = AUTHORS_BLOCK.exec(name);
  if (block !== null) return `blocks.${block[1]}.layers.${block[2]}.${block[3]}`;
  const matrix = AUTHORS_MATRIX.exec(name);
  return matrix === null ? undefined : `lm_heads.${matrix[1]}.weight`;
}

const authorsSchema = z.looseObject({
  medusa_num_heads: z.int().positive().optional(),
  medusa_num_layers: z.int().min(0).optional(),
});

/** What an authors' config says in the fields of the format. */
function authorsMeaning(own: Json): Json {
  const { medusa_num_heads, medusa_num_layers } = parse(authorsSchema, own, FILE);
  return {
    ...(medusa_num_heads !== undefined && { num_heads: medusa_num_heads }),
    ...(medusa_num_layers !== undefined && { num_hidden_layers: medusa_num_layers }),
  };
}

/** Heads, blocks of a head, and sizes, from the tensors of the format. */
function fieldsFrom(shapes: ReadonlyMap<string, readonly number[]>, verifier: Json) {
  const names = [...shapes.keys()];
  const numbersOf = (pattern: RegExp, group: number) =>
    new Set(names.flatMap((name) => pattern.exec(name)?.[group] ?? [])).size;
  const matrix = shapes.get('lm_heads.0.weight');
  if (matrix === undefined)
    throw new FormatError('medusa: expected a matrix 0.{last}.weight of its first head, got none');
  const [drafted, hidden] = matrix;
  checkTarget('medusa: columns of its first matrix', hidden, verifier, 'hidden_size');
  checkTarget('medusa: rows of its first matrix', drafted, verifier, 'vocab_size');
  return {
    hidden_size: hidden,
    vocab_size: drafted,
    num_heads: numbersOf(MATRIX, 1),
    num_hidden_layers: numbersOf(BLOCK, 2),
    medusa_fc_bias: names.some((name) => BLOCK.exec(name)?.[3] === 'bias'),
    original_lm_head: false,
    truncated_vocab_size: null,
  };
}

/** The authors' fields of a config of the format. */
function authorsFields(config: Json): Json {
  const fields = parse(medusa.schema, config, FILE);
  const { original_lm_head, truncated_vocab_size } = fields;
  if (original_lm_head || (truncated_vocab_size ?? fields.vocab_size) !== fields.vocab_size)
    throw new UnsupportedError(
      "medusa: expected a matrix of its own for every head over the whole vocabulary, which is all that its authors' layout has",
    );
  return { medusa_num_heads: fields.num_heads, medusa_num_layers: fields.num_hidden_layers };
}

/** With so many blocks a head, which is in the name of its matrix. */
function authorsFormat(blocks: number): ResearchFormat {
  return {
    algorithm: 'medusa',
    matches: (config, names) =>
      [...names].some((name) => AUTHORS_BLOCK.test(name)) ||
      ('medusa_num_heads' in config && [...names].some((name) => AUTHORS_MATRIX.test(name))),
    within: (own) => authorsFormat(parse(authorsSchema, own, FILE).medusa_num_layers ?? blocks),
    fate(name) {
      const to = renamed(name);
      return to === undefined ? undefined : { name: to };
    },
    back(name) {
      const block = BLOCK.exec(name);
      if (block !== null) return `${block[1]}.${block[2]}.linear.${block[3]}`;
      const matrix = MATRIX.exec(name);
      return matrix === null ? undefined : `${matrix[1]}.${blocks}.weight`;
    },
    draftLength,
    fields({ own, shapes, verifier }) {
      const named = new Map([...shapes].map(([name, shape]) => [renamed(name) ?? name, shape]));
      const fields = fieldsFrom(named, verifier);
      for (const [key, value] of Object.entries(authorsMeaning(own)))
        if (fields[key as keyof typeof fields] !== value)
          throw new FormatError(
            `medusa: ${key}: expected the ${value} of config.json, got tensors of ${fields[key as keyof typeof fields]}`,
          );
      return { architectures: ARCHITECTURES, ...fields };
    },
    ownConfig: authorsFields,
  };
}

/** Medusa heads of their authors, which have one block each where nothing is said. */
export const medusaFormat = authorsFormat(1);

/** The fields of the format, with its defaults, which are vLLM's. */
function vllmFields(config: Json): Json {
  const fields = parse(medusa.schema, config, FILE);
  return {
    hidden_size: fields.hidden_size,
    vocab_size: fields.vocab_size,
    num_heads: fields.num_heads,
    num_hidden_layers: fields.num_hidden_layers,
    medusa_fc_bias: fields.medusa_fc_bias,
    original_lm_head: fields.original_lm_head,
    truncated_vocab_size: fields.truncated_vocab_size ?? fields.vocab_size,
  };
}

const isOurs = (name: string) => BLOCK.test(name) || MATRIX.test(name) || name === medusa.tokenMap;

/** Medusa heads as vLLM reads them. */
export const medusaVllmFormat: ResearchFormat = {
  algorithm: 'medusa',
  matches: (config, names) =>
    config['model_type'] === 'medusa' || names.has('blocks.0.layers.0.weight'),
  fate: (name) => (isOurs(name) ? { name } : undefined),
  back: (name) => (isOurs(name) ? name : undefined),
  draftLength,
  fields({ own, verifier }) {
    const fields = vllmFields(own);
    checkTarget(`${FILE}: hidden_size`, Number(fields['hidden_size']), verifier, 'hidden_size');
    checkTarget(`${FILE}: vocab_size`, Number(fields['vocab_size']), verifier, 'vocab_size');
    return { architectures: ARCHITECTURES, ...fields };
  },
  ownConfig: (config) => ({
    architectures: ['MedusaModel'],
    model_type: 'medusa',
    ...vllmFields(config),
  }),
};
