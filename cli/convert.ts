/** `sidenet convert`: a checkpoint in another format, type or layout. */
import { dirname, join, resolve } from "node:path";
import { type ConvertSource, convertTensors } from "../data/checkpoint/convert.ts";
import { type FloatDtype, narrow } from "../data/checkpoint/dtype.ts";
import { describeNonFinite, type NonFinite } from "../data/checkpoint/finite.ts";
import { type OpenWeights, openWeights } from "../data/checkpoint/open.ts";
import { streamSafetensors, type TensorToStream } from "../data/checkpoint/safetensors.ts";
import {
  encodeTorch,
  stateDict,
  TensorLeaf,
  TORCH_DTYPES,
  type TorchTree,
} from "../data/checkpoint/torch_write.ts";
import { writeFileWhole } from "../data/files.ts";
import { ConfigError, NonFiniteError } from "../lib/errors.ts";
import { backbonePlaces, frozenNames } from "../models/identify.ts";
import { huggingFaceConfig, inLayout, TARGET_LAYOUTS, type TargetLayout } from "../models/layout_out.ts";
import { underOurNames } from "../models/layouts.ts";
import { createModel } from "../models/mod.ts";
import { originalName } from "../models/parts/file_names.ts";
import { systemOf, SYSTEMS } from "../models/registry.ts";
import { activationOf } from "../train/files/backbone.ts";
import { keptWeights } from "../train/files/load_weights.ts";
import { configFrom } from "../train/recipe/config.ts";
import { modelSpec } from "../train/recipe/model.ts";
import { recipeOf, stateOf, wordsMetadata, wordsOf } from "../train/files/run_state.ts";
import { formatBytes, formatCount, shorten } from "../lib/text.ts";
import { defineCommand, type OptionValues, parseArguments } from "./shared/args.ts";
import { foreignText } from "./shared/foreign.ts";
import type { Io } from "./shared/output.ts";
import { fileOfWeights } from "./shared/weights.ts";
import { PUBLISHED_TITLE } from "./shared/published.ts";

export const command = defineCommand({
  name: "convert",
  summary: "Write a checkpoint in another format, type or layout",
  usage: "IN OUT",
  positionals: { min: 2, max: 2 },
  details:
    `IN is any checkpoint that inspect reads, or a run folder. The ending of OUT says its format: .safetensors, or .pt, .pth, .pyth, .bin for a
file that torch.load(..., weights_only=True) reads. Of a training checkpoint the state dict is converted, without the
"module.", "_orig_mod." and "model." that training tools put before names.
NaN and infinities are named; in the weights of a run they are refused, unless --all copies everything as it is.
The originals' test scripts want the weights under a key, the frozen backbone among them: --key and --backbone.
With --to a CLIP of any known layout gets other names, its values bit for bit; for huggingface config.json is written beside OUT
where there is none.`,
  examples: [
    ["sidenet convert ViT-B-16.pt ViT-B-16.safetensors", "OpenAI's file as safetensors"],
    [
      "sidenet convert model_best.pt side.safetensors --only trained",
      "the side network of a published checkpoint",
    ],
    [
      "sidenet convert ViT-B-16.pt clip/model.safetensors --to huggingface",
      "OpenAI's file for transformers' CLIPModel",
    ],
    [
      "sidenet convert runs/k400/best.safetensors model_best.pt --key model_state_dict --backbone ViT-B-16.pt",
      `a run for the published ${PUBLISHED_TITLE} test script`,
    ],
  ],
  options: {
    dtype: { type: "string", choices: ["f16", "f32", "bf16"], help: "type of all floating tensors" },
    only: { type: "string", choices: ["trained", "backbone"], help: "leave out the other part" },
    from: { type: "string", placeholder: "NAME", help: "dict of IN to take instead of its state dict" },
    strip: {
      type: "string",
      placeholder: "TEXT",
      help: "take this off the front of every name; others are left out",
    },
    prefix: { type: "string", placeholder: "TEXT", help: "put this in front of every name" },
    key: {
      type: "string",
      placeholder: "NAME",
      help: "put the weights under this key, with the epoch beside them",
    },
    backbone: { type: "string", placeholder: "FILE", help: "add the frozen backbone of this file, as f32" },
    to: {
      type: "string",
      choices: [...TARGET_LAYOUTS],
      help: "a CLIP of any layout under the names of OpenAI's files, or of transformers' CLIPModel",
    },
    all: { type: "boolean", help: "everything in IN, optimiser state and plain values included" },
  },
});

type Values = OptionValues<typeof command>;
type Format = "safetensors" | "torch";

const DTYPES: Readonly<Record<string, FloatDtype>> = { f16: "F16", f32: "F32", bf16: "BF16" };
const TORCH_ENDINGS = [".pt", ".pth", ".pyth", ".bin"];

