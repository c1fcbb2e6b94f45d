/** PyTorch files as sources of a model's weights: the account closes, and the values are those of the safetensors twins. */
import assert from "node:assert/strict";
import { openWeights } from "../../../data/checkpoint/open.ts";
import {
  checkAccount,
  createModel,
  explainBackbone,
  type ModelSpec,
  VIT_PRESETS,
} from "../../../models/mod.ts";

const FIXTURES = new URL("../../fixtures/checkpoints/", import.meta.url).pathname;
/** The sizes of the fixtures' CLIP. */
const TINY: ModelSpec = {
  system: "side4video",
  sizes: {
    backbone: { imageSize: 8, patchSize: 4, width: 16, layers: 2, heads: 2 },
    frames: 2,
    sideDim: 64,
    classes: 3,
  },
  backboneDtype: "f32",
};

Deno.test("OpenAI's archives fill the frozen tower in f32, state dicts in any type too", async () => {
  const { weights, unusedInBackbone } = createModel(TINY);
  const frozen = weights.of("frozen");
  for (
    const name of ["openai-torchscript", "openai-torchscript-cuda", "state-fp32", "state-fp16", "state-bf16"]
  ) {
    await using source = await openWeights(`${FIXTURES}${name}.pt`);
    await using twin = await openWeights(`${FIXTURES}${name}.safetensors`);
    checkAccount(frozen, source, { ignore: unusedInBackbone, explain: explainBackbone });
    for (const { name: weight } of frozen) {
      assert.deepEqual(await source.readF32(weight), await twin.readF32(weight), weight);
    }
  }
});

Deno.test("a backbone of another size is refused with both shapes and what the file looks like", async () => {
  const wrong = { ...TINY, sizes: { ...TINY.sizes, backbone: VIT_PRESETS["ViT-B/16"] } };
  const { weights, unusedInBackbone } = createModel(wrong);
  await using source = await openWeights(`${FIXTURES}openai-torchscript.pt`);
  assert.throws(
    () => checkAccount(weights.of("frozen"), source, { ignore: unusedInBackbone, explain: explainBackbone }),
    /"visual\.conv1\.weight" must be \[768,3,16,16\], current shape is \[16,3,4,4\]; the file looks like a ViT of width 16/,
  );
});
