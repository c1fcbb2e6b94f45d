/** `sidenet plan`: what a recipe takes, before anything is allocated. */
import { loadConfig } from "../train/recipe/config.ts";
import { defineCommand, parseArguments } from "./shared/args.ts";
import type { Io } from "./shared/output.ts";
import { PUBLISHED_RECIPE } from "./shared/published.ts";
import { printPlan } from "./shared/plan_text.ts";

export const command = defineCommand({
  name: "plan",
  summary: "Print the bytes, FLOPs and steps of a recipe without allocating anything",
  usage: "CONFIG [key=value …]",
  positionals: { min: 1 },
  details:
    `The plan is exact: a run on such a GPU allocates what it says. No GPU is needed: the limits and kernels of a common one
are assumed. On an adapter with smaller limits a batch goes through in parts, and the run says in how many.`,
  examples: [
    [`sidenet plan ${PUBLISHED_RECIPE}`, "the memory of a published recipe"],
    [
      `sidenet plan ${PUBLISHED_RECIPE} data.batch_size=8 --steps`,
      "every step with its buffers",
    ],
  ],
  options: {
    steps: { type: "boolean", help: "also list every step: allocate, run, free, with bytes" },
  },
});

export async function run(args: string[], io: Io): Promise<number> {
  const { values, positionals } = parseArguments(command, args);
  const [path, ...overrides] = positionals;
  const { config, warnings } = await loadConfig(path, overrides);
  for (const warning of warnings) io.note(`warning: ${warning}`);
  return printPlan(config, io, { steps: values.steps });
}
