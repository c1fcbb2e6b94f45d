/** `sidenet page`: a page that runs a trained model on videos in a browser, with the model inside. */
import { basename } from "node:path";
import { bytesOfFile, reading, writeFileWhole } from "../../data/files.ts";
import { ConfigError } from "../../lib/errors.ts";
import { formatBytes } from "../../lib/text.ts";
import { createModel } from "../../models/mod.ts";
import { systemOf } from "../../models/registry.ts";
import { buildWebPage } from "../../pages/web/build.ts";
import { findTrainedModel, type TrainedModel } from "../../train/evaluation/trained_model.ts";
import { holdsBackbone, openCheckpoint } from "../../train/files/checkpoint.ts";
import { recipeOf, wordsOf } from "../../train/files/run_state.ts";
import { modelSpec } from "../../train/recipe/model.ts";
import { defineCommand, parseArguments } from "../shared/args.ts";
import type { Io } from "../shared/output.ts";
import { requirePageFile } from "../shared/page_file.ts";
import { findTarget, WEIGHTS_OPTIONS } from "../shared/weights.ts";

const DEFAULT_OUT = "page.html";
/** Bytes of model and backbone in a page, at most: browsers hold the text, its bytes and the GPU's copy at once. */
const MOST_BYTES = 100 * 2 ** 20;

export const command = defineCommand({
  name: "page",
  summary: "Write a page that runs a trained model on videos in a browser",
  usage: "[RUN|CHECKPOINT]",
  positionals: { min: 0, max: 1 },
  details:
    `The page is one HTML file with the model inside, to be handed on: whoever opens it in a browser with WebGPU drops videos
on it, or turns a camera on, and sees which class is when, or finds parts of the videos by a sentence where the model is one for retrieval, computed
by the same kernels, on their machine alone. RUN is a run folder; a
checkpoint must hold its recipe, as best.safetensors does. The frozen backbone comes along, where the model was trained beside a file of one.
Larger ones than ${
      formatBytes(MOST_BYTES)
    } are refused: --without-model writes the page alone, on which the model's files are dropped with the videos.`,
  examples: [
    ["sidenet page runs/demo", `writes ${DEFAULT_OUT}`],
    ["sidenet page runs/demo --out /tmp/gestures.html", "under a name of its own"],
    ["sidenet page --without-model", "for models of any size, which are dropped on it"],
  ],
  options: {
    out: { type: "string", placeholder: "FILE", help: `where the page goes; ${DEFAULT_OUT} by default` },
    "without-model": { type: "boolean", help: "the page alone; models are dropped on it" },
    offline: WEIGHTS_OPTIONS.offline,
  },
});

export async function run(args: string[], io: Io): Promise<number> {
  const { values, positionals: [named] } = parseArguments(command, args);
  const out = values.out ?? DEFAULT_OUT;
  await requirePageFile(out, "--out");
  const isBare = values["without-model"] ?? false;
  if (isBare !== (named === undefined)) {
    throw new ConfigError(
      isBare
        ? `Cannot write a page of "${named}": --without-model writes one without any, give one of the two`
        : 'Cannot run "sidenet page": expected RUN|CHECKPOINT or --without-model, current value is no argument',
    );
  }
  if (isBare) return await write(await page(io, {}), { out, files: [], io });
  const { target, locate } = await findTarget(named, io, { offline: values.offline });
  const trained = await findTrainedModel(target, { overrides: [], locate });
  const { files, needsWords, searches } = await filesOf(trained);
  const sizes = await Promise.all(files.map((file) => reading(file, () => Deno.stat(file))));
  const total = sizes.reduce((sum, { size }) => sum + size, 0);
  if (total > MOST_BYTES) {
    throw new ConfigError(
      `Cannot write a page of "${named}": its files must have at most ${
        formatBytes(MOST_BYTES)
      } together, current size is ` +
        `${formatBytes(total)}; write a page with --without-model and drop ${files.join(" and ")} on it`,
    );
  }
  const built = await page(io, {
    title: trained.config.name,
    words: needsWords,
    searches,
    files: await Promise.all(
      files.map(async (file) => ({ name: basename(file), bytes: await bytesOfFile(file, MOST_BYTES) })),
    ),
  });
  return await write(built, { out, files, io });
}

async function page(io: Io, options: Parameters<typeof buildWebPage>[0]): Promise<string> {
  io.status("building the page");
  return await buildWebPage(options);
}

async function write(
  page: string,
  { out, files, io }: { out: string; files: readonly string[]; io: Io },
): Promise<number> {
  await writeFileWhole(out, page);
  const { size: bytes } = await Deno.stat(out);
  io.print(`page: ${out}, ${formatBytes(bytes)}; open it in a browser with WebGPU, such as Chrome or Edge`);
  io.printJson({ page: out, bytes, files });
  return 0;
}

/** The files that a page needs: the weights, and the backbone where they do not hold it; and whether it must bring the table of words. */
async function filesOf(
  { weights, config }: TrainedModel,
): Promise<{ files: string[]; needsWords: boolean; searches: boolean }> {
  const { weights: backbone, init } = config.network;
  await using source = await openCheckpoint(weights);
  if (recipeOf(source) === null) {
    throw new ConfigError(
      `Cannot write a page of "${weights}": it must hold its recipe, as the best.safetensors of a run does`,
    );
  }
  const model = createModel(modelSpec(config)), system = systemOf(config.system);
  const isElsewhere = backbone !== null && init && !holdsBackbone(source, { model, system });
  const searches = model.text !== undefined, needsWords = searches && wordsOf(source) === null;
  return { files: isElsewhere ? [weights, backbone] : [weights], needsWords, searches };
}
