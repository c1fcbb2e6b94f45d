/** What is read of a backbone's file before a run: where its activation is told, and when there is a reason to warn. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { ConfigError, DataError } from "../../../lib/errors.ts";
import type { OpenWeights } from "../../../data/checkpoint/open.ts";
import { activationOf, settleBackbone } from "../../../train/files/backbone.ts";
import { metadataOf } from "../../../train/files/run_state.ts";
import { parseConfig } from "../../../train/recipe/config.ts";
import { modelSpec } from "../../../train/recipe/model.ts";
import { REPORTED } from "../../_util/reported_checkpoints.ts";

const FIXTURES = new URL("../../fixtures/checkpoints/", import.meta.url).pathname;
const REPORTED_TOWER = "{image_size: 16, patch_size: 4, width: 8, layers: 1, heads: 2}";
const OPENAI_TOWER = "{image_size: 8, patch_size: 4, width: 16, layers: 2, heads: 2}";

function recipe(weights: string, ...overrides: string[]) {
  return parseConfig("{ system: side4video, data: { num_classes: 2 }, network: { side_dim: 64 } }", {
    overrides: [`network.backbone=${REPORTED_TOWER}`, `network.weights=${weights}`, ...overrides],
  }).config;
}

/** The activation with which a recipe's tower is built. */
function built(config: ReturnType<typeof recipe>): string {
  return (modelSpec(config).sizes as { backbone: { activation?: string } }).backbone.activation ??
    "quick_gelu";
}

