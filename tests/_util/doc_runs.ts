/**
 * How the commands of README.md, docs/ and configs/README.md are run by the tests: at tiny size, in a folder where what they name is there,
 * each kind once. `tests/docs_test.ts` holds all of them against the tables of the verbs, also those that are not run.
 *
 * A command of a new document needs nothing here where its files are in `doc_place.ts`. Where it does: a word that stands for
 * something belongs to WORDS, what makes a verb quick to SIZES, and a command that no test can run to NOT_RUN, with the reason.
 */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { VERBS } from "../../cli/_verbs.ts";
import { parseArguments } from "../../cli/shared/args.ts";
import { inDistProject } from "./dist_project.ts";
import { type DocCommand, placeOf } from "./doc_commands.ts";
import { DocPlace } from "./doc_place.ts";

/** What words of the documents stand for here; with a verb before them, in its commands alone. */
const WORDS: Record<string, string> = {
  RUN: "runs/demo",
  CHECKPOINT: "runs/demo/best.safetensors",
  "CHECKPOINT.pt": "runs/demo/best.safetensors",
  RECIPE: "tiny.yaml",
  "R.yaml": "tiny.yaml",
  FOLDER: "videos",
  CLIP: "clip.mp4",
  "PATH…": "clip.mp4",
  LIST: "demo_data/val.txt",
  "check DIR": "demo_data",
  "extract DIR": "features",
  "synth DIR": "drawn",
  "[SECTION|WORD]": "solver",
  "ViT-B-16": "clip.safetensors",
  "ViT-B-16.pt": "clip.safetensors",
  "runs/demo_tds": "runs/videos",
  "search index": "videos.index",
};

const TINY = ["solver.max_steps=1", "logging.example_clips=1", "data.workers=1"];
const SMALL = [
  "network.backbone={ image_size: 16, patch_size: 8, width: 32, layers: 1, heads: 1 }",
  "data.num_segments=4",
];
const DRAWN = ["data.synth.train_clips=8", "data.synth.val_clips=4", "data.batch_size=4", ...TINY];

/** Arguments that make a command quick: the first of a verb that fits. */
const SIZES: readonly (readonly [command: RegExp, more: readonly string[]])[] = [
  // What needs a published set or weights is planned, whose lists and files are not looked at.
  [/^train .*\b(network\.weights=|pretrain=|VIDEO\.BACKBONE\.)/, ["--plan-only"]],
  [/^train --resume/, ["solver.max_steps=2"]],
  [/^train .*data\.features=/, ["solver.max_steps=1"]],
  [/^train( configs\/demo\w*\.yaml)?$/, DRAWN],
  [/^train tiny\.yaml/, ["solver.max_steps=1"]],
  [/^train videos .*--tiny/, ["data.batch_size=4", ...SMALL, ...TINY]],
  // With CLIP's weights, or without network with a small network in their place, as tests/cli/own_videos_test.ts does it.
  [/^train videos/, ["--plan-only"]],
  [/^synth /, ["--train-clips", "4", "--val-clips", "3"]],
  [/^explain /, ["--grid", "1"]],
  // Random views are stored by the epoch, others once.
  [/^extract /, ["solver.epochs=1", "data.random_shift=false", "data.crop=centre"]],
];

/** What is not run, and why. */
const NOT_RUN: readonly (readonly [command: RegExp, why: string])[] = [
  [/^(…|(VERB|NAME|deno|fmt|lint|run|task|test|ok)\b)/, "no verb: the checks of the project itself"],
  [/^bench /, "it measures for minutes; tests/cli/bench_test.ts measures little"],
  [
    /\.pyth /,
    "a checkpoint of the authors'; tests/train/recipe/dialects and tests/train/files read files of that form",
  ],
  [
    / --config configs\/side4video\//,
    "a checkpoint of the authors', at full size; docs_test.ts takes its keys apart",
  ],
];

