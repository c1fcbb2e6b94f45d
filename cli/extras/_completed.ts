/** What a shell's completion is made from. */

/** What a completion is made from. */
export interface Completed {
  readonly verbs: readonly CompletedVerb[];
  /** Dotted names of a recipe's keys. */
  readonly keys: readonly string[];
}

/** A verb as a shell completes it. */
export interface CompletedVerb {
  readonly name: string;
  readonly summary: string;
  readonly flags: readonly CompletedFlag[];
  /** Words that its first argument may be; null: files. */
  readonly words: readonly string[] | null;
  /** Its arguments may be keys of a recipe. */
  readonly takesKeys: boolean;
}

/** A flag as a shell completes it. */
export interface CompletedFlag {
  readonly name: string;
  readonly help: string;
  /** What stands behind it: nothing, one of some words, a file, or something that no shell knows. */
  readonly value: null | "file" | "any" | readonly string[];
}
