import { describe, expect, it } from 'vitest';
import { packError, unpackError } from '../../src/browser/errors.ts';
import { FormatError, OptionError } from '../../src/kernels/errors.ts';

describe('an error that crosses', () => {
  const cross = (error: unknown) => unpackError(structuredClone(packError(error)));

  it('keeps its class, its message and its causes', () => {
    const cause = new FormatError('config.json: expected JSON', { cause: new SyntaxError('at 3') });
    const crossed = cross(new OptionError('load: no', { cause }));
    expect(crossed).toBeInstanceOf(OptionError);
    expect(crossed.message).toBe('load: no');
    expect(crossed.cause).toBeInstanceOf(FormatError);
    expect(crossed.cause).toMatchObject({ cause: { name: 'SyntaxError', message: 'at 3' } });
  });

  it('is an error even if it was none', () => {
    expect(cross('no')).toMatchObject({ name: 'Error', message: 'no' });
    expect(cross(new DOMException('gone', 'NotFoundError')).name).toBe('NotFoundError');
    expect(cross(Object.assign(new Error('x'), { name: 'constructor' })).name).toBe('constructor');
  });
});
