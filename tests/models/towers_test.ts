/** Frozen towers: how they are named, what they are built from, and how their outputs are recorded. */

import assert from "node:assert/strict";
import { z } from "zod";
import { Graph, resident, type Tensor } from "../../gpu/graph.ts";
import { clipTower } from "../../models/clip/tower.ts";
import { evaTower } from "../../models/eva/tower.ts";
import { Weights } from "../../models/params.ts";
import { ofBlocks, type TowerSizes } from "../../models/tower.ts";
import { declareTower, TOWER_KEYS, TOWER_PRESETS, towerOf, towerSizes } from "../../models/towers.ts";

const CLIP: TowerSizes = { imageSize: 16, patchSize: 8, width: 32, layers: 3, heads: 2 };
const EVA = { ...CLIP, hidden: 42, norm: "post", subNorm: false, mlp: "gelu", ropeSpan: null } as const;
const KEYS = { image_size: 16, patch_size: 8, width: 32, layers: 3, heads: 2 };

Deno.test("sizes are those of a preset or of the keys of a custom backbone, and tell the kind of tower", () => {
  for (const [arch, sizes] of Object.entries(TOWER_PRESETS)) {
    assert.equal(towerSizes({ arch, backbone: null }), sizes);
    assert.equal(towerOf(sizes), arch.startsWith("EVA") ? evaTower : clipTower, arch);
  }
  const custom = (options: object) => towerSizes({ arch: "custom", backbone: { ...KEYS, ...options } });
  assert.deepEqual(custom({}), CLIP);
  assert.deepEqual(custom({ eva: null }), CLIP);
  assert.deepEqual(custom({ eva: { hidden: 42, norm: "post" } }), EVA);
  assert.equal(towerOf(custom({ eva: { hidden: 42 } })), evaTower);
  assert.throws(() => towerSizes({ arch: "ViT-H", backbone: null }), /must be one of ViT-B\/32, .* "ViT-H"$/);
});

Deno.test("the keys of all kinds of tower make a schema with today's defaults", () => {
  const schema = z.strictObject(TOWER_KEYS);
  assert.deepEqual(schema.parse({}), { activation: "auto", eva: null });
  assert.deepEqual(schema.parse({ eva: { hidden: 9 } }), {
    activation: "auto",
    eva: { hidden: 9, norm: "pre", sub_norm: false, mlp: "gelu", rope_span: null },
  });
  assert.throws(() => schema.parse({ eva: { hidden: 9, depth: 2 } }));
});

for (const [name, sizes] of Object.entries({ CLIP, EVA })) {
  Deno.test(`the blocks of ${name} are recorded one by one, when their outputs are asked for`, () => {
    const weights = new Weights({ frozenDtype: "f16" }), g = new Graph();
    const tower = declareTower(weights, sizes, { dtype: "f16", taps: "tower" });
    const kept = new Map<string, Tensor>();
    const keep = (name: string, tensor: Tensor) => {
      kept.set(name, tensor);
      return tensor;
    };
    const pictures = resident("input", "pictures", [2, 3, 16, 16]);
    const outputs: Tensor[] = [];
    for (const output of tower.outputs(g, pictures, keep)) {
      const scopes = new Set(g.nodes.map(({ scope }) => scope));
      assert.equal(scopes.size, 2 + outputs.length, "the embedding and the blocks so far");
      assert.ok(scopes.has(`backbone/block.${outputs.length}`));
      assert.deepEqual([output.shape, output.dtype], [[2, 5, 32], "f16"]);
      outputs.push(output);
    }
    assert.equal(outputs.length, 3);
    const expected = ["backbone.0", "backbone.1", "backbone.2"];
    assert.deepEqual([...kept.keys()], name === "CLIP" ? ["ln_pre", ...expected] : expected);
    // EVA's residual stream is exact; what side networks read of it is stored like every activation.
    for (const block of expected) assert.equal(kept.get(block)!.dtype, name === "CLIP" ? "f16" : "f32");
  });
}

Deno.test("of a tower's outputs those of some blocks are taken, and all are recorded", () => {
  const g = new Graph(), pictures = resident("input", "pictures", [2, 3, 16, 16]);
  const tower = declareTower(new Weights(), CLIP, { dtype: "f32", taps: "tower" });
  const taps = [...ofBlocks(tower.outputs(g, pictures), [1])];
  assert.deepEqual(taps.map(({ producer }) => producer!.scope), ["backbone/block.1"]);
  assert.ok(g.nodes.some(({ scope }) => scope === "backbone/block.2"));
});

Deno.test("a tower whose taps are stored has no weights in memory", () => {
  const weights = new Weights();
  declareTower(weights, EVA, { dtype: "f32", taps: "stored" });
  assert.deepEqual(weights.list, []);
});
