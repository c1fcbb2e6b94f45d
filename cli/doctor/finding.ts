/** A line of the report of `doctor`. */
export interface Finding {
  readonly topic: string;
  /**
   * `missing` is needed; `optional` is absent but not needed for training; `slow` works, with a consequence; a `warning` is something to
   * mend that does not keep training from running.
   */
  readonly state: "ok" | "missing" | "optional" | "warning" | "slow";
  readonly text: string;
  /** What to do. */
  readonly advice?: string;
}