/** What compiles for long, and what goes on where that ends: `tests/full/docs_runs_test.ts` runs it. */
const SLOW = /^train configs\/demo_(clip|retrieval)\.yaml|\bdemo_pictures\b|\bpictures\.index\b/;

/** Commands that others need come first. */
const ORDER = [/^(synth|prepare)/, /^train (?!--resume)(?!.*data\.features=)/, /^(extract|index)/, /^/];

/** A command, as it is run here. */
export interface Run {
  readonly from: DocCommand;
  readonly args: readonly string[];
}

/** The commands to run: each verb with a kind of target and its flags once. @param options.slow Those that are run among the slow tests. */
export async function runsOf(commands: readonly DocCommand[], options: { slow: boolean }): Promise<Run[]> {
  const runs = new Map<string, Run>();
  for (const from of commands.filter(({ file }) => !file.endsWith(".yaml"))) {
    const given = from.args.slice(0, 2).join(" ") === "task sidenet" ? from.args.slice(2) : from.args;
    const line = given.join(" ");
    if (NOT_RUN.some(([command]) => command.test(line)) || SLOW.test(line) !== options.slow) continue;
    const [verb, ...rest] = given.filter((word) => word !== "…").map((word) =>
      WORDS[`${given[0]} ${word}`] ?? WORDS[word] ?? word
    );
    // In a sentence a verb may stand without what it needs.
    if (from.isInline && rest.length === 0 && !["train", "doctor"].includes(verb)) continue;
    const words = [verb, ...rest.map(runOf)];
    const more = SIZES.find(([command]) => command.test(words.join(" ")))?.[1] ?? [];
    const args = [...words, ...more];
    const found = VERBS.find(({ name }) => name === verb);
    if (found === undefined) continue; // docs_test.ts names it
    const { values, positionals } = parseArguments((await found.load()).command, args.slice(1));
    const flags = Object.entries(values).filter(([, value]) => String(value) !== "").map(([name]) => name);
    // Recipes of a folder are of a kind, and so are runs; without a recipe the demo is trained.
    const target = (positionals.find((word) => !word.includes("=")) ?? "configs/demo.yaml")
      .replace(/^(configs\/\w+)\/.*|^(runs)\/\w+$/, "$1$2");
    const stored = args.some((word) => word.startsWith("data.features=")) ? "from features" : "";
    const key = [verb, target, stored, ...flags.sort()].join(" ");
    if (!runs.has(key)) runs.set(key, { from, args });
  }
  const rank = ({ args }: Run) => ORDER.findIndex((pattern) => pattern.test(args.join(" ")));
  return [...runs.values()].sort((a, b) => rank(a) - rank(b));
}

/** Runs that no command makes are the demo's. */
const runOf = (word: string) => /^runs\/\w+$/.test(word) && !MADE.includes(word) ? "runs/demo" : word;
const MADE = ["runs/demo", "runs/videos"];

/** Runs a command where it must succeed, and write what it says it writes. */
export async function checkRun({ from, args }: Run): Promise<void> {
  place ??= await DocPlace.create();
  const expanded = args.flatMap((word) => place!.expand(word));
  await inDistProject(async (checkout) => {
    const known = expanded.map((word) => word.replace(/^configs\/projects\//, `${checkout}/$&`));
    const { code, stdout, stderr } = await place!.sidenet(known);
    const told = `${placeOf(from)}\nran as: ${known.join(" ")}\n${stdout}${stderr}`;
    assert.equal(code, 0, told);
    assert.notEqual(stdout + stderr, "", told);
    for (const [i, word] of known.entries()) {
      if (!["--html", "--out", "--annotate", "--csv"].includes(word)) continue;
      assert.ok(existsSync(place!.file(known[i + 1])), `${told}\nthere is no ${known[i + 1]}`);
    }
  });
}

let place: DocPlace | undefined;
addEventListener("unload", () => place && Deno.removeSync(place.path, { recursive: true }));
