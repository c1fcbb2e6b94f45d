/** A trained model as ONNX files, with its weights and what is to be known for using it. */

import { rm } from "node:fs/promises";
import { basename } from "node:path";
import type { ClipRecord } from "../../data/datasets/list.ts";
import { writeFileWhole } from "../../data/files.ts";
import { DataError } from "../../lib/errors.ts";
import type { TellStage } from "../../lib/stage.ts";
import { createModel } from "../../models/mod.ts";
import { besideBytes, type FileInfo, modelBytes, MOST_INSIDE, weightBytes } from "../../onnx/file.ts";
import type { Translated } from "../../onnx/translate.ts";
import { openTrainedModel } from "../evaluation/trained_model.ts";
import type { Config } from "../recipe/config.ts";
import { modelSpec } from "../recipe/model.ts";
import type { Session } from "../runtime/session.ts";
import type { TunedChoices } from "../runtime/device/tuned.ts";
import { openEmbeddingSession } from "../search/model_embedder.ts";
import { checkFiles, type CheckResult, sentencesQuery } from "./check.ts";
import { clipMetadata, sentenceMetadata } from "./describe.ts";
import { clipGraph, type GraphOptions, sentenceGraph } from "./graphs.ts";
import { openRuntime } from "./runtime.ts";

/** A model to export: what `findTrainedModel` gives, or a CLIP checkpoint as it is. */
export interface ExportedModel {
  readonly weights: string;
  readonly config: Config;
  readonly labels: readonly string[];
  /** There are no weights but those of `network.weights`; false by default. */
  readonly isPlain?: boolean;
}

/** How to export. */
export interface ExportOptions extends Partial<GraphOptions> {
  /** The file of clips; that of sentences stands beside it. */
  readonly out: string;
  /** Weights in a file of their own, also where they would fit inside; false by default. */
  readonly external?: boolean;
  /** Compares the files with the model; false by default. */
  readonly check?: boolean;
  /** Of the program, for the file's metadata. */
  readonly version?: string;
  readonly choices?: TunedChoices;
  /** Ends it with no file half written. */
  readonly signal?: AbortSignal;
  readonly onOpened?: (adapter: string) => void;
  /** Told what is being done until the model is open. */
  readonly stage?: TellStage;
  /** Told what is being done then. */
  readonly onStage?: (text: string) => void;
}

/** A written file. */
export interface ExportedFile {
  readonly path: string;
  /** The file that holds its weights; null: they are inside. */
  readonly weights: string | null;
  readonly bytes: number;
  readonly nodes: number;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
}

/** What was written, and what the check found. */
export interface ExportResult {
  readonly files: readonly ExportedFile[];
  readonly check: CheckResult | null;
}

const DEFAULTS = {
  dtype: "f32",
  withPreprocessing: false,
  external: false,
  check: false,
  version: "0",
} as const;
/** Beyond this a number has no half. */
const HALF_LIMIT = 65520;

/** The file of sentences beside one of clips: `model.onnx` and `model.text.onnx`. */
export function sentencesPath(out: string): string {
  return out.replace(/(\.onnx)?$/i, ".text.onnx");
}

/**
 * Writes a model as ONNX: frozen tower and side network in one graph of a free batch; in a network for retrieval also its text tower,
 * as a graph of its own. The GPU holds the weights meanwhile, in f32 whatever the recipe says.
 *
 * @throws {DataError} where a file cannot be written, or a weight is too large for f16
 */
export async function exportModel(asked: ExportedModel, options: ExportOptions): Promise<ExportResult> {
  if (options.check) openRuntime(options.out);
  const config: Config = { ...asked.config, precision: "f32", frozen: "resident" };
  await using session = await openModel({ ...asked, config }, options);
  options.onOpened?.(session.adapter);
  return await exportSession(session, { ...asked, config }, options);
}

/** The same of a model that is on the GPU; it evaluates one clip at a time, and one that reads sentences answers `sentencesQuery`. */
export async function exportSession(
  session: Session,
  asked: Omit<ExportedModel, "isPlain">,
  options: ExportOptions,
): Promise<ExportResult> {
  const settled = { ...DEFAULTS, ...options }, { out, check, signal } = settled, { model } = session;
  const files = await writeAll(session, { ...asked, model }, settled);
  signal?.throwIfAborted();
  if (check) options.onStage?.("checking");
  const paths = { clips: out, sentences: files[1]?.path ?? null }, seed = asked.config.seed;
  return { files, check: check ? await checkFiles(session, paths, { ...settled, seed }) : null };
}

