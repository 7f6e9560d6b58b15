// Errors across the border: a structured clone keeps the message and forgets the class.
import { FormatError, OptionError, ShapeError, UnsupportedError } from '../kernels/errors.ts';
import type { ErrorData } from './protocol.ts';

const CLASSES: Readonly<Record<string, new (message: string) => Error>> = {
  FormatError,
  OptionError,
  ShapeError,
  UnsupportedError,
  RangeError,
  TypeError,
};

/** What crosses of an error, or of whatever else was thrown. */
export function packError(error: unknown): ErrorData {
  if (error instanceof Error) return { name: error.name, message: error.message };
  return { name: 'Error', message: String(error) };
}

/** The error again, of its own class where it is one of ours. */
export function unpackError({ name, message }: ErrorData): Error {
  const Known = CLASSES[name];
  if (Known !== undefined) return new Known(message);
  return Object.assign(new Error(message), { name });
}
