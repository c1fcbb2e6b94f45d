/** `sidenet card`: a run as a model card for a hub. */
import { createHash } from "node:crypto";
import { basename, join } from "node:path";
import { reading, textOfFile, textOfFileIfAny, writeFileWhole } from "../../data/files.ts";
import { ConfigError, DataError } from "../../lib/errors.ts";
import { CARD_FILE, type CardEvaluation, renderModelCard } from "./_model_card.ts";
import { EVALUATION_FILES } from "../../train/evaluation/evaluation_files.ts";
import { validationSet } from "../../train/run/settings.ts";
import { findTrainedModel } from "../../train/evaluation/trained_model.ts";
import { parseSummary } from "../../train/files/records.ts";
import { requireRunFolder, RUN_FILES } from "../../train/files/run_folder.ts";
import { taskOfRecipe } from "../../train/tasks/session_options.ts";
import project from "../../deno.json" with { type: "json" };
import { defineCommand, parseArguments } from "../shared/args.ts";
import type { Io } from "../shared/output.ts";

/** A licence that the Hub knows for one that nobody has said. */
const UNKNOWN_LICENSE = "unknown";

export const command = defineCommand({
  name: "card",
  summary: "Write a run's model card: README.md in the form of Hugging Face's",
  usage: "RUN",
  positionals: { min: 1, max: 1 },
  details:
    `RUN is a run folder whose training has ended. The card tells results, how to use the weights, data, recipe, parameters and
memory, and in its metadata licence, task, data sets and metrics; evaluations that eval has written beside the weights are part
of it. Paths of this machine are left out. A card that has been edited since, or that was written by hand, stays as it is without --force.`,
  examples: [
    ["sidenet card runs/demo --license mit", "writes runs/demo/README.md"],
    [
      "sidenet card runs/ssv2 --license cc-by-nc-4.0 --dataset HuggingFaceM4/something_something_v2",
      "with the data set's name on the Hub",
    ],
  ],
  options: {
    license: {
      type: "string",
      placeholder: "ID",
      help: `licence of the weights, such as mit; "${UNKNOWN_LICENSE}" by default`,
    },
    dataset: { type: "string", placeholder: "ID", multiple: true, help: "data set, as the Hub names it" },
    out: {
      type: "string",
      placeholder: "FILE",
      help: `where the card goes; ${CARD_FILE} in the run folder by default`,
    },
    force: { type: "boolean", help: "also in place of a card that has been edited" },
  },
});

export async function run(args: string[], io: Io): Promise<number> {
  const { values, positionals: [path] } = parseArguments(command, args);
  const license = values.license ?? UNKNOWN_LICENSE;
  if (!/^[a-z0-9][a-z0-9.-]*$/.test(license)) {
    throw new ConfigError(
      `Cannot write the card: --license must be an identifier of a licence in lower case, such as mit or apache-2.0, current value is "${license}"`,
    );
  }
  await requireRunFolder(path);
  const summaryFile = join(path, RUN_FILES.summary), summary = await textOfFileIfAny(summaryFile);
  if (summary === null) {
    throw new DataError(
      `Cannot write the card of "${path}": the run must have ended, there is no ${RUN_FILES.summary} in it; go on with train --resume ${path}`,
    );
  }
  const { config, labels, weights } = await findTrainedModel(path, { overrides: [] });
  const { size: bytes } = await reading(weights, () => Deno.stat(weights));
  const card = renderModelCard({
    config,
    task: taskOfRecipe(config),
    summary: parseSummary(summary, summaryFile),
    labels,
    evaluations: await evaluationsIn(path),
    validationClips: (await validationSet({ path, config })).clips,
    weights: { name: basename(weights), bytes },
    license,
    datasets: values.dataset,
    version: project.version,
  });
  const out = values.out ?? join(path, CARD_FILE);
  await requireOwn(out, { force: values.force ?? false });
  await writeFileWhole(out, card + seal(card));
  if (values.license === undefined) {
    io.note(`the card says "license: ${UNKNOWN_LICENSE}": name one with --license, such as --license mit`);
  }
  io.print(`card: ${out}`);
  io.printJson({ card: out, license, weights });
  return 0;
}

/** What evaluations beside the weights say, by the names of their folders. */
async function evaluationsIn(path: string): Promise<CardEvaluation[]> {
  const found: CardEvaluation[] = [];
  for await (const { name, isDirectory } of Deno.readDir(path)) {
    if (!isDirectory || !/^eval(_|$)/.test(name)) continue;
    const file = join(path, name, EVALUATION_FILES.figures), text = await textOfFileIfAny(file);
    if (text === null) continue;
    try {
      const figures: unknown = JSON.parse(text);
      if (figures !== null && typeof figures === "object") found.push({ name, figures: { ...figures } });
    } catch {
      throw new DataError(`Cannot read "${file}": it must be JSON; eval writes it anew`);
    }
  }
  return found.sort((a, b) => a.name < b.name ? -1 : 1);
}

/** The last line of a card, by which it is seen whether somebody has edited it. */
function seal(card: string): string {
  return `\n<!-- written by sidenet card, ${
    createHash("sha256").update(card).digest("hex").slice(0, 16)
  } -->\n`;
}

/** Refuses a file that is no card, or one that has been edited. */
async function requireOwn(file: string, { force }: { force: boolean }): Promise<void> {
  if (force || await textOfFileIfAny(file) === null) return;
  const text = await textOfFile(file), end = text.lastIndexOf("\n<!-- written by sidenet card, ");
  if (end >= 0 && text.slice(end) === seal(text.slice(0, end))) return;
  throw new DataError(
    `Cannot write "${file}": it has been edited since card wrote it, or was not written by card; use --out FILE, or --force to replace it`,
  );
}
