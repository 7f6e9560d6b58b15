// The options of `generate`: defaults, and every refusal by name.
import { describe, expect, it } from 'vitest';
import { OptionError } from '../../src/kernels/errors.ts';
import { readOptions } from '../../src/speculate/options.ts';
import { greedy } from '../../src/speculate/verifiers/greedy.ts';
import { match } from '../../src/speculate/verifiers/match.ts';
import { rejection } from '../../src/speculate/verifiers/rejection.ts';
import { tolerant } from '../../src/speculate/verifiers/tolerant.ts';

describe('readOptions', () => {
  it('drafts nothing and is greedy by default', () => {
    const settings = readOptions({});
    expect(settings.drafter.name).toBe('none');
    expect(settings.verifier).toBe(greedy);
    expect(settings).toMatchObject({ temperature: 0, seed: 0, draftLength: 'auto', stop: [] });
  });

  it('matches with shared noise when sampling, unless told otherwise', () => {
    expect(readOptions({ temperature: 1 }).verifier).toBe(match);
    expect(readOptions({ temperature: 1, verifier: rejection }).verifier).toBe(rejection);
    expect(readOptions({ verifier: rejection }).verifier).toBe(rejection);
  });

  it('names unknown options, the sampling options among them', () => {
    const unknown: object = { maxToken: 3, top_k: 4 };
    expect(() => readOptions(unknown)).toThrow(OptionError);
    expect(() => readOptions(unknown)).toThrow(/maxToken[\s\S]*top_k/);
  });

  it('names options outside their domain', () => {
    for (const [name, value] of Object.entries({
      maxTokens: 0,
      seed: -1,
      stop: '',
      draftLength: 129,
      temperature: -0.1,
      onAbort: 'ignore',
      verifier: 'greedy',
    }))
      expect(() => readOptions({ [name]: value }), name).toThrow(
        new RegExp(`generate: [\\s\\S]*${name}`),
      );
  });

  it('refuses verifiers for temperature 0 above it', () => {
    for (const verifier of [greedy, tolerant(2, 0.1)])
      expect(() => readOptions({ temperature: 0.5, verifier })).toThrow(
        `generate: expected temperature 0 with the ${verifier.name} verifier`,
      );
  });

  it('takes a number of tokens to draft, or auto', () => {
    expect(readOptions({ draftLength: 0 }).draftLength).toBe(0);
    expect(readOptions({ draftLength: 'auto' }).draftLength).toBe('auto');
    const wrong: object = { draftLength: 'many' };
    expect(() => readOptions(wrong)).toThrow(/generate: [\s\S]*draftLength/);
  });

  it('takes one stop string or several', () => {
    expect(readOptions({ stop: 'END' }).stop).toEqual(['END']);
    expect(readOptions({ stop: ['a', 'b'] }).stop).toEqual(['a', 'b']);
  });
});
