import { describe, expect, it } from 'vitest';
import { versionOf } from '../../scripts/version.ts';

describe('versionOf', () => {
  it('is the tag exactly on a tag', () => {
    expect(versionOf('v1.4.2-0-gabcdef123', 90, 'abcdef123')).toBe('1.4.2');
  });

  it('is the next minor version with the commits since the tag after it', () => {
    expect(versionOf('v1.4.2-7-gabcdef123', 90, 'abcdef123')).toBe('1.5.0-dev.7+gabcdef123');
    expect(versionOf('v0.9.0-1-g000000001', 90, '000000001')).toBe('0.10.0-dev.1+g000000001');
  });

  it('counts all commits towards 0.1.0 while there is no tag', () => {
    expect(versionOf(null, 12, 'abcdef123')).toBe('0.1.0-dev.12+gabcdef123');
  });

  it('refuses a tag that is not a version', () => {
    expect(() => versionOf('v1.4-0-gabcdef123', 1, 'abcdef123')).toThrow(
      'version: expected a tag like v1.2.3, got "v1.4-0-gabcdef123"',
    );
  });
});
