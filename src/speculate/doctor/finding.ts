// What an examination finds. Types only.

/** How grave a finding is: what is broken, what costs acceptance or may, what was looked at and is as it should be. */
export type Gravity = 'error' | 'warning' | 'fine';

/** One thing that was looked at. */
export interface Finding {
  readonly gravity: Gravity;
  /** What it is about, in a word or two: `vocabulary`, `d2t`, `weights`, … */
  readonly subject: string;
  readonly message: string;
}
