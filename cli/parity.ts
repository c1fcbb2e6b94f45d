/** `sidenet parity`: replays recorded reference cases and compares every group they hold. */
import type { Config } from "../train/recipe/config.ts";
import { RECOMPUTED } from "../train/tasks/session_options.ts";
import { openGpu } from "../gpu/device.ts";
import { replayCase } from "../train/parity/replay.ts";
import { defineCommand, parseArguments } from "./shared/args.ts";
import type { Io } from "./shared/output.ts";

export const command = defineCommand({
  name: "parity",
  summary: "Replay recorded reference cases on this machine's GPU",
  usage: "CASE.json…",
  positionals: { min: 1 },
  details:
    `A case is a JSON description beside a safetensors file with start weights, inputs, and what PyTorch computed from
them: logits, losses, activations, gradients, and the weights after a few optimiser steps. The model of the case is built
at the case's size, run, and compared group by group. The exit code is 0 only when every group holds.`,
  examples: [["sidenet parity tests/fixtures/*/tiny.json", "the smallest case of every system"]],
  options: {
    memory: {
      type: "string",
      choices: ["recompute", "keep", "least"],
      help: "what the backward pass does with side blocks, recompute by default",
    },
  },
});

export async function run(args: string[], io: Io): Promise<number> {
  const { values, positionals } = parseArguments(command, args);
  using gpu = await openGpu();
  io.note(`adapter: ${gpu.name}`);
  let failed = 0;
  for (const path of positionals) {
    const groups = await replayCase(gpu, path, {
      recompute: RECOMPUTED[values.memory as Config["memory"] ?? "recompute"],
    });
    if (groups.some((group) => !group.ok)) failed++;
    for (const group of groups) {
      io.printJson(group);
      const { case: name, group: label, max_abs: abs, max_rel: rel, tolerance, ok, worst } = group;
      if (!io.json) {
        const line =
          `${name.padEnd(18)} ${label.padEnd(26)} abs ${abs.toExponential(2)}  rel ${
            rel.toExponential(2)
          }  ` +
          `tolerance ${tolerance.toExponential(0)}  ${ok ? "ok" : "FAIL"}`;
        io.print(!ok && worst ? `${line}  (${worst})` : line);
      }
    }
  }
  io.printJson({ cases: positionals.length, failed });
  io.note(
    failed === 0
      ? `${positionals.length} cases hold`
      : `${failed} of ${positionals.length} cases do not hold`,
  );
  return failed === 0 ? 0 : 1;
}
