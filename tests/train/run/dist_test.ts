/** A tiny DiST from the recipe to the checkpoint and back: texts of classes are kept, files of the originals are read, others' classes too. */

import assert from "node:assert/strict";
import { join } from "node:path";
import { openWeights } from "../../../data/checkpoint/open.ts";
import { encodeSafetensors } from "../../../data/checkpoint/safetensors.ts";
import { writeFileWhole } from "../../../data/files.ts";
import { createModel } from "../../../models/create.ts";
import { readClassTexts } from "../../../train/files/class_texts.ts";
import { modelSpec } from "../../../train/recipe/model.ts";
import { loadConfig } from "../../../train/recipe/config.ts";
import { evaluateModel, predictClips } from "../../../train/evaluation/evaluate_model.ts";
import { findTrainedModel, withClasses } from "../../../train/evaluation/trained_model.ts";
import {
  createRunFolder,
  openRunFolder,
  RUN_FILES,
  truncateMetrics,
} from "../../../train/files/run_folder.ts";
import { savedState } from "../../../train/files/checkpoint.ts";
import { train } from "../../../train/run/trainer.ts";
import { engineTest } from "../../_util/engine.ts";
import { FeatureRuns, tensorsOf } from "../../_util/feature_runs.ts";
import { assertSameBits } from "../../_util/same_bits.ts";

const PREFIX = "backbone.base_encoder.", TEXTS = `${PREFIX}text_features`;

Deno.test("all demos of classification train on the same data set", async () => {
  const [first, ...others] = await Promise.all(
    ["demo.yaml", "demo_tds.yaml", "demo_dist.yaml"].map(async (name) =>
      (await loadConfig(`configs/${name}`)).config.data
    ),
  );
  for (const data of others) assert.deepEqual([data.synth, data.root], [first.synth, first.root]);
});

Deno.test("weights that lie beside a recipe are found from any folder", async () => {
  const { config } = await loadConfig("configs/demo_dist.yaml");
  assert.equal(config.network.weights, join("configs", "demo_clip.safetensors"));
});

engineTest(
  "a run of DiST goes on to the same bits, and its weights are read in every form of its files",
  async () => {
    await using runs = await FeatureRuns.create("dist");
    const whole = await runs.train("whole"), config = runs.config();
    const controller = new AbortController();
    const path = await (async () => {
      using folder = await createRunFolder(config.run_root, "parts");
      const events = { step: () => controller.abort() };
      await assert.rejects(
        train({ config, folder, signal: controller.signal, events }),
        /^InterruptedError: Stopped at step/,
      );
      return folder.path;
    })();
    const state = await savedState(`${path}/${RUN_FILES.state}`);
    await truncateMetrics(path, state.step, state.evaluated);
    {
      using folder = await openRunFolder(path);
      await train({ config, folder, resume: folder.file("state") });
      assertSameBits(await tensorsOf(folder.file("last")), whole.weights, "last");
    }
    assert.equal(whole.weights.get(TEXTS)!.length, 2 * 16 * 4, "features of both classes are kept");

    // The layout of the authors' early code, without what is ours alone.
    const own = join(path, RUN_FILES.last),
      { evaluation } = await evaluateModel(await findTrainedModel(path, { overrides: [] }));
    const early = runs.file("early.safetensors");
    await rewrite(
      own,
      early,
      (name) =>
        name === TEXTS
          ? null
          : name.replace("dist_net.", "ladder_net.").replace("input_linears", "input_map_feat_nets")
            .replace("integration2temporal_nets", "s2t_fuse_nets").replace(
              "temporal2integration_nets",
              "t2s_fuse_nets",
            )
            .replace(".integration_nets", ".spatial_nets").replace("adapooling_nets", "final_temporal_nets"),
    );
    // With a recipe that is wrong about the network's sizes.
    const wrong = join(path, RUN_FILES.config),
      overrides = ["network.pooling_layers=3", "data.num_segments=4"];
    const found = await findTrainedModel(early, { config: wrong, overrides });
    assert.deepEqual(found.remarks, [
      "the weights are of another network than the recipe's: data.num_segments=2 network.pooling_layers=1 is used",
    ]);
    const narrow = await findTrainedModel(early, {
      config: wrong,
      overrides: ["network.side_dim=128", "network.n_emb=null"],
    });
    assert.deepEqual(narrow.remarks, [
      "the weights are of another network than the recipe's: network.side_dim=64 is used",
    ]);
    const again = await evaluateModel(found);
    const last = await evaluateModel(await findTrainedModel(own, { overrides: [] }));
    assert.deepEqual(again.evaluation.metrics, last.evaluation.metrics);
    assert.equal(evaluation.predictions.length, 3);
  },
);

engineTest("a trained DiST names other classes, and begins anew from weights of other classes", async () => {
  await using runs = await FeatureRuns.create("dist");
  await runs.train("first", ["solver.epochs=1"]);
  const model = await findTrainedModel(join(runs.root, "runs", "first"), { overrides: [] });
  const labels = ["circle", "square", "triangle"];
  const clips = [runs.file("data", "val", "00000")];
  const other = withClasses(model, {
    labels,
    prompts: labels.map((label) => [`a ${label}`, `one ${label}`]),
  });
  for await (const { said } of predictClips(other, clips)) {
    const shares = said as Float64Array;
    assert.equal(shares.length, 3);
    assert.ok(Math.abs(shares.reduce((a, b) => a + b, 0) - 1) < 1e-6);
    assert.ok(new Set(shares).size > 1, "the classes' texts differ");
  }
  const pretrain = `pretrain=${join(runs.root, "runs", "first", RUN_FILES.last)}`;
  const names = runs.file("names.txt");
  await Deno.writeTextFile(names, "up\ndown\nleft\n");
  const next = await runs.train("next", [
    pretrain,
    "solver.epochs=1",
    "data.synth=null",
    "data.num_classes=3",
    `data.label_list=${names}`,
  ]);
  assert.equal(next.weights.get(TEXTS)!.length, 3 * 16 * 4);
});

/** Copies a checkpoint under other names; null leaves a tensor out. */
async function rewrite(from: string, to: string, rename: (name: string) => string | null): Promise<void> {
  await using source = await openWeights(from);
  const tensors = [];
  for (const name of source.names()) {
    const renamed = rename(name);
    if (renamed === null) continue;
    tensors.push({
      name: renamed,
      dtype: "F32" as const,
      shape: source.shapeOf(name)!,
      data: await source.readF32(name),
    });
  }
  await writeFileWhole(to, [...encodeSafetensors(tensors, {})]);
}

Deno.test("a class without a name, and a checkpoint with a backbone but no text tower, are refused", async () => {
  await using runs = await FeatureRuns.create("dist");
  const config = runs.config();
  await assert.rejects(readClassTexts(config, { labels: ["left", ' "" '] }), {
    name: "DataError",
    message: "Cannot compare clips with the texts of their classes: class 1 must have a name, it is empty",
  });
  const shapes = new Map(
    createModel(modelSpec(config)).weights.list.map(({ name, shape }) => [name, shape] as const),
  );
  const own = {
    label: "full.pyth",
    names: () => shapes.keys(),
    shapeOf: (name: string) => shapes.get(name),
    readF32: () => Promise.reject(new Error("nothing is read")),
  };
  await assert.rejects(readClassTexts(config, { labels: ["left", "right"], own }), {
    name: "DataError",
    message: /^Cannot use "full\.pyth": .* it holds a backbone without a text tower; give network\.weights$/,
  });
});
