/** ONNX files as bytes, a weight at a time: the model with its weights inside, or with their values in a file beside it. */

import { sizeOf } from "../gpu/graph.ts";
import { toHalfArray } from "../lib/half.ts";
import {
  ELEMENT,
  type Entry,
  EXTERNAL,
  FIELD,
  fieldHead,
  GRAPH,
  IR_VERSION,
  MODEL,
  OPSET,
  type StoredTensor,
  TENSOR,
} from "./schema.ts";
import type { Translated } from "./translate.ts";
import type { Stored } from "./writer.ts";

/** Values of a weight, all of them, by its name. */
export type ReadWeight = (name: string) => Promise<Float32Array>;

/** Most bytes of a file that keeps its weights inside: protobuf ends at 2 GiB, and the graph needs room. */
export const MOST_INSIDE = 2 ** 31 - 2 ** 26;
/** Tensors below this size stay in the model: runtimes read shapes and constants from there. */
const LEAST_EXTERNAL = 1024;
/** Where tensors begin in a file of their own: pages, so that they can be mapped. */
const PAGE = 4096;

/** What the file says of itself. */
export interface FileInfo {
  readonly producerVersion: string;
  readonly description: string;
  readonly metadata: Readonly<Record<string, string>>;
}

/** Bytes of a stored tensor. */
export function storedBytes({ shape, content }: Stored): number {
  const each = content.kind === "int64" ? 8 : content.kind === "weight" && content.half ? 2 : 4;
  return sizeOf(shape) * each;
}

/** Bytes of all of them. */
export function weightBytes(stored: readonly Stored[]): number {
  return stored.reduce((sum, each) => sum + storedBytes(each), 0);
}

/** Those whose values lie in the file beside the model, each with its place there. */
function places(stored: readonly Stored[]): Map<Stored, number> {
  const found = new Map<Stored, number>();
  let end = 0;
  for (const each of byWeight(stored)) {
    if (storedBytes(each) < LEAST_EXTERNAL) continue;
    const start = Math.ceil(end / PAGE) * PAGE;
    found.set(each, start);
    end = start + storedBytes(each);
  }
  return found;
}

/** Windows of one weight one after the other, so that it is read once. */
function byWeight(stored: readonly Stored[]): Stored[] {
  const keyOf = ({ name, content }: Stored) => content.kind === "weight" ? content.weight : name;
  return [...Map.groupBy(stored, keyOf).values()].flat();
}

/**
 * The model's file in pieces.
 *
 * @param options.beside The name of the file in which large tensors lie; null: they lie inside.
 */
export async function* modelBytes(
  graph: Translated,
  info: FileInfo,
  { read, beside }: { read: ReadWeight; beside: string | null },
): AsyncGenerator<Uint8Array> {
  const external = beside === null ? new Map<Stored, number>() : places(graph.stored);
  const { name, nodes: node, inputs: input, outputs: output } = graph;
  const head = GRAPH.encode({ name, node, input, output });
  const tensors = byWeight(graph.stored).map((stored) => ({
    stored,
    ...pieceOf(stored, external.get(stored), beside),
  }));
  const length = tensors.reduce((sum, { bytes }) => sum + bytes, head.length);
  yield MODEL.encode({
    irVersion: IR_VERSION,
    producerName: "sidenet",
    producerVersion: info.producerVersion,
    docString: info.description,
    opsetImport: [{ domain: "", version: OPSET }],
    metadataProps: Object.entries(info.metadata).map(([key, value]): Entry => ({ key, value })),
  });
  yield fieldHead(FIELD.graph, length);
  yield head;
  const values = lastRead(read);
  for (const { stored, start, inside } of tensors) {
    yield start;
    if (inside) yield await valuesOf(stored, values);
  }
}

/** The file beside the model in pieces. */
export async function* besideBytes(graph: Translated, read: ReadWeight): AsyncGenerator<Uint8Array> {
  const values = lastRead(read);
  let end = 0;
  for (const [stored, start] of places(graph.stored)) {
    if (start > end) yield new Uint8Array(start - end);
    const bytes = await valuesOf(stored, values);
    yield bytes;
    end = start + bytes.length;
  }
}

/** What stands before a tensor's values in the model's file, and the bytes of both there. */
function pieceOf(stored: Stored, place: number | undefined, beside: string | null) {
  const { name, shape: dims } = stored, inside = place === undefined, length = storedBytes(stored);
  const tensor: StoredTensor = { name, dims, dataType: typeOf(stored) };
  const own = TENSOR.encode(
    inside ? tensor : {
      ...tensor,
      dataLocation: EXTERNAL,
      externalData: [
        { key: "location", value: beside! },
        { key: "offset", value: String(place) },
        { key: "length", value: String(length) },
      ],
    },
  );
  const message = inside ? joined(own, fieldHead(FIELD.rawData, length)) : own;
  const start = joined(fieldHead(FIELD.initializer, message.length + (inside ? length : 0)), message);
  return { start, inside, bytes: start.length + (inside ? length : 0) };
}

function typeOf({ content }: Stored): number {
  if (content.kind === "int64") return ELEMENT.int64;
  return content.kind === "weight" && content.half ? ELEMENT.float16 : ELEMENT.float;
}

/** A tensor's values as they are stored: little-endian, as everything that WebGPU runs on. */
async function valuesOf({ shape, content }: Stored, read: ReadWeight): Promise<Uint8Array> {
  if (content.kind === "int64") return asBytes(BigInt64Array.from(content.values, BigInt));
  if (content.kind === "float") return asBytes(content.values);
  const window = (await read(content.weight)).subarray(content.offset, content.offset + sizeOf(shape));
  return asBytes(content.half ? toHalfArray(window) : window);
}

function asBytes({ buffer, byteOffset, byteLength }: ArrayBufferView): Uint8Array {
  return new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength);
}

function joined(a: Uint8Array, b: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(a.length + b.length);
  bytes.set(a);
  bytes.set(b, a.length);
  return bytes;
}

/** Keeps the last weight that was read. */
function lastRead(read: ReadWeight): ReadWeight {
  let last: { name: string; values: Promise<Float32Array> } | null = null;
  return (name) => {
    if (last?.name !== name) last = { name, values: read(name) };
    return last.values;
  };
}
