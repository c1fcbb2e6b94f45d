/** The weights that lie beside the recipe of the small CLIP: they are that network's, and they know pictures that it was not shown. */

import assert from "node:assert/strict";
import { join } from "node:path";
import { synthesize } from "../../../data/synth/dataset.ts";
import { evaluateModel } from "../../../train/evaluation/evaluate_model.ts";
import { findTrainedModel } from "../../../train/evaluation/trained_model.ts";
import { openCheckpoint } from "../../../train/files/checkpoint.ts";
import { recipeOf } from "../../../train/files/run_state.ts";
import { configFrom, loadConfig, synthOptions } from "../../../train/recipe/config.ts";
import { engineTest } from "../../_util/engine.ts";

const RECIPE = "configs/demo_clip.yaml", WEIGHTS = "configs/demo_clip.safetensors";

Deno.test("the small CLIP's weights are at most 3 MB and were made with its recipe", async () => {
  assert.ok((await Deno.stat(WEIGHTS)).size <= 3e6);
  await using file = await openCheckpoint(WEIGHTS);
  const { config: made } = configFrom(recipeOf(file)!.config, { source: WEIGHTS, overrides: [] });
  const { config } = await loadConfig(RECIPE);
  assert.deepEqual(made.network, config.network);
  assert.deepEqual(made.solver, config.solver);
  assert.deepEqual(made.data.synth, config.data.synth);
  for (const other of ["demo.yaml", "demo_tds.yaml", "demo_dist.yaml", "demo_retrieval.yaml"]) {
    const { network } = (await loadConfig(join("configs", other))).config;
    assert.deepEqual(network.backbone, config.network.backbone, `${other} can stand on it`);
  }
});

engineTest("the small CLIP finds most of 100 held-out pictures by their sentences", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const root = join(folder, "pictures"), { config } = await loadConfig(RECIPE);
    await synthesize(root, { ...synthOptions(config)!, trainClips: 1 });
    const overrides = [`data.root=${root}`, `data.val_list=${root}/val.jsonl`];
    const { evaluation: { metrics } } = await evaluateModel(await findTrainedModel(WEIGHTS, { overrides }));
    assert.ok(metrics.t2v_r1 >= 0.8 && metrics.v2t_r1 >= 0.8, JSON.stringify(metrics));
    assert.equal(metrics.t2v_r10, 1);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
