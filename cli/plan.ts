/** `sidenet plan`: what a recipe takes, before anything is allocated. */
import { ConfigError } from "../lib/errors.ts";
import { defineCommand, parseArguments } from "./shared/args.ts";
import type { Io } from "./shared/output.ts";
import { PUBLISHED_RECIPE } from "./shared/published.ts";
import { splitAssignments } from "./shared/overrides.ts";
import { printPlan } from "./shared/plan_text.ts";
import { bandwidthOf, printScaling, requireRanks, SCALING_OPTIONS } from "./ranks/scaling.ts";
import { findRecipe, RECIPE_OPTIONS, recipeToPlan, tellFolder } from "./shared/recipes.ts";
import { sourcesOf } from "./shared/sources.ts";

export const command = defineCommand({
  name: "plan",
  summary: "Print the bytes, FLOPs and steps of a recipe without allocating anything",
  usage: "CONFIG|FOLDER|RUN [key=value …]",
  positionals: { min: 1 },
  details:
    `CONFIG is a recipe, FOLDER a folder as train takes it, with a recipe or without, RUN a run folder. The plan is exact: a run on such a GPU allocates what it says. No GPU is needed: the limits and kernels of a common one
are assumed. On an adapter with smaller limits a batch goes through in parts, and the run says in how many. The time of a step is an estimate: from
what bench peak has measured on this adapter, or with --adapter from what is published of another or was measured on it here. --ranks measures a step and the loading of clips on this machine, and prints how long steps of the
same batch would take on more ranks.`,
  examples: [
    [`sidenet plan ${PUBLISHED_RECIPE}`, "the memory of a published recipe"],
    [
      `sidenet plan ${PUBLISHED_RECIPE} data.batch_size=8 --steps`,
      "every step with its buffers",
    ],
    [`sidenet plan ${PUBLISHED_RECIPE} --adapter "RTX 4090"`, "how long a step would take there, about"],
    ["sidenet plan configs/demo.yaml --ranks 64 --bandwidth 25GB/s", "where more cards stop paying"],
    ["sidenet plan videos", "what training on a folder of clips would take"],
  ],
  options: {
    tiny: RECIPE_OPTIONS.tiny,
    adapter: {
      type: "string",
      placeholder: "NAME",
      help: 'estimate the step\'s time for this card, such as "RTX 4090", from its published peaks',
    },
    steps: { type: "boolean", help: "also list every step: allocate, run, free, with bytes" },
    ...SCALING_OPTIONS,
  },
});

export async function run(args: string[], io: Io): Promise<number> {
  const { values, positionals } = parseArguments(command, args);
  requireRanks(values);
  const { overrides, others } = splitAssignments(positionals), sources = await sourcesOf(others, "plan");
  const found = await findRecipe(sources, { tiny: values.tiny, overrides, needsWeights: false }, io);
  if (found === null) {
    throw new ConfigError(
      "Cannot plan: a recipe, a folder of clips or a run must be given, current count is 0",
    );
  }
  if (found.folder !== undefined) tellFolder(sources.folder!.path, found.folder, io);
  for (const warning of found.warnings) io.note(`warning: ${warning}`);
  if (values.ranks !== undefined) bandwidthOf(values.bandwidth); // before anything is printed
  const config = await recipeToPlan(found, overrides, io);
  const code = await printPlan(config, io, { steps: values.steps, adapter: values.adapter });
  if (values.ranks === undefined) return code;
  const { ranks, bandwidth, "ranks-per-node": ranksPerNode } = values;
  await printScaling(config, { ranks, bandwidth, ranksPerNode }, io);
  return code;
}
