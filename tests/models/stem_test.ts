/** The patch stem in parts: they stay below what the device can bind, and give what one part gives. */

import assert from "node:assert/strict";
import { bytesOf, Graph, resident, sizeOf, type Tensor } from "../../gpu/graph.ts";
import { createPrng } from "../../lib/random.ts";
import { Side4Video } from "../../models/side4video.ts";
import { TdsClip } from "../../models/tds_clip.ts";
import type { VideoModel } from "../../models/video_model.ts";
import { elementsOf, type Memory, runReference } from "../_util/reference_engine.ts";

const CLIPS = 5, FRAMES = 2, SIZE = 16;
const SIZES = {
  backbone: { imageSize: SIZE, patchSize: 8, width: 32, layers: 1, heads: 2 },
  frames: FRAMES,
  sideDim: 64,
  classes: 3,
};
const MODELS: Record<string, VideoModel> = {
  "Side4Video": new Side4Video(SIZES),
  "TDS-CLIP": new TdsClip({ ...SIZES, smeScale: 0.5 }),
};

/** Seeded weights, and CLIPS clips of pictures. */
function seeded(model: VideoModel): { pictures: Tensor; memory: Memory } {
  const pictures = resident("input", "pictures", [CLIPS * FRAMES * (model.window ?? 1), 3, SIZE, SIZE]);
  const memory: Memory = new Map(
    model.weights.list.map(({ tensor, shape, init, place }) => [
      tensor,
      Float64Array.from(init(sizeOf(shape), createPrng(3, place))),
    ]),
  );
  const prng = createPrng(4);
  memory.set(pictures, Float64Array.from({ length: sizeOf(pictures.shape) }, () => prng.normal()));
  return { pictures, memory };
}

for (const [name, model] of Object.entries(MODELS)) {
  Deno.test(`the stem of ${name} is recorded in parts below a limit, with the same values`, () => {
    const { pictures, memory } = seeded(model);
    const record = (options: { maxTensorBytes?: number }) => {
      const g = new Graph(options),
        { activations, outputs } = model.forward(g, { frames: pictures }, { mode: "eval" });
      const columns = g.nodes.filter((node) => node.op.name === "unfold" && node.scope === "side/stem")
        .map((node) => bytesOf(node.outputs.out));
      const results = runReference(g.nodes, new Map(memory));
      const read = (tensor: Tensor) => elementsOf(results, tensor);
      return { columns, stem: read(activations.get("side_pre_bn3d")!), logits: read(outputs.logits) };
    };
    const whole = record({}), stems = whole.columns.length; // one stem, or two
    for (const clips of [1, 2, 4]) {
      const limit = Math.max(...whole.columns) / CLIPS * clips;
      const parts = record({ maxTensorBytes: limit });
      assert.ok(parts.columns.length > stems, `${clips} clips`);
      assert.ok(parts.columns.every((bytes) => bytes <= limit), `${clips} clips`);
      assert.deepEqual(parts.stem, whole.stem);
      assert.deepEqual(parts.logits, whole.logits);
    }
    // A clip is not cut: below its size there is one part a clip.
    assert.equal(record({ maxTensorBytes: 1 }).columns.length, stems * CLIPS);
  });
}
