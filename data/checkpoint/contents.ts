/**
 * What a checkpoint holds, wherever its bytes come from: safetensors, `torch.save` archives and streams, TorchScript archives. What it
 * is, is read from its bytes, never from its name. A tensor is read when it is asked for.
 */
import { DataError } from "../../lib/errors.ts";
import { shorten } from "../../lib/text.ts";
import { flattenTree, type PlainValue } from "./_flatten.ts";
import { type Dtype, widen, widens } from "./dtype.ts";
import type { PyValue } from "./pickle_values.ts";
import { openSafetensors, type RangeSource, type TensorInfo } from "./safetensors.ts";
import type { TensorView } from "./tensor_view.ts";
import { isTorchStream, openTorchStream } from "./torch_legacy.ts";
import { openTorchZip } from "./torch_zip.ts";
import { isZip } from "./zip.ts";

export type { PlainValue } from "./_flatten.ts";

/** Containers that are read. */
export type CheckpointFormat = "safetensors" | "torch zip" | "torchscript" | "torch stream";

/** Everything a file holds, under its full paths: keys of nested dicts are joined by "/". */
export interface CheckpointFile {
  readonly label: string;
  readonly format: CheckpointFormat;
  /** Text beside the tensors of a safetensors file. */
  readonly metadata: Readonly<Record<string, string>>;
  /** Values that are no tensors, by path. */
  readonly values: ReadonlyMap<string, PlainValue>;
  /** Classes and objects that are not read, by path: the names of their globals. */
  readonly foreign: ReadonlyMap<string, string>;
  /** What a PyTorch file holds, as it is nested there, and its tensors by path; null for safetensors. */
  readonly tree: { readonly root: PyValue; readonly tensors: ReadonlyMap<string, TensorView> } | null;
  names(): string[];
  /** Type, shape and size of a tensor; undefined when there is none of that name. */
  describe(name: string): TensorInfo | undefined;
  /** The elements of a tensor, row by row, as they are stored. */
  readRaw(name: string): Promise<Uint8Array>;
}

/** The weights of a checkpoint: the state dict alone, without the dicts around it. */
export interface OpenWeights extends AsyncDisposable {
  readonly label: string;
  readonly format: CheckpointFormat;
  readonly metadata: Readonly<Record<string, string>>;
  /** The file with all that it holds. */
  readonly file: CheckpointFile;
  /** The dict of the file that was taken, such as "model_state_dict"; "" is the file itself. */
  readonly key: string;
  /** What was taken off names, and was not the same of all: "module.", "module._orig_mod.". */
  readonly prefixes: readonly string[];
  /** What stands under names where a tensor could, and is not read: the names of globals. */
  readonly foreign: ReadonlyMap<string, string>;
  names(): string[];
  /** Where a tensor stands in the file. */
  pathOf(name: string): string;
  /** Shape of a tensor; undefined when there is none of that name. */
  shapeOf(name: string): readonly number[] | undefined;
  /** Element type of a tensor; undefined when there is none of that name. */
  dtypeOf(name: string): Dtype | undefined;
  /** Whether `readF32` can give a tensor. */
  converts(name: string): boolean;
  /** Values as f32: narrower floats widen exactly, F64 and integers round to nearest. */
  readF32(name: string): Promise<Float32Array<ArrayBuffer>>;
  /** The stored bytes, row by row. */
  readRaw(name: string): Promise<Uint8Array>;
}

/** Dicts that hold the weights of a training checkpoint, in the order in which they are looked for. */
export const WEIGHT_KEYS = ["model_state_dict", "model_state", "state_dict", "model", "module"] as const;

/** What wraps a model, in the names of its weights: DistributedDataParallel, `torch.compile`, Lightning's modules. */
const WRAPPERS = /^(?:(?:module|_orig_mod|model)\.)+/;

/** Which part of a file to take. */
export interface OpenWeightsOptions {
  /** Dict of the file; "" for all of it. By default the first of `WEIGHT_KEYS` that is there, else all. */
  key?: string;
  /** Taken off every name; others are left out. By default what wraps a model, in any nesting, off those that have it. */
  prefix?: string;
}

/** Opens a checkpoint in any of the formats and checks everything that can be checked without reading tensors. */
export async function openCheckpointFile(
  source: RangeSource,
  options: { label: string },
): Promise<CheckpointFile> {
  const { label } = options;
  const start = await source.read(0, Math.min(64, source.sizeBytes));
  if (isZip(start) || isTorchStream(start)) {
    const torch = await (isZip(start) ? openTorchZip : openTorchStream)(source, options);
    const { tensors, values, foreign } = flattenTree(torch.root, options);
    if (tensors.size === 0) throw new DataError(`Cannot read "${label}": ${noTensors(foreign)}`);
    const find = (name: string) => {
      const view = tensors.get(name);
      if (!view) throw new DataError(`Cannot read "${label}": it must hold a tensor "${shorten(name)}"`);
      return view;
    };
    return {
      label,
      format: torch.format,
      metadata: torch.metadata ?? {},
      values,
      foreign,
      tree: { root: torch.root, tensors },
      names: () => [...tensors.keys()],
      describe: (name) => {
        const view = tensors.get(name);
        return view && { dtype: view.dtype, shape: view.shape, sizeBytes: view.sizeBytes };
      },
      readRaw: (name) => torch.read(find(name)),
    };
  }
  const other = otherContent(start);
  if (other !== null) throw new DataError(`Cannot read "${label}": it must be a checkpoint, ${other}`);
  const file = await openSafetensors(source, { label });
  return {
    label,
    format: "safetensors",
    metadata: file.metadata,
    values: new Map(),
    foreign: new Map(),
    tree: null,
    names: () => file.names(),
    describe: (name) => (file.has(name) ? file.describe(name) : undefined),
    readRaw: (name) => file.readRaw(name),
  };
}

