/** The recipes of configs/dist: one for every published result, each what the published file of the same name stands for. */

import assert from "node:assert/strict";
import { sizeOf } from "../../../gpu/graph.ts";
import { createModel } from "../../../models/mod.ts";
import { loadConfig, transformRecipe } from "../../../train/recipe/config.ts";
import { modelSpec } from "../../../train/recipe/model.ts";
import { evaluationSampler } from "../../../train/feed/sampling.ts";
import { rateOf } from "../../../train/run/schedule.ts";
import { readTree, type Tree } from "../../../train/recipe/tree.ts";
import { inDistProject, LEAVES, readDist } from "../../_util/dist_project.ts";

/** Top-1 and top-5 in percent with one crop and three clips. */
const RESULTS: Record<string, [top1: string, top5: string]> = {
  ssv2_vitb16_f8_16: ["68.7", "91.1"],
  ssv2_vitb16_f16_32: ["70.2", "92.0"],
  ssv2_vitb16_f32_64: ["70.9", "92.1"],
  ssv2_vitl14_f32_64: ["73.1", "93.2"],
  k400_vitb16_f8_16: ["83.6", "96.3"],
  k400_vitb16_f16_32: ["84.4", "96.7"],
  k400_vitb16_f32_64: ["85.0", "97.0"],
  k400_vitl14_f32_64: ["88.0", "97.9"],
};

const nameOf = ({ set, arch, frames }: typeof LEAVES[number]) => `${set}_vit${arch}_f${frames / 2}_${frames}`;

/** Where files lie, which is everybody's own. */
const PLACES = ["root", "train_list", "val_list", "label_list"];

function withoutPlaces(tree: Tree): Tree {
  const { name: _, run_root: _r, pretrain: _p, memory: _m, precision: _f, ...rest } = tree;
  const data = Object.fromEntries(Object.entries(tree.data as Tree).filter(([key]) => !PLACES.includes(key)));
  const { weights: _w, ...network } = tree.network as Tree, { evaluate: _e, ...solver } = tree.solver as Tree;
  return { ...rest, data, network, solver };
}

Deno.test("there is a recipe for every published result, and no other", async () => {
  const found: string[] = [];
  for await (const { name } of Deno.readDir("configs/dist")) found.push(name.replace(/\.yaml$/, ""));
  assert.deepEqual(found.sort(), Object.keys(RESULTS).sort());
  assert.deepEqual(LEAVES.map(nameOf).sort(), found);
});

Deno.test("a recipe says what the published file of its name says, with the published steps", async () => {
  await inDistProject(async (project) => {
    for (const leaf of LEAVES) {
      const published = withoutPlaces((await readDist(project, leaf.path)).tree);
      const { grad_accumulation_steps: group, ...solver } =
        (await readTree(`configs/dist/${nameOf(leaf)}.yaml`))
          .solver as Tree;
      assert.equal(group, 8);
      const own = withoutPlaces({ ...await readTree(`configs/dist/${nameOf(leaf)}.yaml`), solver });
      assert.deepEqual(own, published, nameOf(leaf));
    }
  });
});

Deno.test("a recipe states the published accuracy and how it is tested", async () => {
  for (const [name, [top1, top5]] of Object.entries(RESULTS)) {
    const text = await Deno.readTextFile(`configs/dist/${name}.yaml`);
    assert.ok(text.includes(`# Published top-1 / top-5, 1 crop x 3 clips: ${top1} % / ${top5} %.\n`), name);
    assert.ok(
      text.includes(`# To test it as published: sidenet eval runs/${name} --test-crops 1 --test-clips 3\n`),
      name,
    );
    const { data, network } = await readTree(`configs/dist/${name}.yaml`) as Record<string, Tree>;
    assert.equal(network.weights, `weights/${String(network.arch).replace("/", "-")}.pt`);
    assert.match(
      `${data.train_list} ${data.val_list} ${data.label_list}`,
      /^lists\/(\w+)\/\S+ lists\/\1\/\S+ lists\/\1\/labels\.json$/,
    );
  }
  assert.match(
    await Deno.readTextFile("configs/dist/k400_vitl14_f32_64.yaml"),
    /Kinetics-710 before, .* 89\.6 % \/ 98\.4 %/,
  );
});

/** Trained scalars (spec dist §3.6), by data set, backbone and dense frames. */
const TRAINED: Record<string, number> = {
  ssv2_vitb16_f8_16: 19_001_184,
  ssv2_vitb16_f16_32: 19_044_192,
  ssv2_vitb16_f32_64: 19_130_208,
  ssv2_vitl14_f32_64: 32_745_312,
  k400_vitb16_f8_16: 26_105_184,
  k400_vitb16_f16_32: 26_154_336,
  k400_vitb16_f32_64: 26_252_640,
  k400_vitl14_f32_64: 39_867_744,
};

Deno.test("a recipe is that of the published network, transforms, test and schedule", async () => {
  for (const [name, trained] of Object.entries(TRAINED)) {
    const { config, warnings } = await loadConfig(`configs/dist/${name}.yaml`),
      { weights } = createModel(modelSpec(config));
    assert.deepEqual(warnings.filter((text) => !text.startsWith("data.workers")), [], name);
    assert.equal(weights.of("trained").reduce((sum, { shape }) => sum + sizeOf(shape), 0), trained, name);
    const transforms = transformRecipe(config), isKinetics = name.startsWith("k400");
    assert.deepEqual(
      [
        transforms.flipProbability,
        transforms.mirrorPairs.length,
        transforms.greyProbability,
        transforms.colourJitter,
      ],
      [0.5, isKinetics ? 0 : 3, 0.2, null],
      name,
    );
    // Of spec dist §6.2, counted from 1; other lengths of a clip have other frames.
    if (config.data.num_segments === 16) {
      const views = evaluationSampler(config, 3)(100) as number[][];
      assert.deepEqual(views.map((view) => view.slice(0, 4).map((frame) => frame - 1)), [[2, 8, 15, 21], [
        4,
        10,
        17,
        23,
      ], [6, 12, 19, 25]]);
      assert.deepEqual((evaluationSampler(config, 1)(100) as number[][])[0].slice(0, 4), [4, 10, 17, 23]);
    }
    // One loop of 1,000 batches is four passes; all that is trained has ten times the schedule's rate.
    const rate = rateOf(config, { batchesPerLoop: 1000 });
    for (const [pass, expected] of [[0, 8e-7], [4, NaN], [12, 2.4e-4], [24, 8e-5]]) {
      if (!Number.isNaN(expected)) {
        assert.ok(Math.abs(10 * rate(pass, 0) / expected - 1) < 1e-4, `${name}, pass ${pass}`);
      }
    }
    assert.ok(Math.abs(10 * rate(4, 500) / 2.98564e-4 - 1) < 1e-4, "the top of the warm-up at pass 6");
  }
});

Deno.test("a published file is the same recipe as ours, but for places and the batch", async () => {
  await inDistProject(async (project) => {
    for (const leaf of LEAVES) {
      const published = (await loadConfig(`${project}/${leaf.path}`)).config;
      const own = (await loadConfig(`configs/dist/${nameOf(leaf)}.yaml`)).config;
      const settled = ({ data, network, solver }: typeof own) => ({
        data: { ...data, root: 0, train_list: 0, val_list: 0, label_list: 0 },
        network: { ...network, weights: 0 },
        solver: { ...solver, grad_accumulation_steps: 0, evaluate: 0 },
      });
      assert.deepEqual(settled(published), settled(own), nameOf(leaf));
    }
  });
});
