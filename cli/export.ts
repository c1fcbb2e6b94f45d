/** `sidenet export`: a trained model as an ONNX file, checked by onnxruntime where that is installed. */
import { dirname } from "node:path";
import manifest from "../deno.json" with { type: "json" };
import { requireWritableFolder } from "../data/files.ts";
import { ConfigError } from "../lib/errors.ts";
import { formatBytes, formatCount } from "../lib/text.ts";
import { findTrainedModel, type LocateBackbone } from "../train/evaluation/trained_model.ts";
import type { CheckResult } from "../train/export/check.ts";
import { type ExportedFile, type ExportedModel, exportModel } from "../train/export/export_model.ts";
import { findEmbeddingModel, isBackboneAlone } from "../train/search/embedding_model.ts";
import { defineCommand, parseArguments } from "./shared/args.ts";
import type { Io } from "./shared/output.ts";
import { splitAssignments } from "./shared/overrides.ts";
import { tellStages } from "./text/stages.ts";
import { tunedChoices } from "./shared/tuned.ts";
import { findTarget, WEIGHTS_OPTIONS } from "./shared/weights.ts";

export const command = defineCommand({
  name: "export",
  summary: "Write a trained model as an ONNX file, for other engines",
  usage: "RUN|CHECKPOINT --out model.onnx [key=value …]",
  positionals: { min: 1 },
  details:
    `RUN is a run folder, of which the best weights are taken; CHECKPOINT is a safetensors file, with --config where it
holds no recipe, or a CLIP checkpoint as it is. Frozen tower and side network become one graph (opset 17): frames in, shaped
[batch, frames, 3, height, width] and normalised, and the network's outputs. The batch is free, the number of frames is not. How
frames are chosen and prepared, and the names of the classes, stand in the file's metadata. A network for retrieval becomes two
files, one of clips and one of sentences (model.text.onnx). --check runs the files in onnxruntime on random clips, if that is
installed, and compares the outputs with those of sidenet.`,
  examples: [
    ["sidenet export runs/demo --out demo.onnx", "weights in f32"],
    [
      "sidenet export runs/demo --out demo.onnx --dtype f16 --with-preprocessing",
      "half the size; decoded frames in",
    ],
    ["sidenet export runs/demo --out demo.onnx --check", "compare it in onnxruntime"],
  ],
  options: {
    config: { type: "string", placeholder: "CONFIG", help: "recipe, for a checkpoint that holds none" },
    out: { type: "string", placeholder: "FILE", help: "the ONNX file" },
    dtype: {
      type: "string",
      choices: ["f32", "f16"],
      help: "storage of matrices, f32 by default; arithmetic is f32",
    },
    "with-preprocessing": {
      type: "boolean",
      help: "take uint8 frames of the input's size, channels last, and normalise them inside",
    },
    external: { type: "boolean", help: "weights in a file of their own, FILE.data; above 2 GB always" },
    check: { type: "boolean", help: "compare the files with the model in onnxruntime" },
    ...WEIGHTS_OPTIONS,
  },
});

export async function run(args: string[], io: Io): Promise<number> {
  const { values, positionals } = parseArguments(command, args);
  const { out, config, dtype = "f32" } = values;
  const { overrides, others: [given, extra] } = splitAssignments(positionals);
  if (extra !== undefined) {
    throw new ConfigError(`Cannot run "${io.program} export": there is no place for the argument "${extra}"`);
  }
  if (out === undefined) {
    throw new ConfigError('Cannot export: --out must name the file, such as "model.onnx"');
  }
  if (!/\.onnx$/i.test(out)) {
    throw new ConfigError(`Cannot export to "${out}": the name must end in .onnx`);
  }
  if (given === undefined) {
    throw new ConfigError("Cannot export: a run or a checkpoint must be named, current value is missing");
  }
  await requireFileName(out);
  using stages = tellStages(io);
  stages.tell({ what: "reading the model" });
  const { target, locate } = await findTarget(given, io, { offline: values.offline });
  const model = await findModel(target, { config, overrides, locate, io });
  const { files, check } = await exportModel(model, {
    out,
    dtype: dtype as "f32" | "f16",
    withPreprocessing: values["with-preprocessing"] ?? false,
    external: values.external ?? false,
    check: values.check ?? false,
    version: manifest.version,
    choices: await tunedChoices(io),
    signal: io.signal,
    stage: stages.tell,
    onOpened: (adapter) => {
      stages.end();
      io.note(`adapter: ${adapter}`);
    },
    onStage: (text) => io.status(text),
  });
  for (const file of files) io.print(describeFile(file));
  if (check) printCheck(check, io);
  io.printJson({ files, check });
  return check && !check.ok ? 1 : 0;
}

/** @throws {ConfigError | DataError} where no file can be written under the name */
async function requireFileName(out: string): Promise<void> {
  const isFolder = await Deno.stat(out).then(({ isDirectory }) => isDirectory, () => false);
  if (isFolder) {
    throw new ConfigError(`Cannot export to "${out}": it must be a file, current value is a folder`);
  }
  await requireWritableFolder(dirname(out));
}

async function findModel(
  target: string,
  { config, overrides, locate, io }: {
    config?: string;
    overrides: readonly string[];
    locate: LocateBackbone;
    io: Io;
  },
): Promise<ExportedModel> {
  if (config === undefined && await isBackboneAlone(target)) {
    const { warnings, ...plain } = await findEmbeddingModel({ target, config: null, overrides, locate });
    for (const warning of warnings) io.note(`warning: ${warning}`);
    return { ...plain, labels: [] };
  }
  const { remarks, weights, config: recipe, labels } = await findTrainedModel(target, {
    config,
    overrides,
    locate,
  });
  for (const remark of remarks) io.note(`warning: ${remark}`);
  return { weights, config: recipe, labels, isPlain: false };
}

function describeFile({ path, weights, bytes, nodes, inputs, outputs }: ExportedFile): string {
  const beside = weights === null ? "" : ` and ${weights}`;
  return `${path}${beside}: ${formatBytes(bytes)}, ${formatCount(nodes)} operators, ${inputs.join(", ")} → ${
    outputs.join(", ")
  }`;
}

function printCheck({ differences, largest, tolerance, ok, ms }: CheckResult, io: Io): void {
  const batches = [...new Set(differences.map(({ batch }) => batch))].join(", ");
  const outputs = [...new Set(differences.map(({ output }) => output))].join(", ");
  io.print(
    `check: ${outputs} of batches of ${batches} differ by ${
      largest.toExponential(1)
    } of the largest value, ` +
      `${ok ? "within" : "more than"} ${tolerance.toExponential(0)}`,
  );
  io.print(
    `one clip: onnxruntime (CPU) ${ms.onnxruntime.toFixed(1)} ms, here ${ms.here.toFixed(1)} ms ` +
      `(${(ms.onnxruntime / ms.here).toFixed(2)} times)`,
  );
}
