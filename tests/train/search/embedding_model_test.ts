/** Which checkpoints compare clips with sentences, and what tells one from another. */
import assert from "node:assert/strict";
import { cp } from "node:fs/promises";
import { join } from "node:path";
import { encodeSafetensors, openSafetensors } from "../../../data/checkpoint/safetensors.ts";
import { fileRange, writeFileWhole } from "../../../data/files.ts";
import { ConfigError, DataError } from "../../../lib/errors.ts";
import { findEmbeddingModel, identityOf } from "../../../train/search/embedding_model.ts";
import { writeTinyClip } from "../../_util/tiny_clip.ts";

/** Writes a checkpoint's tensors as another one. */
async function rewrite(
  from: string,
  to: string,
  change: (name: string, shape: readonly number[]) => { name: string; shape: readonly number[] } | null,
): Promise<void> {
  await using range = await fileRange(from);
  const source = await openSafetensors(range), tensors = [];
  for (const old of source.names()) {
    const kept = change(old, source.describe(old).shape);
    if (kept === null) continue;
    const values = await source.readF32(old), count = kept.shape.reduce((a, b) => a * b, 1);
    tensors.push({ ...kept, dtype: "F32" as const, data: values.subarray(0, count) });
  }
  await writeFileWhole(to, encodeSafetensors(tensors));
}

Deno.test("a CLIP checkpoint is a model of its own; what is none of that kind is told why", async () => {
  const folder = await Deno.makeTempDir(), at = (name: string) => join(folder, name);
  try {
    await writeTinyClip(at("clip.safetensors"));
    const find = (name: string, ...overrides: string[]) =>
      findEmbeddingModel({ target: at(name), config: null, overrides });
    const { config, isPlain, warnings } = await find("clip.safetensors", "data.num_segments=3");
    assert.ok(isPlain);
    assert.match(warnings.join(), /does not say the activation of its tower: quick_gelu is assumed/);
    assert.deepEqual((await find("clip.safetensors", "network.backbone.activation=gelu")).warnings, []);
    const { num_segments: frames, max_words: words } = config.data as Record<string, unknown>;
    assert.deepEqual([frames, words, config.network.arch], [3, 16, "custom"]);
    assert.equal(config.network.weights, at("clip.safetensors"));

    await rewrite(
      at("clip.safetensors"),
      at("image.safetensors"),
      (name, shape) => name.startsWith("visual.") ? { name, shape } : null,
    );
    await assert.rejects(find("image.safetensors"), (error) => {
      assert.ok(error instanceof DataError);
      assert.match(
        error.message,
        /must hold both towers of a CLIP model, it holds the image tower ViT of width 64/,
      );
      return true;
    });
    await rewrite(
      at("clip.safetensors"),
      at("few.safetensors"),
      (name, shape) => ({ name, shape: name.startsWith("token_") ? [100, 8] : shape }),
    );
    await assert.rejects(find("few.safetensors"), (error) => {
      assert.ok(error instanceof ConfigError);
      assert.match(
        error.message,
        /its table must have CLIP's 49408 tokens, current count is 100; give --config/,
      );
      return true;
    });
    await assert.rejects(find("nothing.safetensors"), DataError);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("the identity of a model follows from its weights and what it sees, not from where it is or how it runs", async () => {
  const folder = await Deno.makeTempDir(), at = (name: string) => join(folder, name);
  try {
    await writeTinyClip(at("a.safetensors"));
    await cp(at("a.safetensors"), at("b.safetensors"));
    await writeTinyClip(at("c.safetensors"), { seed: 9 });
    const identity = async (name: string, ...overrides: string[]) =>
      await identityOf(await findEmbeddingModel({ target: at(name), config: null, overrides }));
    const own = await identity("a.safetensors");
    assert.equal(await identity("b.safetensors", "data.workers=1", "data.batch_size=2", "seed=5"), own);
    for (
      const other of ["data.num_segments=3", "data.max_words=9", "data.resize=none", "data.eval_sampling=2"]
    ) {
      assert.notEqual(await identity("a.safetensors", other), own, other);
    }
    assert.notEqual(await identity("c.safetensors"), own);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
