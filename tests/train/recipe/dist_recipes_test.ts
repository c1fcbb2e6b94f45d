/** The recipes of configs/dist: one for every published result, each what the published file of the same name stands for. */

import assert from "node:assert/strict";
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
