// The errors a caller can act on. Everything else that is thrown starts with `internal:` and is our bug.

/** Shapes or dtypes that do not fit an operation. */
export class ShapeError extends Error {
  override readonly name = 'ShapeError';
}

/** A request that is understood and that this version, backend or device does not do. */
export class UnsupportedError extends Error {
  override readonly name = 'UnsupportedError';
}

/** A file that is broken, hostile or not what its name says. The message names the file and the tensor. */
export class FormatError extends Error {
  override readonly name = 'FormatError';
}

/** An option or argument outside its domain: unknown names, wrong types, contradictory settings. */
export class OptionError extends Error {
  override readonly name = 'OptionError';
}
