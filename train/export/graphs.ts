/** The graphs of a model that leave: what it makes of clips, and, in a network for retrieval, what it makes of sentences. */

import { Graph, resident, sizeOf, type Tensor } from "../../gpu/graph.ts";
import { picturesOf, type VideoModel } from "../../models/video_model.ts";
import { ELEMENT } from "../../onnx/schema.ts";
import { type GivenInput, translate, type Translated } from "../../onnx/translate.ts";
import type { OnnxWriter } from "../../onnx/writer.ts";
import { CLIP_STATISTICS } from "../../pixels/normalise.ts";

/** How a model is translated. */
export interface GraphOptions {
  /** Storage type of matrices; vectors and all arithmetic are f32. */
  readonly dtype: "f32" | "f16";
  /** Frames are given as bytes, and normalised inside. */
  readonly withPreprocessing: boolean;
}

/** The input of clips, and that of sentences. */
export const FRAMES_INPUT = "frames", IDS_INPUT = "ids";

/** The name of one of the model's outputs in the file, where a name stands for one thing. */
export function outputName(name: string): string {
  return name === FRAMES_INPUT ? "frame_embeddings" : name;
}

/** Shape of one clip as it is given: pictures channels first, or bytes channels last; T frames, or T windows of W pictures. */
export function clipShape(
  model: VideoModel,
  { withPreprocessing }: Pick<GraphOptions, "withPreprocessing">,
): number[] {
  const { frames, backbone: { imageSize: side } } = model.config, { window = 1 } = model;
  const time = window === 1 ? [frames] : [frames, window];
  return withPreprocessing ? [...time, side, side, 3] : [...time, 3, side, side];
}

/** What a model makes of clips: all outputs of its forward pass. */
export function clipGraph(model: VideoModel, options: GraphOptions): Translated {
  const side = model.config.backbone.imageSize, pictures = picturesOf(model);
  return translate({
    name: "clips",
    record: (clips) => {
      const g = new Graph();
      const frames = resident("input", FRAMES_INPUT, [clips * pictures, 3, side, side]);
      const { outputs } = model.forward(g, { frames }, { mode: "eval" });
      const named = Object.entries(outputs).map(([name, tensor]) => [outputName(name), tensor]);
      return { g, inputs: { [FRAMES_INPUT]: frames }, outputs: Object.fromEntries(named) };
    },
    weightName: namesOf(model),
    halves: options.dtype === "f16",
    given: { [FRAMES_INPUT]: framesInput(model, options) },
  });
}

/** What a network for retrieval makes of sentences: ids alone are given, the end of each is where its largest stands. */
export function sentenceGraph(model: VideoModel, { dtype }: GraphOptions): Translated {
  const text = model.text!, { words } = text;
  return translate({
    name: "sentences",
    record: (sentences) => {
      const g = new Graph();
      const ids = resident("input", IDS_INPUT, [sentences, words], "u32");
      const ends = resident("input", "ends", [sentences], "u32");
      const word_mask = resident("input", "word_mask", [sentences, words]);
      const outputs = text.encode(g, { ids, ends, word_mask }, { mode: "eval" });
      return { g, inputs: { [IDS_INPUT]: ids }, derived: { ends }, outputs };
    },
    derive: { ends: (w) => w.op("ArgMax", [IDS_INPUT], { axis: 1, keepdims: 0 }) },
    weightName: namesOf(model),
    halves: dtype === "f16",
  });
}

/** Names of weights by the tensors that hold them. */
function namesOf({ weights }: VideoModel): (tensor: Tensor) => string | undefined {
  const names = new Map(weights.list.map(({ tensor, name }) => [tensor.id, name]));
  return ({ id }) => names.get(id);
}

/** Clips as they are given, and the pictures that the model reads. */
function framesInput(model: VideoModel, options: GraphOptions): GivenInput {
  const shape = clipShape(model, options), [height, width, last] = shape.slice(-3);
  const pictures = sizeOf(shape.slice(0, -3));
  return {
    elemType: options.withPreprocessing ? ELEMENT.uint8 : ELEMENT.float,
    shape: [{ perBatch: 1 }, ...shape],
    prepare: (w, input) => {
      const flat = w.reshaped(input, [{ perBatch: pictures }, height, width, last]);
      return options.withPreprocessing ? normalised(w, flat) : flat;
    },
  };
}

/** Bytes [F H W 3] as normalised pictures [F 3 H W], by the steps of `pixels/normalise.ts`. */
function normalised(w: OnnxWriter, bytes: string): string {
  const channels = (name: string, values: readonly number[]) =>
    w.floats(`preprocessing.${name}`, [3], Float32Array.from(values));
  const shares = w.op("Div", [w.op("Cast", [bytes], { to: ELEMENT.float }), w.float(255)]);
  const centred = w.op("Sub", [shares, channels("mean", CLIP_STATISTICS.mean)]);
  return w.op("Transpose", [w.op("Div", [centred, channels("std", CLIP_STATISTICS.std)])], {
    perm: [0, 3, 1, 2],
  });
}
