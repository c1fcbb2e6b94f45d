/** The table of verbs. The imports are literal, so that `deno compile` can follow them, and lazy, so that help is quick. */
import type { Command } from "./shared/args.ts";
import type { Io } from "./shared/output.ts";

/** What a verb's file exports. */
export interface VerbModule {
  command: Command;
  /** Runs the verb. Returns the exit code; throws for an error. */
  run(args: string[], io: Io): Promise<number>;
}

/** A row of the table. `summary` repeats the verb's own, so that the list of verbs loads none of them. */
export interface Verb {
  name: string;
  summary: string;
  load(): Promise<VerbModule>;
}

export const VERBS: readonly Verb[] = [
  {
    name: "train",
    summary: "Train a side network from a recipe; without one, the demo",
    load: () => import("./train.ts"),
  },
  {
    name: "extract",
    summary: "Store what the frozen backbone gives, so that training need not run it",
    load: () => import("./extract.ts"),
  },
  {
    name: "eval",
    summary: "Evaluate a run or a checkpoint with the published multi-view protocol",
    load: () => import("./eval.ts"),
  },
  {
    name: "predict",
    summary: "Print the five best classes for video files and folders of frames",
    load: () => import("./predict.ts"),
  },
  {
    name: "explain",
    summary: "Show what of a clip moved a model's decision, by patch and frame",
    load: () => import("./extras/explain.ts"),
  },
  {
    name: "index",
    summary: "Embed a collection of clips, so that it can be searched with sentences",
    load: () => import("./index.ts"),
  },
  {
    name: "search",
    summary: "Find clips of an index with a sentence",
    load: () => import("./search.ts"),
  },
  {
    name: "compare",
    summary: "Put runs side by side: accuracy, memory, speed, parameters, settings",
    load: () => import("./compare.ts"),
  },
  {
    name: "card",
    summary: "Write a run's model card: README.md in the form of Hugging Face's",
    load: () => import("./extras/card.ts"),
  },
  {
    name: "page",
    summary: "Write a page that runs a trained model on videos in a browser",
    load: () => import("./extras/page.ts"),
  },
  {
    name: "plan",
    summary: "Print the bytes, FLOPs and steps of a recipe without allocating anything",
    load: () => import("./plan.ts"),
  },
  {
    name: "keys",
    summary: "Say what the keys of a recipe are, take and default to",
    load: () => import("./keys.ts"),
  },
  {
    name: "inspect",
    summary: "Say what a checkpoint holds and which model it looks like",
    load: () => import("./inspect.ts"),
  },
  {
    name: "convert",
    summary: "Write a checkpoint in another format, type or layout",
    load: () => import("./convert.ts"),
  },
  {
    name: "export",
    summary: "Write a trained model as an ONNX file, for other engines",
    load: () => import("./export.ts"),
  },
  {
    name: "prepare",
    summary: "Make lists of clips from folders or the files of known data sets",
    load: () => import("./prepare.ts"),
  },
  {
    name: "check",
    summary: "Read every clip of a list once and report what is wrong",
    load: () => import("./check.ts"),
  },
  {
    name: "synth",
    summary:
      "Write a synthetic data set: clips whose motion is the class, or pictures and clips with captions",
    load: () => import("./synth.ts"),
  },
  {
    name: "parity",
    summary: "Replay recorded reference cases on this machine's GPU",
    load: () => import("./parity.ts"),
  },
  {
    name: "bench",
    summary: "Measure kernels and training steps",
    load: () => import("./bench.ts"),
  },
  {
    name: "completions",
    summary: "Print the completion of verbs, flags and keys for a shell",
    load: async () => (await import("./extras/completions.ts")).completionsOf(VERBS),
  },
  {
    name: "licenses",
    summary: "List versions and licences of what sidenet is made of",
    load: () => import("./extras/licenses.ts"),
  },
  {
    name: "doctor",
    summary: "Say what works on this machine and what to install",
    load: () => import("./doctor.ts"),
  },
];