export async function run(args: string[], io: Io): Promise<number> {
  const { values, positionals: [given, to] } = parseArguments(command, args);
  const format = formatOf(to);
  const from = await fileOfWeights(given, io, { notFetched: "convert fetches nothing" });
  checkFlags(values, { from, to, format });
  await using weights = await openWeights(
    from,
    values.all ? { key: "", prefix: "" } : { key: values.from, prefix: values.strip },
  );
  const overflow = { tensors: 0, values: 0 };
  const onOverflow = (_: string, count: number) => {
    overflow.tensors++;
    overflow.values += count;
  };
  const dtype = values.dtype === undefined ? undefined : DTYPES[values.dtype];
  const isOwn = recipeOf(weights) !== null && !values.all;
  const onNonFinite = (name: string, found: NonFinite) => {
    const what = describeNonFinite(name, found);
    // Weights of a run that went wrong are of no use to anyone. What others keep in their files is theirs to know.
    if (isOwn) throw new NonFiniteError(`Cannot convert "${from}": ${what}; --all copies it all the same`);
    io.note(`warning: ${what}`);
  };
  const laid = values.to === undefined ? weights : inLayout(weights, values.to as TargetLayout);
  const tensors = convertTensors(laid, {
    dtype,
    rename: renamer(values, weights),
    onOverflow,
    onNonFinite,
  });
  if (tensors.length === 0) {
    throw new ConfigError(
      `Cannot convert "${from}": --only ${values.only} must leave a tensor, it leaves none`,
    );
  }
  await using backbone = values.backbone === undefined ? null : await openWeights(values.backbone);
  if (backbone !== null) {
    const source = underOurs(backbone), places = backbonePlaces(weights, source);
    const rename = (name: string) => places.get(name) ?? null;
    tensors.push(...convertTensors(source, { dtype: dtype ?? "F32", rename, onOverflow, onNonFinite }));
  }
  const unheld = format === "torch" ? tensors.find((tensor) => !TORCH_DTYPES.has(tensor.dtype)) : undefined;
  if (unheld !== undefined) {
    throw new ConfigError(
      `Cannot convert "${from}" to "${to}": tensor "${
        shorten(unheld.name)
      }" must be of a type that PyTorch files hold ` +
        `(${
          [...TORCH_DTYPES].join(", ")
        }), current value is ${unheld.dtype}; name an OUT that ends in .safetensors`,
    );
  }
  await writeFileWhole(to, encode(weights, tensors, { values, format, metadata: await metadataOf(weights) }));
  if (values.to === "huggingface") await writeHuggingFaceConfig(weights, to, io);
  const { size } = await Deno.stat(to);
  const rename = renamer(values, weights);
  const unread = [...values.all ? weights.file.foreign : weights.foreign]
    .filter(([name]) => values.all || rename(name) !== null);
  if (unread.length > 0) {
    const instead = values.all && format === "torch" ? "has None in place of" : "does not have";
    io.note(`warning: "${to}" ${instead} what is not read of "${from}": ${foreignText(unread)}`);
  }
  if (overflow.values > 0) {
    io.note(
      `warning: ${formatCount(overflow.values)} values of ${
        formatCount(overflow.tensors)
      } tensors are beyond f16 and became infinite`,
    );
  }
  io.print(`${to}: ${formatCount(tensors.length)} tensors, ${formatBytes(size)}`);
  io.printJson({ path: to, format, tensors: tensors.length, bytes: size, overflowed: overflow.values });
  return 0;
}

/** Metadata of a file, with the table of words that earlier versions did not write into those of networks which read sentences. */
async function metadataOf(weights: OpenWeights): Promise<Readonly<Record<string, string>>> {
  const recipe = recipeOf(weights)?.config as { system?: string } | undefined;
  const reads = SYSTEMS.some(({ id, captions }) => id === recipe?.system && captions);
  return reads && wordsOf(weights) === null
    ? { ...weights.metadata, ...await wordsMetadata() }
    : weights.metadata;
}

/** The configuration that transformers reads beside a file of weights. */
async function writeHuggingFaceConfig(weights: OpenWeights, out: string, io: Io): Promise<void> {
  const path = join(dirname(out), "config.json"), { activation, by } = await activationOf(weights, undefined);
  const config = huggingFaceConfig(inLayout(weights, "openai"), { activation, heads: headsOf(weights) });
  if (config === null) {
    return io.note("no config.json is written: transformers' one is for a file with both towers");
  }
  if (await Deno.stat(path).then(() => true, () => false)) return io.note(`${path} is there and stays`);
  await writeFileWhole(path, [new TextEncoder().encode(`${JSON.stringify(config, null, 2)}\n`)]);
  io.note(
    `${path}: for transformers${
      by === null ? `; ${activation} is assumed, as nothing tells the activation` : ""
    }`,
  );
}

/** The heads of a small CLIP's towers, which its own recipe tells; undefined for others. */
function headsOf(weights: OpenWeights): { vision: number; text: number } | undefined {
  const recipe = recipeOf(weights)?.config as
    | { network?: Record<string, { heads?: number } | null> }
    | undefined;
  const vision = recipe?.network?.backbone?.heads, text = recipe?.network?.text?.heads;
  return vision && text ? { vision, text } : undefined;
}

