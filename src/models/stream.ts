// Token ids to text. A decoder section of tokenizer.json is compiled to "the bytes of one token"; the text is the UTF-8
// reading of all bytes, so a stream needs three bytes of memory, never decodes twice, and decode(ids) is a stream too.
// Bytes that are not UTF-8 read as U+FFFD per ill-formed sequence (WHATWG, as Rust's from_utf8_lossy). The one known
// difference to the tokenizers library: it turns a whole run of byte-fallback tokens into U+FFFD when any of it is bad.
import * as z from 'zod';
import { FormatError, UnsupportedError } from '../kernels/errors.ts';

/** Text as its tokens arrive: all pushes and the flush, joined, are `decode` of all ids. */
export interface TextStream {
  /** The characters that this token completes; empty while a character is unfinished. */
  push(id: number): string;
  /** Ends the text: an unfinished character as U+FFFD, or nothing. The next push starts a new text. */
  flush(): string;
}

/** A token as the vocabulary spells it, and whether that spelling is its text (added tokens). */
export interface Piece {
  readonly token: string;
  readonly verbatim: boolean;
}

/** How tokens become bytes and bytes become text. */
interface PieceDecoder {
  /** The bytes a token stands for in the middle of a text. */
  bytes(piece: Piece): Uint8Array;
  /** Whether the first token of a text loses its leading space (Metaspace). */
  readonly stripFirst: boolean;
  /** What a text loses at its start, at most `count` times (Strip). */
  readonly strip: { readonly content: string; readonly count: number };
}

const utf8 = new TextEncoder();

/** [256] the character that stands for each byte in a byte-level vocabulary (GPT-2). */
function byteCharacters(): readonly string[] {
  const printable = (byte: number) =>
    (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) =>
    String.fromCharCode(printable(byte) ? byte : next++),
  );
}

/** Byte-level vocabularies: each character is a byte. A token with any other character is its own UTF-8. */
function byteLevelDecoder(): PieceDecoder {
  const byteOf = new Map(byteCharacters().map((character, byte) => [character, byte]));
  return {
    stripFirst: false,
    strip: { content: '', count: 0 },
    bytes({ token, verbatim }) {
      if (verbatim) return utf8.encode(token);
      const bytes = new Uint8Array(token.length);
      for (let i = 0; i < token.length; i++) {
        const byte = byteOf.get(token[i]!);
        if (byte === undefined) return utf8.encode(token);
        bytes[i] = byte;
      }
      return bytes;
    },
  };
}

const stepSchema = z.looseObject({ type: z.string() });
const sequenceSchema = z.looseObject({ decoders: z.array(stepSchema) });
const replaceSchema = z.looseObject({
  pattern: z.looseObject({ String: z.string().min(1) }),
  content: z.string(),
});
const stripSchema = z.looseObject({
  content: z.string().length(1),
  start: z.int().min(0).default(0),
  stop: z.int().min(0).default(0),
});
const metaspaceSchema = z.looseObject({
  replacement: z.string().min(1).default('\u2581'),
  prepend_scheme: z.string().nullish(),
  add_prefix_space: z.boolean().nullish(),
});

const where = 'tokenizer.json: decoder';

function parse<Schema extends z.ZodType>(schema: Schema, value: unknown): z.infer<Schema> {
  const result = schema.safeParse(value);
  if (!result.success) throw new FormatError(`${where}: ${z.prettifyError(result.error)}`);
  return result.data;
}

/** The steps of a decoder section, nested sequences laid flat. */
function flatten(section: unknown): z.infer<typeof stepSchema>[] {
  const step = parse(stepSchema, section);
  return step.type === 'Sequence' ? parse(sequenceSchema, step).decoders.flatMap(flatten) : [step];
}

/**
 * Compiles the `decoder` section of a tokenizer.json. Takes ByteLevel, Metaspace, and the SentencePiece sequence
 * Replace*, ByteFallback, Fuse, Strip: the decoders of Llama-family models. Anything else throws UnsupportedError.
 */
export function compileDecoder(section: unknown): PieceDecoder {
  if (section === null || section === undefined) {
    throw new UnsupportedError(`${where}: expected a decoder, got none`);
  }
  const steps = flatten(section);
  const order = steps.map((step) => step.type).join(' ');
  if (/^ByteLevel( Fuse)*$/.test(order)) return byteLevelDecoder();
  // Replace acts on one token, so it must come before the tokens are joined; Strip acts on the joined text.
  if (
    !/^((Replace )*(ByteFallback )?Fuse( Strip)?|(Replace )*ByteFallback|Metaspace)$/.test(order)
  ) {
    throw new UnsupportedError(
      `${where}: expected ByteLevel, Metaspace or Replace, ByteFallback, Fuse, Strip, got ${order}`,
    );
  }
  const replacements: (readonly [string, string])[] = [];
  let byteFallback = false;
  let stripFirst = false;
  let strip = { content: '', count: 0 };
  for (const step of steps) {
    if (step.type === 'Replace') {
      if (z.looseObject({ Regex: z.string() }).safeParse(step['pattern']).success) {
        throw new UnsupportedError(
          `${where}: expected Replace of a string, got a regular expression`,
        );
      }
      const { pattern, content } = parse(replaceSchema, step);
      replacements.push([pattern.String, content]);
    } else if (step.type === 'ByteFallback') {
      byteFallback = true;
    } else if (step.type === 'Metaspace') {
      const { replacement, prepend_scheme, add_prefix_space } = parse(metaspaceSchema, step);
      replacements.push([replacement, ' ']);
      stripFirst =
        (prepend_scheme ?? (add_prefix_space === false ? 'never' : 'always')) !== 'never';
    } else if (step.type === 'Strip') {
      const { content, start, stop } = parse(stripSchema, step);
      if (stop > 0) throw new UnsupportedError(`${where}: expected Strip with stop 0, got ${stop}`);
      strip = { content, count: start };
    }
  }
  return {
    stripFirst,
    strip,
    bytes({ token }) {
      let text = token;
      for (const [pattern, content] of replacements) text = text.replaceAll(pattern, content);
      const byte = byteFallback ? /^<0x([0-9a-f]{2})>$/i.exec(text) : null;
      return byte === null ? utf8.encode(text) : Uint8Array.of(Number.parseInt(byte[1]!, 16));
    },
  };
}

/** Starts a text; `pieceOf` gives the piece of an id, or undefined for one that has no text. */
export function createTextStream(
  decoder: PieceDecoder,
  pieceOf: (id: number) => Piece | undefined,
): TextStream {
  // The library's byte-fallback decoder drops a U+FEFF at the start of a run; ignoreBOM keeps it.
  const reader = new TextDecoder('utf-8', { ignoreBOM: true });
  let first = true;
  let stripsLeft = decoder.strip.count;
  const stripped = (text: string): string => {
    let start = 0;
    while (stripsLeft > 0 && start < text.length) {
      stripsLeft = text[start] === decoder.strip.content ? stripsLeft - 1 : 0;
      if (text[start] === decoder.strip.content) start += 1;
    }
    return start === 0 ? text : text.slice(start);
  };
  return {
    push(id) {
      const piece = pieceOf(id);
      if (piece === undefined) return '';
      let bytes = decoder.bytes(piece);
      if (first && decoder.stripFirst && bytes[0] === 0x20) bytes = bytes.subarray(1);
      first = false;
      return stripped(reader.decode(bytes, { stream: true }));
    },
    flush() {
      const text = stripped(reader.decode());
      first = true;
      stripsLeft = decoder.strip.count;
      return text;
    },
  };
}
