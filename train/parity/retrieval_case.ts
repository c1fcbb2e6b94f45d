/** Cases of retrieval, as CLIP4Clip and its kin call their models: sentences, videos, and the scores between them. */

import { endPositions } from "../../models/clip/text.ts";
import type { BatchInput } from "../runtime/objective.ts";
import type { CaseTask } from "./case_task.ts";

const SENTENCES = "case.sentences", SCORES = "case.scores";

/** The cases. */
export const RETRIEVAL_CASES: CaseTask = {
  async read(reference) {
    const { batch: clips, interaction, model } = reference.description.config;
    const ids = Uint32Array.from(await reference.read("input.input_ids"));
    // Beside CLIP the original takes every frame for one, and so do means.
    const isMasked = interaction === "wti" && model.vision_cfg !== undefined;
    return {
      clips,
      frames: await reference.read("input.video"),
      inputs: {
        ids,
        ends: endPositions(ids, ids.length / clips),
        word_mask: await reference.read("input.input_mask"),
        frame_mask: isMasked
          ? await reference.read("input.video_mask")
          : new Float32Array(clips * model.frames).fill(1),
        places: Uint32Array.from({ length: clips }, (_, i) => i),
      },
    };
  },

  queries({ text, config: { frames } }, clips) {
    if (!text) throw new RangeError("Cannot replay a case of retrieval: the model must read sentences");
    const all = (shapes: Readonly<Record<string, readonly number[]>>) =>
      Object.fromEntries(
        Object.entries(shapes).map((
          [name, shape],
        ): [string, BatchInput] => [name, { shape: [clips, ...shape] }]),
      );
    const words = { word_mask: { shape: [clips, text.words] } };
    return [{
      name: SENTENCES,
      inputs: {
        ids: { shape: [clips, text.words], dtype: "u32" },
        ends: { shape: [clips], dtype: "u32" },
        ...words,
      },
      record: (g, model, inputs) => ({ ...model.text!.encode(g, inputs, { mode: "eval" }) }),
    }, {
      name: SCORES,
      inputs: {
        ...all(text.sentenceOutputs),
        ...all(text.clipOutputs),
        ...words,
        frame_mask: { shape: [clips, frames] },
      },
      record: (g, model, inputs) => ({
        similarity: model.text!.compare(g, { outputs: inputs, inputs }, { mode: "eval" }),
      }),
    }];
  },

  async evaluate(session, { frames, clips, inputs }) {
    const { ids, ends, word_mask, frame_mask } = inputs;
    const { frames: embedded } = await session.evaluateFrames(frames, clips);
    const sentences = await session.ask(SENTENCES, { ids, ends, word_mask });
    const scores = await session.ask(SCORES, { ...sentences, frames: embedded, word_mask, frame_mask });
    const isWhole = sentences.sentence !== undefined;
    return {
      ...scores,
      text_output: isWhole ? sentences.sentence : sentences.words,
      video_output: isWhole ? meanFrames(embedded, clips, session.model.config.frames) : embedded,
    };
  },
};

/** Mean over the frames of every clip: [B T E] to [B E]. */
function meanFrames(values: Float32Array, clips: number, frames: number): Float32Array {
  const width = values.length / clips / frames, mean = new Float64Array(clips * width);
  values.forEach((value, i) => mean[Math.floor(i / width / frames) * width + i % width] += value / frames);
  return Float32Array.from(mean);
}
