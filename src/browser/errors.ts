// Errors across the border: a structured clone keeps the message and forgets the class.
import { FormatError, OptionError, ShapeError, UnsupportedError } from '../kernels/errors.ts';
import type { ErrorData } from './protocol.ts';

type ErrorClass = new (message: string, options?: { readonly cause: unknown }) => Error;

const CLASSES: Readonly<Record<string, ErrorClass>> = {
  FormatError,
  OptionError,
  ShapeError,
  UnsupportedError,
  RangeError,
  TypeError,
};

/** What crosses of an error and its causes, or of whatever else was thrown. */
export function packError(error: unknown): ErrorData {
  if (!(error instanceof Error)) return { name: 'Error', message: String(error) };
  const { name, message, cause } = error;
  return cause === undefined ? { name, message } : { name, message, cause: packError(cause) };
}

/** The error again with its causes, of its own class where it is one of ours. */
export function unpackError({ name, message, cause }: ErrorData): Error {
  const options = cause === undefined ? undefined : { cause: unpackError(cause) };
  const Known = Object.hasOwn(CLASSES, name) ? CLASSES[name] : undefined;
  if (Known !== undefined) return new Known(message, options);
  return Object.assign(new Error(message, options), { name });
}
