// Errors of a layout, which knows keys and tensors, with the name of the source, which it does not know.
import { FormatError, UnsupportedError } from '../../../kernels/errors.ts';

/** What `action` gives; its errors begin with `where`. */
export function located<Result>(where: string, action: () => Result): Result {
  try {
    return action();
  } catch (error) {
    for (const Kind of [FormatError, UnsupportedError])
      if (error instanceof Kind) throw new Kind(`${where}: ${error.message}`, { cause: error });
    throw error;
  }
}
