/** What a shell's completion is made from. */

/** What a completion is made from. */
export interface Completed {
  readonly verbs: readonly CompletedVerb[];
  /** A recipe's keys: dotted names, and the words that a value is one of; none where it is something else. */
  readonly keys: readonly { readonly name: string; readonly values: readonly string[] }[];
}

/** A verb as a shell completes it. */
export interface CompletedVerb {
  readonly name: string;
  readonly summary: string;
  readonly flags: readonly CompletedFlag[];
  /** Words that are offered for its first argument; null: files. */
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
