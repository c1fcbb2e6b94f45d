/** `sidenet inspect`: what a checkpoint holds, and which model it looks like. */
import { elementsOf } from "../data/checkpoint/dtype.ts";
import { openWeights } from "../data/checkpoint/open.ts";
import { sha256OfFile } from "../data/sha256.ts";
import { clipTower } from "../models/clip/tower.ts";
import { describeIdentity, identify } from "../models/identify.ts";
import { activationOf, type Told } from "../train/files/backbone.ts";
import { checkKnownWeights } from "../train/files/known_weights.ts";
import { shownMetadata } from "../train/files/run_state.ts";
import { formatBytes, formatCount, shorten } from "../lib/text.ts";
import { defineCommand, parseArguments } from "./shared/args.ts";
import { foreignText } from "./shared/foreign.ts";
import type { Io } from "./shared/output.ts";
import { fileOfWeights } from "./shared/weights.ts";

export const command = defineCommand({
  name: "inspect",
  summary: "Say what a checkpoint holds and which model it looks like",
  usage: "FILE|RUN",
  positionals: { min: 1, max: 1 },
  details:
    `FILE is a safetensors file, anything torch.save wrote (.pt, .pth, .pyth, .bin) or a TorchScript archive such as OpenAI's
CLIP files, RUN a run folder, of which the best weights are taken. Published weights that are here can be given by name (ViT-B-16).
Nothing in it is executed, and tensors are not read. Of a training checkpoint the state dict is listed; --all
lists everything, optimiser state and plain values included. Where the name or the contents promise one of OpenAI's
files, its SHA-256 is compared with the published one.`,
  examples: [
    ["sidenet inspect ViT-B-16.pt", "names, shapes, types, and whether it is OpenAI's file"],
    ["sidenet inspect last_model.pt --all", "with epoch and optimiser state"],
    ["sidenet inspect runs/demo", "the best weights of a run"],
  ],
  options: {
    all: { type: "boolean", help: "everything in the file, not the state dict alone" },
    key: { type: "string", placeholder: "NAME", help: "dict of the file to list instead of its state dict" },
    sha256: { type: "boolean", help: "the file's SHA-256, whatever it is" },
  },
});

export async function run(args: string[], io: Io): Promise<number> {
  const { values, positionals: [given] } = parseArguments(command, args);
  const path = await fileOfWeights(given, io, { notFetched: "inspect fetches nothing" });
  await using weights = await openWeights(path, values.all ? { key: "", prefix: "" } : { key: values.key });
  const { size } = await Deno.stat(path);
  const known = await checkKnownWeights(path);
  const sha256 = known?.sha256 ?? (values.sha256 ? await sha256OfFile(path) : null);
  const tensors = weights.names().map((name) => {
    const [shape, dtype] = [weights.shapeOf(name)!, weights.dtypeOf(name)!];
    const sizeBytes = weights.file.describe(weights.pathOf(name))!.sizeBytes;
    return { name, dtype, shape, bytes: sizeBytes };
  });
  // The state dict tells what the model is, whichever part is listed.
  await using model = values.all || values.key !== undefined ? await openWeights(path) : null;
  const identity = identify(model ?? weights);
  const activation = identity.system === clipTower.title
    ? await activationOf(model ?? weights, sha256 ?? undefined)
    : null;
  const totals = {
    tensors: tensors.length,
    elements: tensors.reduce((sum, { shape }) => sum + elementsOf(shape), 0),
    bytes: tensors.reduce((sum, { bytes }) => sum + bytes, 0),
  };
  const plain = values.all ? [...weights.file.values] : [], foreign = [...weights.file.foreign];
  for (const { name, dtype, shape, bytes } of tensors) {
    io.print(`${name}  [${shape.join(" ")}]  ${dtype}  ${formatBytes(bytes)}`);
  }
  for (const [name, value] of plain) io.print(`${name} = ${text(value)}`);
  if (values.all) {
    for (const [name, type] of foreign) io.print(`${shorten(name)} = object of ${shorten(type)}, not read`);
  }
  io.print(`${path}: ${weights.format}, ${formatBytes(size)}`);
  const prefixes = weights.prefixes.map((prefix) => `"${prefix}"`).join(", ");
  if (weights.key !== "" || prefixes !== "") {
    const prefix = prefixes === "" ? "" : `, ${prefixes} taken off the names`;
    io.print(`listed: ${weights.key === "" ? "all" : `"${weights.key}"`}${prefix}`);
  }
  io.print(
    `${formatCount(totals.tensors)} tensors, ${formatCount(totals.elements)} elements, ${
      formatBytes(totals.bytes)
    } (${typesOf(tensors)})`,
  );
  if (foreign.length > 0) io.print(`not read: ${foreignText(foreign)}`);
  io.print(`looks like: ${describeIdentity(identity)}`);
  if (activation !== null) io.print(`activation: ${activationText(activation)}`);
  if (known !== null) io.print(known.ok ? known.text : `warning: ${known.text}`);
  else if (sha256 !== null) io.print(`SHA-256: ${sha256}`);
  io.printJson({
    path,
    format: weights.format,
    file_bytes: size,
    key: weights.key,
    prefix: weights.prefixes.join(", "),
    ...totals,
    looks_like: {
      text: describeIdentity(identity),
      system: identity.system,
      backbone: identity.backbone,
      classes: identity.classes,
      side_dim: identity.sideDim,
      holds_backbone: identity.holdsBackbone,
      holds_trained: identity.holdsTrained,
      layout: identity.layout,
      activation: activation?.by == null ? null : activation.activation,
    },
    sha256,
    known: known && { expected: known.expected, is: known.is, ok: known.ok },
    metadata: shownMetadata(weights.metadata),
    values: plain.map(([name, value]) => ({ name, value: jsonValue(value) })),
    foreign: foreign.map(([name, type]) => ({ name, type })),
    list: tensors,
  });
  return 0;
}

/** Types with their counts: "300 F16, 2 F32". */
function typesOf(tensors: readonly { dtype: string }[]): string {
  const counts = new Map<string, number>();
  for (const { dtype } of tensors) counts.set(dtype, (counts.get(dtype) ?? 0) + 1);
  return [...counts].map(([dtype, count]) => `${formatCount(count)} ${dtype}`).join(", ");
}

function activationText({ activation, by }: Told): string {
  return by === null ? "the file does not say it; a run assumes quick_gelu" : `${activation}, as ${by} says`;
}

const MAX_TEXT = 100;

function text(value: unknown): string {
  if (value === null) return "None";
  const words = value instanceof Uint8Array
    ? `${value.length} bytes`
    : typeof value === "string"
    ? JSON.stringify(value)
    : String(value);
  return words.length > MAX_TEXT ? `${words.slice(0, MAX_TEXT)}…` : words;
}

/** JSON has no integers beyond 2^53, no infinities and no bytes. */
function jsonValue(value: unknown): unknown {
  if (typeof value === "bigint") return String(value);
  if (typeof value === "number" && !Number.isFinite(value)) return String(value);
  return value instanceof Uint8Array ? `${value.length} bytes` : value;
}
