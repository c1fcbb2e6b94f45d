/** Replays a recorded CLIP case: image tower, text tower, and the logits between them. */

import { Graph, resident, type Tensor } from "../../gpu/graph.ts";
import type { Gpu } from "../../gpu/device.ts";
import { l2Normalize, matmul, scale, splitTokens } from "../../gpu/ops/mod.ts";
import { runGraph } from "../../gpu/run.ts";
import { DataError } from "../../lib/errors.ts";
import { permute } from "../../lib/permute.ts";
import { ClipImageHead, FrozenVit } from "../../models/clip/vit.ts";
import { endPositions, TextTower } from "../../models/clip/text.ts";
import { constant, Weights } from "../../models/params.ts";
import type { ReferenceCase } from "./reference.ts";
import { compareGroup, type GroupResult } from "./compare.ts";

const TOLERANCE = 1e-4;

/** Replays the case. Weights stored as fp16 are widened, as the original does on a CPU. */
export async function replayClipCase(gpu: Gpu, reference: ReferenceCase): Promise<GroupResult[]> {
  const { model, text, batch } = reference.description.config;
  const weights = new Weights();
  const sizes = {
    imageSize: model.image_size,
    patchSize: model.patch_size,
    width: model.width,
    layers: model.layers,
    heads: model.heads,
  };
  const vit = new FrozenVit(weights, sizes, { dtype: "f32" });
  const head = new ClipImageHead(weights, { ...sizes, embedDim: model.embed_dim });
  const tower = new TextTower(weights, {
    vocabulary: text.vocab,
    context: text.context,
    width: text.width,
    heads: text.heads,
    layers: text.layers,
    embedDim: model.embed_dim,
  });
  const logitScale = weights.frozen("logit_scale", [], constant(Math.log(1 / 0.07)));

  const g = new Graph();
  const images = resident("input", "images", [batch, 3, model.image_size, model.image_size]);
  const [sentences, context] = reference.shapeOf("input.texts");
  const ids = resident("input", "texts", [sentences, context], "u32"),
    ends = resident("input", "ends", [sentences], "u32");
  let z = g.output("act.visual.ln_pre", vit.embed(g, images));
  for (let i = 0; i < model.layers; i++) z = g.output(`act.visual.layer.${i}`, vit.block(g, i, z));
  const image = head.apply(g, splitTokens(g, z).token);
  g.output("act.visual.ln_post", image.normed);
  g.output("image_embedding", image.embedding);
  const normed = tower.run(
    g,
    ids,
    (name, value) => g.output(`act.${name.replace(/\.(?=\d)/, ".layer.")}`, value),
  );
  const sentence = g.output("text_embedding", tower.sentences(g, normed, ends));
  const temperature = Math.exp((await reference.read("state.logit_scale"))[0]);
  const cosine = matmul(g, l2Normalize(g, image.embedding), l2Normalize(g, sentence), {
    transposeB: true,
  });
  g.output("logits_per_image", scale(g, cosine, temperature));

  const values = new Map<Tensor, Float32Array | Uint32Array>();
  for (const { name, shape, tensor } of weights.list) {
    const stored = `state.${name}`;
    if (!reference.has(stored) || reference.shapeOf(stored).join() !== shape.join()) {
      throw new DataError(
        `Cannot replay case "${reference.description.case}": "${stored}" must be there with shape [${shape}]`,
      );
    }
    if (tensor !== logitScale) values.set(tensor, await reference.read(stored));
  }
  const tokens = Uint32Array.from(await reference.read("input.texts"));
  values.set(images, await reference.read("input.images")).set(ids, tokens).set(
    ends,
    endPositions(tokens, context),
  );
  const results = await runGraph(gpu, g, values);
  const perImage = results.get("logits_per_image")!;
  results.set("logits_per_text", permute(perImage, [batch, sentences], [1, 0]));

  const groups: GroupResult[] = [];
  for (const [name, actual] of results) {
    if (!reference.has(name)) continue;
    const shape = reference.shapeOf(name);
    // The originals hold block outputs token-first.
    const values = /\.layer\.\d+$/.test(name)
      ? permute(actual, [shape[1], shape[0], shape[2]], [1, 0, 2])
      : actual;
    const by = name.startsWith("act.") ? "relative" : "absolute";
    groups.push(
      compareGroup(reference.description.case, name, [{
        name,
        actual: values,
        expected: await reference.read(name),
      }], { tolerance: TOLERANCE, by }),
    );
  }
  return groups;
}