/** Writes the files of a model, which belong together: of an export that is ended before the last one, none stays. */
async function writeAll(
  session: Session,
  about: Omit<ExportedModel, "isPlain"> & { model: Session["model"] },
  options: ExportOptions & Required<GraphOptions & Pick<ExportOptions, "external" | "version">>,
): Promise<ExportedFile[]> {
  const { model } = about, { out, signal } = options, whole: string[] = [];
  const settled = { ...options, onWhole: (path: string) => whole.push(path) };
  try {
    const clips = await writeGraph(session, clipGraph(model, options), {
      ...settled,
      metadata: clipMetadata(about, options),
    });
    if (!model.text) return [clips];
    const sentences = await writeGraph(session, sentenceGraph(model, options), {
      ...settled,
      out: sentencesPath(out),
      metadata: sentenceMetadata(about, options),
    });
    return [clips, sentences];
  } catch (error) {
    if (signal?.aborted) { for (const path of whole) await rm(path, { force: true }); }
    throw error;
  }
}

/** Writes what the network of a session makes of clips, weights inside, and nothing about how it came to be. */
export async function exportClips(
  session: Session,
  options: GraphOptions & Pick<ExportOptions, "out">,
): Promise<ExportedFile> {
  return await writeGraph(session, clipGraph(session.model, options), {
    ...DEFAULTS,
    ...options,
    metadata: {},
  });
}

/** The model on the GPU, for one clip at a time. */
async function openModel(
  { weights, config, labels, isPlain }: ExportedModel,
  { choices, stage, signal }: Pick<ExportOptions, "choices" | "stage" | "signal">,
): Promise<Session> {
  const model = createModel(modelSpec(config)), clips: ClipRecord[] = [];
  const opening = { clips, choices, stage, signal, ...model.text && { queries: [sentencesQuery(model)] } };
  return isPlain
    ? await openEmbeddingSession({ weights, config, isPlain, warnings: [] }, { ...opening, atOnce: 1 })
    : await openTrainedModel({ weights, config, labels: [...labels] }, { ...opening, root: "", batch: 1 });
}

async function writeGraph(
  session: Session,
  graph: Translated,
  { out, external, dtype, version, metadata, onStage, signal, onWhole }:
    & Required<Pick<ExportOptions, "out" | "external" | "dtype" | "version">>
    & Pick<ExportOptions, "onStage" | "signal">
    & { metadata: Readonly<Record<string, string>>; onWhole?: (path: string) => void },
): Promise<ExportedFile> {
  const bytes = weightBytes(graph.stored);
  const beside = external || bytes > MOST_INSIDE ? `${out}.data` : null;
  const info: FileInfo = {
    producerVersion: version,
    description: [metadata.title, metadata.backbone, graph.name].filter(Boolean).join(" "),
    metadata,
  };
  const read = (name: string) => readWeight(session, name, { out, dtype });
  let written = 0;
  async function* counted(chunks: AsyncIterable<Uint8Array>) {
    for await (const chunk of chunks) {
      signal?.throwIfAborted();
      yield chunk;
      written += chunk.length;
      onStage?.(`writing ${basename(out)}: ${Math.round(100 * Math.min(1, written / bytes))} %`);
    }
  }
  if (beside !== null) {
    await writeFileWhole(beside, counted(besideBytes(graph, read)));
    onWhole?.(beside);
  }
  await writeFileWhole(out, counted(modelBytes(graph, info, { read, beside: beside && basename(beside) })));
  onWhole?.(out);
  return {
    path: out,
    weights: beside,
    bytes: written,
    nodes: graph.nodes.length,
    inputs: graph.inputs.map(({ name }) => name),
    outputs: graph.outputs.map(({ name }) => name),
  };
}

/** @throws {DataError} naming a weight that is too large to be stored in f16 */
async function readWeight(
  session: Session,
  name: string,
  { out, dtype }: { out: string; dtype: GraphOptions["dtype"] },
): Promise<Float32Array> {
  const values = (await session.read([name])).get(name)!;
  const beyond = dtype === "f16" ? values.find((value) => Math.abs(value) >= HALF_LIMIT) : undefined;
  if (beyond === undefined) return values;
  throw new DataError(
    `Cannot write "${out}": weight "${name}" must be below ${HALF_LIMIT} to be stored in f16, current value is ${beyond}; use --dtype f32`,
  );
}
