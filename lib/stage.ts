/** What a person who waits is told: a stage of the work, and how far it is where that can be counted. */
export interface Stage {
  /** "looking at the clips"; with counts "compiling", of things named by `unit`. */
  readonly what: string;
  readonly done?: number;
  readonly of?: number;
  /** What is counted: "pipelines". */
  readonly unit?: string;
}

/** Takes note of a stage that begins or has moved on. */
export type TellStage = (stage: Stage) => void;