/** Why a file of PyTorch's has no tensors: most often a model was saved where its weights should have been. */
function noTensors(foreign: ReadonlyMap<string, string>): string {
  const [first] = foreign;
  if (first === undefined) return "it must hold a tensor, it holds none";
  const [path, name] = first;
  const where = path === "" ? "it is" : `under "${shorten(path)}" it holds`;
  return `it must hold tensors by name, ${where} an object of "${
    shorten(name)
  }": save the state_dict() of it instead`;
}

/** What bytes that start no checkpoint look like; null for those that may start a safetensors file. */
function otherContent(start: Uint8Array): string | null {
  if (start.length >= 9 && start[8] === 0x7b) return null; // "{" after the length of the header
  const text = new TextDecoder("latin1").decode(start);
  if (text.startsWith("version https://git-lfs")) return "it is a Git LFS pointer: fetch the file itself";
  if (/^\s*<(!doctype|html|\?xml)/i.test(text)) return "it is a web page: the download was answered with one";
  if (start[0] === 0x80 && start[1] <= 5) return "it is a pickle that torch.save did not write";
  if (start.length < 9) return `it has ${start.length} bytes`;
  const isText = /^[\t\n\r\x20-\x7e]*$/.test(text);
  return `its first bytes are ${
    isText ? `the text ${JSON.stringify(text.slice(0, 24))}` : hex(start.subarray(0, 8))
  }`;
}

function hex(bytes: Uint8Array): string {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
}

/** The state dict of a file. */
export function selectWeights(
  file: CheckpointFile,
  options: OpenWeightsOptions = {},
): Omit<OpenWeights, typeof Symbol.asyncDispose> {
  const all = file.names();
  const key = options.key ?? WEIGHT_KEYS.find((name) => all.some((path) => path.startsWith(`${name}/`))) ??
    "";
  const folder = key === "" ? "" : `${key}/`;
  const inside = all.filter((path) => path.startsWith(folder)).map((path) => path.slice(folder.length));
  if (inside.length === 0) {
    const tops = new Set(all.map((path) => path.split("/")[0]));
    throw new DataError(
      `Cannot read "${file.label}": it must hold tensors under "${key}", it has ${
        [...tops].slice(0, 8).map((top) => shorten(top)).join(", ")
      }`,
    );
  }
  const { prefix } = options, prefixes = new Set<string>(), paths = new Map<string, string>();
  const taken = prefix === undefined ? inside : inside.filter((name) => name.startsWith(prefix));
  const wrappers = taken.map((name) => prefix ?? WRAPPERS.exec(name)?.[0] ?? "");
  const bare = taken.map((name, i) => name.slice(wrappers[i].length));
  const counts = new Map<string, number>();
  for (const name of bare) counts.set(name, (counts.get(name) ?? 0) + 1);
  taken.forEach((name, i) => {
    // One name behind two wrappers is that of two models: both keep what tells them apart.
    const isOwn = bare[i] !== "" && counts.get(bare[i]) === 1;
    paths.set(isOwn ? bare[i] : name, folder + name);
    if (isOwn && wrappers[i] !== "") prefixes.add(wrappers[i]);
  });
  if (paths.size === 0) {
    throw new DataError(
      `Cannot read "${file.label}": its names must start with "${prefix}", the first is "${
        shorten(inside[0])
      }"`,
    );
  }
  const pathOf = (name: string): string => {
    const path = paths.get(name);
    if (path === undefined) {
      throw new DataError(
        `Cannot read "${file.label}": it must hold a tensor "${
          shorten(name)
        }", current count of tensors is ${paths.size}, none of that name`,
      );
    }
    return path;
  };
  const foreign = new Map<string, string>();
  for (const [path, globalName] of file.foreign) {
    if (path.startsWith(folder)) foreign.set(path.slice(folder.length).replace(WRAPPERS, ""), globalName);
  }
  const describe = (name: string) => (paths.has(name) ? file.describe(paths.get(name)!) : undefined);
  return {
    label: file.label,
    format: file.format,
    metadata: file.metadata,
    file,
    key,
    prefixes: [...prefixes],
    foreign,
    names: () => [...paths.keys()],
    pathOf,
    shapeOf: (name) => describe(name)?.shape,
    dtypeOf: (name) => describe(name)?.dtype,
    converts: (name) => paths.has(name) && widens(describe(name)!.dtype),
    readRaw: (name) => file.readRaw(pathOf(name)),
    readF32: async (name) => {
      const raw = await file.readRaw(pathOf(name));
      return widen(raw, describe(name)!.dtype, { name, label: file.label });
    },
  };
}
