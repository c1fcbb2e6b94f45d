/** `sidenet explain`: what of a clip moved a model's decision. */
import { writeFileWhole } from "../../data/files.ts";
import { ConfigError } from "../../lib/errors.ts";
import { nearestName } from "../../lib/nearest_name.ts";
import { formatShare, progressBar } from "../../lib/text.ts";
import { renderOcclusionPage, shareWithout } from "../../pages/occlusion_page.ts";
import { explainClip } from "../../train/evaluation/occlusion.ts";
import { findTrainedModel } from "../../train/evaluation/trained_model.ts";
import { defineCommand, parseArguments } from "../shared/args.ts";
import type { Io } from "../shared/output.ts";
import { splitOverrides } from "../shared/overrides.ts";
import { requirePageFile } from "../shared/page_file.ts";
import { tunedChoices } from "../shared/tuned.ts";
import { tellStages } from "../text/stages.ts";

const BAR_WIDTH = 20;

export const command = defineCommand({
  name: "explain",
  summary: "Show what of a clip moved a model's decision, by patch and frame",
  usage: "RUN|CHECKPOINT CLIP [key=value …]",
  positionals: { min: 2 },
  details:
    `CLIP is a video file or a folder of frames. Each patch of each frame that the network sees is hidden behind the mean colour in turn, and
the class's probability looked at: where it falls, the patch has spoken for the class. --html shows it over the pictures. A grid of
g patches a side takes frames × (g² + 1) passes of the network.`,
  examples: [
    ["sidenet explain runs/demo clip.mp4 --html why.html", "why the best class"],
    ["sidenet explain runs/demo clip.mp4 --class left --grid 4", "what speaks for left, in larger patches"],
  ],
  options: {
    config: { type: "string", placeholder: "CONFIG", help: "recipe, for a checkpoint that holds none" },
    class: { type: "string", placeholder: "NAME", help: "the class to ask about, the best one by default" },
    grid: {
      type: "integer",
      min: 1,
      placeholder: "N",
      help: "patches of a picture's side, 7 or the backbone's own by default",
    },
    html: { type: "string", placeholder: "FILE", help: "also write a page with the frames" },
  },
});

export async function run(args: string[], io: Io): Promise<number> {
  const { values, positionals: [target, ...rest] } = parseArguments(command, args);
  const { overrides, others: [path, extra] } = splitOverrides(rest);
  if (path === undefined || extra !== undefined) {
    throw new ConfigError(
      `Cannot explain: there must be one clip, current value is ${
        extra === undefined ? "none" : `"${extra}" besides`
      }`,
    );
  }
  await requirePageFile(values.html);
  using stages = tellStages(io);
  stages.tell({ what: "reading the model" });
  const model = await findTrainedModel(target, { config: values.config, overrides });
  for (const remark of model.remarks) io.note(`warning: ${remark}`);
  const found = await explainClip(model, path, {
    index: values.class === undefined ? undefined : classIndex(values.class, model.labels),
    grid: values.grid,
    signal: io.signal,
    onNote: (text) => io.note(text),
    choices: await tunedChoices(io),
    stage: stages.tell,
  });
  stages.end();
  const label = model.labels[found.index], { byFrame, byPatch, grid } = found;
  if (values.html !== undefined) {
    await writeFileWhole(values.html, await renderOcclusionPage(found, { label, model: model.weights }));
  }
  const most = byFrame.reduce((a, b) => Math.max(a, Math.abs(b)), 1e-12);
  io.print(`${path}  ${label} ${formatShare(found.p)}`);
  byFrame.forEach((drop, frame) =>
    io.print(
      `  without frame ${String(frame + 1).padStart(2)}  ${
        progressBar(Math.max(0, drop) / most, BAR_WIDTH).padEnd(BAR_WIDTH)
      }  ${shareWithout(found.p, drop)}`,
    )
  );
  if (values.html !== undefined) io.print(`page: ${values.html}`);
  io.printJson({
    path,
    label,
    index: found.index,
    p: found.p,
    grid,
    frames: Array.from(byFrame, (drop, frame) => ({
      drop,
      patches: Array.from(
        { length: grid },
        (_, row) => [...byPatch.subarray((frame * grid + row) * grid, (frame * grid + row + 1) * grid)],
      ),
    })),
  });
  return 0;
}

/** A class by its name, or by its number from 0 where none has that name. */
function classIndex(name: string, labels: readonly string[]): number {
  const index = labels.indexOf(name);
  if (index >= 0) return index;
  if (/^\d+$/.test(name) && Number(name) < labels.length) return Number(name);
  const nearest = nearestName(name, labels);
  throw new ConfigError(
    `Cannot explain: --class must be one of the model's ${labels.length} classes, current value is "${name}"${
      nearest === undefined ? "" : `; the nearest is "${nearest}"`
    }`,
  );
}