/** A backbone's file in any layout, under the names that the originals' checkpoints give it. */
function underOurs(file: OpenWeights): ConvertSource {
  const laid = underOurNames(file)?.source ?? file;
  if (laid === file) return file;
  return { ...laid, dtypeOf: () => "F32", readRaw: async (name) => narrow(await laid.readF32(name), "F32") };
}

function formatOf(path: string): Format {
  const name = path.toLowerCase();
  if (name.endsWith(".safetensors")) return "safetensors";
  if (TORCH_ENDINGS.some((ending) => name.endsWith(ending))) return "torch";
  throw new ConfigError(
    `Cannot convert to "${path}": its name must end in .safetensors or ${TORCH_ENDINGS.join(", ")}`,
  );
}

function checkFlags(
  values: Values,
  { from, to, format }: { from: string; to: string; format: Format },
): void {
  const refuse = (what: string) => new ConfigError(`Cannot convert "${from}": ${what}`);
  if (resolve(from) === resolve(to)) throw refuse("OUT must be another file");
  if (values.key !== undefined && format !== "torch") {
    throw refuse("--key is for PyTorch files, OUT is safetensors");
  }
  const alone = (["only", "backbone"] as const).find((flag) => values[flag] !== undefined);
  if (values.to !== undefined && alone !== undefined) {
    throw refuse(`--to is for a CLIP alone, so --${alone} must be left out`);
  }
  if (!values.all) return;
  const other = (["only", "from", "strip", "prefix", "key", "backbone", "to"] as const).find((flag) =>
    values[flag] !== undefined
  );
  if (other !== undefined) throw refuse(`--all takes everything as it is, so --${other} must be left out`);
}

function renamer({ only, prefix = "" }: Values, weights: OpenWeights): (name: string) => string | null {
  const isFrozen = only === undefined ? null : frozenOfRun(weights) ?? frozenNames(weights);
  return (name) => isFrozen !== null && isFrozen(name) !== (only === "backbone") ? null : prefix + name;
}

/** Tells the trained tensors of a run's file by its recipe: all that its model keeps. Null where it holds none, or other names. */
function frozenOfRun(weights: OpenWeights): ((name: string) => boolean) | null {
  const kept = namesKept(weights);
  return kept !== null && weights.names().some((name) => kept.has(name)) ? (name) => !kept.has(name) : null;
}

function namesKept(weights: OpenWeights): Set<string> | null {
  const recipe = recipeOf(weights);
  if (recipe === null) return null;
  try {
    const { config } = configFrom(recipe.config, { source: weights.label, overrides: [] });
    const model = createModel(modelSpec(config)), { files } = systemOf(config.system);
    const names = [...keptWeights(model).map(({ name }) => name), ...model.weights.counters];
    return new Set(names.flatMap((name) => [name, originalName(files, name)])); // the prefix may have been taken off
  } catch (error) {
    if (error instanceof ConfigError) return null; // of another version: its names alone tell
    throw error;
  }
}

function encode(
  weights: OpenWeights,
  tensors: readonly TensorToStream[],
  { values, format, metadata: own }: { values: Values; format: Format; metadata: OpenWeights["metadata"] },
): AsyncIterable<Uint8Array> {
  if (format === "safetensors") {
    const metadata = values.to === undefined ? { format: "pt", ...own } : { format: "pt" };
    return streamSafetensors(tensors, { ...metadata, ...(values.all ? plainValues(weights) : {}) });
  }
  const { tree } = weights.file;
  if (values.all && tree !== null && weights.format !== "torchscript") {
    const byName = new Map(tensors.map((tensor) => [tensor.name, new TensorLeaf(tensor)]));
    const leaves = new Map([...tree.tensors].map(([name, view]) => [view, byName.get(name)!]));
    return encodeTorch(tree.root, { tensorOf: (view) => leaves.get(view)! });
  }
  const dict = stateDict(tensors), { to, prefix, only } = values;
  // Recipe and class names, of the whole network under its own names.
  const isWhole = recipeOf(weights) !== null && to === undefined && prefix === undefined &&
    only !== "backbone";
  const metadata = isWhole ? own : undefined;
  if (values.key === undefined) return encodeTorch(dict, { metadata });
  const epoch = epochOf(weights);
  return encodeTorch(
    new Map<string, TorchTree>([...(epoch === null ? [] : [["epoch", epoch] as const]), [values.key, dict]]),
    { metadata },
  );
}

/** The epoch that a checkpoint was written in, from 0; null where it does not say. */
function epochOf(weights: OpenWeights): number | null {
  if (recipeOf(weights) !== null) return stateOf(weights).state.epoch;
  const epoch = weights.file.values.get("epoch");
  return typeof epoch === "number" ? epoch : null;
}

/** Values that safetensors has no place for, as text beside the tensors. */
function plainValues({ file }: OpenWeights): Record<string, string> {
  const plain = [...file.values].filter(([, value]) => !(value instanceof Uint8Array))
    .map(([name, value]) => [name, typeof value === "bigint" ? String(value) : value]);
  return plain.length === 0 ? {} : { values: JSON.stringify(Object.fromEntries(plain)) };
}
