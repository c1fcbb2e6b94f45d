/** Augmentation inside training: what the network is given, what it costs in memory, and that it repeats. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { mixClips, mixTargets } from "../../../data/transforms/mixup.ts";
import { PUBLISHED_RAND_AUGMENT } from "../../../data/transforms/rand_augment.ts";
import { synthesize } from "../../../data/synth/dataset.ts";
import { transformClip } from "../../../data/transforms/apply.ts";
import type { BatchMix } from "../../../pixels/batch_mix.ts";
import { type Config, parseConfig, synthOptions, transformRecipe } from "../../../train/recipe/config.ts";
import { createRunFolder, readMetrics } from "../../../train/files/run_folder.ts";
import { CLASSIFICATION } from "../../../train/tasks/classification.ts";
import { train } from "../../../train/run/trainer.ts";
import { engineTest } from "../../_util/engine.ts";
import { sameRates } from "../../_util/tiny_model.ts";
import { rgbClip, withSession } from "../../_util/tiny_session.ts";

const root = await Deno.makeTempDir({ prefix: "sidenet-augmentation-" });
addEventListener("unload", () => Deno.removeSync(root, { recursive: true }));

const RECIPE = `
seed: 5
run_root: ${join(root, "runs")}
data:
  root: ${join(root, "data")}
  train_list: ${join(root, "data/train.txt")}
  val_list: ${join(root, "data/val.txt")}
  synth: { train_clips: 10, val_clips: 4, classes: [left, right], width: 20, height: 18, frames_per_clip: 8 }
  image_tmpl: "{:05d}.jpg"
  num_segments: 2
  batch_size: 4
  resize: none
  crop: random
  flip: none
  grey: 0
  workers: 1
network:
  arch: custom
  backbone: { image_size: 16, patch_size: 8, width: 32, layers: 1, heads: 2 }
  side_dim: 64
solver: { epochs: 2, lr: 1.e-3, lr_warmup_step: 0 }
logging: { print_freq: 1 }
`;

engineTest(
  "a session trains on augmented and mixed clips: logits and loss are those of the definition",
  async (gpu) => {
    const mixes: BatchMix[] = [
      { kind: "mixup", weight: 0.3 },
      { kind: "cutMix", weight: 1 - 70 / 256, box: { x: 2, y: 5, width: 7, height: 10 } },
    ];
    const options = { largestFrame: { width: 40, height: 24 } };
    for (const mix of mixes) {
      const clipsOf = (model: Parameters<typeof rgbClip>[0]) =>
        [1, 2].map((seed) => {
          const clip = rgbClip(model, seed);
          const pixelOps = [{ kind: "equalize" }, { kind: "sharpness", factor: 1.6 }] as const;
          const erase = { box: { x: 1, y: 2, width: 5, height: 4 }, seed };
          return { ...clip, transform: { ...clip.transform, pixelOps, erase } };
        });
      const augmentation = { pixelOps: 2, erase: true };
      const mixed = await withSession(
        gpu,
        { ...options, augmentation, mixes: true },
        async (session, model) => {
          assert.equal(session.allocatedBytes, session.memory.total);
          const clips = clipsOf(model), { classes } = model.config;
          const targets = mixTargets(clips.map(({ label }) => label), mix.weight, {
            classes,
            smoothing: 0.1,
          });
          await session.step(clips, sameRates(0), { mix, targets });
          return {
            targets,
            classes,
            ...Object.fromEntries(await session.readOutputs(2, ["logits", "loss"])),
          };
        },
      );
      const { logits, loss } = mixed as unknown as Record<string, Float32Array>;
      const plain = await withSession(gpu, options, async (session, model) => {
        const { imageSize: width } = model.config.backbone;
        const finished = clipsOf(model).flatMap((clip) => [...transformClip(clip, width)]);
        const frames = mixClips(Float32Array.from(finished), mix, { clips: 2, width, height: width });
        await session.stepOnFrames(frames, [0, 0], sameRates(0));
        return (await session.readOutputs(2, ["logits"])).get("logits")!;
      });
      logits.forEach((value, i) =>
        assert.ok(Math.abs(value - plain[i]) < 1e-5, `logit ${i}: ${value}, ${plain[i]}`)
      );
      let expected = 0;
      for (let clip = 0; clip < 2; clip++) {
        const row = logits.subarray(clip * mixed.classes, (clip + 1) * mixed.classes);
        const total = Math.log(row.reduce((sum, value) => sum + Math.exp(value), 0));
        row.forEach((value, k) => expected += mixed.targets[clip * mixed.classes + k] * (total - value) / 2);
      }
      assert.ok(Math.abs(loss[0] - expected) < 1e-5, `loss ${loss[0]}, expected ${expected}`);
    }
  },
);

engineTest(
  "a run with RandAugment, colour jitter, erasing and mixup allocates what it planned, and repeats itself",
  async () => {
    const run = async (name: string, overrides: string[]) => {
      const { config, warnings } = parseConfig(RECIPE, { source: "tiny.yaml", overrides });
      assert.deepEqual(warnings, []);
      using folder = await createRunFolder(config.run_root, name);
      const { summary } = await train({ config, folder });
      assert.equal(summary.gpu_bytes_allocated, summary.gpu_bytes_planned);
      const { steps } = await readMetrics(folder.path);
      return steps.map(({ loss }) => loss);
    };
    const { config } = parseConfig(RECIPE, { source: "tiny.yaml" });
    await synthesize(config.data.root!, synthOptions(config)!);
    const plain = await run("plain", []);
    assert.equal(plain.length, 6);
    const all = [
      "data.rand_aug=true",
      "data.colour_jitter={}",
      "data.rand_erase=true",
      "solver.mixup=true",
    ];
    const first = await run("all", all);
    assert.notDeepEqual(first, plain);
    assert.deepEqual(await run("again", all), first);
    assert.ok(first.every((loss) => Number.isFinite(loss)));
  },
);

Deno.test("data.rand_aug and data.rand_erase put their parts into the transform recipe", () => {
  const recipeWith = (...overrides: string[]) =>
    transformRecipe(parseConfig(RECIPE, { source: "tiny.yaml", overrides }).config);
  const partsOf = (
    { randAugment, eraseProbability }: ReturnType<typeof recipeWith>,
  ) => [randAugment, eraseProbability];
  assert.deepEqual(partsOf(recipeWith()), [null, 0]);
  assert.deepEqual(partsOf(recipeWith("data.rand_aug=true")), [PUBLISHED_RAND_AUGMENT, 0]);
  assert.deepEqual(partsOf(recipeWith("data.rand_erase=true")), [null, 0.25]);
});

Deno.test("a batch is mixed by seed, epoch and batch alone, and not at all without mixup", () => {
  const { config } = parseConfig(RECIPE, { source: "tiny.yaml", overrides: ["solver.mixup=true"] });
  const { config: plain } = parseConfig(RECIPE, { source: "tiny.yaml" });
  const encode = (of: Config, epoch: number, batch: number) => {
    const clips = [0, 1, 1, 0].map((label, index) => ({ label, index, frameCount: 8 }));
    return CLASSIFICATION.encoder(of, { clips: [], classWeights: null })({ clips, epoch, batch });
  };
  assert.deepEqual(encode(plain, 0, 0), { inputs: { labels: Uint32Array.of(0, 1, 1, 0) } });
  const at = (epoch: number, batch: number) => encode(config, epoch, batch);
  assert.deepEqual(at(1, 2), at(1, 2));
  assert.notDeepEqual(at(1, 2).mix, at(1, 3).mix);
  assert.notDeepEqual(at(1, 2).mix, at(2, 2).mix);
  assert.throws(
    () => parseConfig(RECIPE, { source: "x.yaml", overrides: ["solver.mixup=true", "data.batch_size=3"] }),
    /data\.batch_size must make an even number of clips .*current value is 3/,
  );
  const { warnings } = parseConfig(RECIPE, {
    source: "x.yaml",
    overrides: ["solver.mixup=true", "solver.smoothing=0"],
  });
  assert.match(warnings[0], /solver\.smoothing has no effect with solver\.mixup/);
});