/** Copies a reported file into a folder of its own, with configurations beside it. */
async function beside<T>(
  file: string,
  configs: Record<string, unknown>,
  body: (path: string) => Promise<T>,
): Promise<T> {
  const folder = await Deno.makeTempDir();
  try {
    await Deno.copyFile(REPORTED + file, join(folder, file));
    for (const [name, value] of Object.entries(configs)) {
      await Deno.writeTextFile(join(folder, name), typeof value === "string" ? value : JSON.stringify(value));
    }
    return await body(join(folder, file));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const vision = { hidden_size: 8, num_hidden_layers: 1, patch_size: 4 };
const visionCfg = { width: 8, layers: 1, patch_size: 4 };

const TOLD: [what: string, file: string, configs: Record<string, unknown>, activation: string | null][] = [
  ["nothing", "plain.pt", {}, null],
  [
    "transformers' configuration",
    "hf.bin",
    { "config.json": { vision_config: { ...vision, hidden_act: "gelu" } } },
    "gelu",
  ],
  [
    "transformers' default, which it leaves out",
    "hf.bin",
    { "config.json": { model_type: "clip", vision_config: vision } },
    "quick_gelu",
  ],
  [
    "that of a tower alone",
    "hf.bin",
    { "config.json": { ...vision, model_type: "clip_vision_model", hidden_act: "gelu" } },
    "gelu",
  ],
  ["open_clip's", "plain.pt", { "open_clip_config.json": { model_cfg: { vision_cfg: visionCfg } } }, "gelu"],
  ["open_clip's with QuickGELU", "plain.pt", {
    "open_clip_config.json": { model_cfg: { quick_gelu: true, vision_cfg: visionCfg } },
  }, "quick_gelu"],
  ["open_clip's before transformers' for its own file", "plain.pt", {
    "open_clip_config.json": { model_cfg: { vision_cfg: visionCfg } },
    "config.json": { vision_config: { ...vision, hidden_act: "quick_gelu" } },
  }, "gelu"],
  [
    "timm's",
    "timm.pt",
    { "config.json": { architecture: "vit_base_patch16_clip_quickgelu_224" } },
    "quick_gelu",
  ],
  ["a configuration of another tower", "plain.pt", {
    "config.json": { vision_config: { ...vision, hidden_size: 768, hidden_act: "gelu" } },
  }, null],
  [
    "one of something else",
    "plain.pt",
    { "config.json": { name: "mine" }, "open_clip_config.json": "[1" },
    null,
  ],
];

for (const [what, file, configs, activation] of TOLD) {
  Deno.test(`the activation is told by ${what}, or a warning says which is assumed`, () =>
    beside(file, configs, async (path) => {
      const { config, notes, warnings } = await settleBackbone(recipe(path));
      assert.equal(config.network.backbone && built(config), activation ?? "quick_gelu");
      if (activation === null) {
        assert.match(
          warnings.join("\n"),
          /^"\S+" does not say the activation of its tower: quick_gelu is assumed.*=gelu$/,
        );
      } else {
        assert.deepEqual(warnings, []);
        assert.match(notes.join("\n"), new RegExp(`activation ${activation}, from ".*config\\.json"`));
      }
      // The settled recipe says it, and is settled the same.
      const again = await settleBackbone(config);
      assert.deepEqual([again.config, again.warnings], [config, []]);
    }));
}

Deno.test("the recipe's own word is taken, with a warning where a configuration says otherwise", () =>
  beside("hf.bin", { "config.json": { vision_config: { ...vision, hidden_act: "gelu" } } }, async (path) => {
    const given = recipe(path, "network.backbone.activation=quick_gelu");
    const { config, warnings } = await settleBackbone(given);
    assert.equal(config, given);
    assert.match(
      warnings.join(),
      /activation is quick_gelu, .*config\.json says gelu: the recipe's is used$/,
    );
    const agreed = await settleBackbone(recipe(path, "network.backbone.activation=gelu"));
    assert.deepEqual([built(agreed.config), agreed.warnings], ["gelu", []]);
  }));

Deno.test("an activation that no tower here has is refused", () =>
  beside(
    "hf.bin",
    { "config.json": { vision_config: { ...vision, hidden_act: "gelu_new" } } },
    async (path) => {
      await assert.rejects(
        settleBackbone(recipe(path)),
        (error) =>
          error instanceof ConfigError &&
          /must be quick_gelu or gelu, current value is "gelu_new"/.test(error.message),
      );
    },
  ));

Deno.test("OpenAI's archives, and what was converted from them, need no word", async () => {
  for (const name of ["openai-torchscript.pt", "state-fp32.safetensors"]) {
    const config = recipe(FIXTURES + name, `network.backbone=${OPENAI_TOWER}`);
    const settled = await settleBackbone(config);
    assert.deepEqual([settled.notes, settled.warnings], [[], []], name);
    assert.equal(built(settled.config), "quick_gelu");
  }
});

Deno.test("a recipe without weights is left alone; a file of another tower is refused", async () => {
  const random = recipe("null");
  assert.equal((await settleBackbone(random)).config, random);
  const unread = recipe(`${REPORTED}none.pt`);
  assert.equal((await settleBackbone(unread)).config, unread);
  await assert.rejects(settleBackbone(recipe(`${REPORTED}w96.pt`)), DataError);
});

Deno.test("a preset takes an activation and no sizes; an EVA tower has its own", () => {
  const base = "{ system: side4video, data: { num_classes: 2 } }";
  const read = (...overrides: string[]) => parseConfig(base, { overrides }).config;
  assert.equal(built(read("network.backbone.activation=gelu")), "gelu");
  assert.equal(read("network.backbone.activation=gelu").network.arch, "ViT-B/16");
  assert.equal(built(read("network.arch=ViT-L/14")), "quick_gelu");
  assert.equal(built(read(`network.backbone=${REPORTED_TOWER}`, "network.backbone.activation=gelu")), "gelu");
  const refused: [string[], RegExp][] = [
    [
      ["network.arch=ViT-B/32", `network.backbone=${REPORTED_TOWER}`],
      /network\.arch must be custom when network\.backbone/,
    ],
    [["network.backbone={width: 8}"], /network\.backbone\.image_size must be given with the other sizes/],
    [
      ["network.arch=EVA02-CLIP-L-14", "network.backbone.activation=gelu"],
      /activation must be left out for EVA02-CLIP-L-14/,
    ],
    [["network.arch=ViT-B/16", "network.backbone={eva: {hidden: 8}}"], /eva must be left out for ViT-B\/16/],
    [["network.backbone.activation=relu"], /activation must be one of "auto", "quick_gelu", "gelu"/],
  ];
  for (const [overrides, message] of refused) assert.throws(() => read(...overrides), message);
});

Deno.test("a tower that was trained here has the activation of its run's recipe", async () => {
  for (
    const [backbone, activation] of [
      [{ activation: "gelu" }, "gelu"],
      [{ activation: "auto" }, "quick_gelu"],
      [null, "quick_gelu"],
    ]
  ) {
    const config = { system: "clip", network: { backbone } };
    const file = {
      label: "runs/clip/best.safetensors",
      format: "safetensors",
      metadata: metadataOf({ config, labels: [], state: {} as Parameters<typeof metadataOf>[0]["state"] }),
      names: () => [],
      shapeOf: () => undefined,
    } as unknown as OpenWeights;
    assert.deepEqual(await activationOf(file, undefined), { activation, by: "runs/clip/best.safetensors" });
  }
});
