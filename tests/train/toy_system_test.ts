/**
 * A system and a task that this file alone defines do everything that the published ones do: train, stop, resume, evaluate,
 * predict, plan, extract features, train from them, replay a reference case, and are recognised in a file.
 */

import assert from "node:assert/strict";
import { join } from "node:path";
import { z } from "zod";
import * as plan from "../../cli/plan.ts";
import * as predict from "../../cli/predict.ts";
import { encodeSafetensors } from "../../data/checkpoint/safetensors.ts";
import { writeFileWhole } from "../../data/files.ts";
import { synthesize } from "../../data/synth/dataset.ts";
import { copyInto, linear, meanTokens, reshape, scale, softCrossEntropy } from "../../gpu/ops/mod.ts";
import { InterruptedError } from "../../lib/errors.ts";
import { createPrng } from "../../lib/random.ts";
import { identify } from "../../models/identify.ts";
import { createModel } from "../../models/mod.ts";
import { normal, Weights } from "../../models/params.ts";
import { registerSystem } from "../../models/registry.ts";
import type { System } from "../../models/system.ts";
import type { TowerSizes } from "../../models/tower.ts";
import { declareTower, towerOf, towerSizes } from "../../models/towers.ts";
import { collectActivations, type ModelOptions, type VideoModel } from "../../models/video_model.ts";
import { evaluateModel, predictClips } from "../../train/evaluation/evaluate_model.ts";
import { extractFeatures } from "../../train/features/writer.ts";
import { openCheckpoint, savedState } from "../../train/files/checkpoint.ts";
import {
  createRunFolder,
  metricOf,
  openRunFolder,
  readMetrics,
  RUN_FILES,
  truncateMetrics,
} from "../../train/files/run_folder.ts";
import { replayCase } from "../../train/parity/replay.ts";
import { type Config, parseConfig, synthOptions } from "../../train/recipe/config.ts";
import { modelSpec } from "../../train/recipe/model.ts";
import { train, type TrainEvents } from "../../train/run/trainer.ts";
import { LocalDevice } from "../../train/runtime/device/device.ts";
import { Session } from "../../train/runtime/session.ts";
import { ADAMW, ratesOf } from "../../train/runtime/update_rules.ts";
import { registerTask } from "../../train/tasks/registry.ts";
import { sessionOptions } from "../../train/tasks/session_options.ts";
import type { ClipResult, Task } from "../../train/tasks/task.ts";
import { engineTest } from "../_util/engine.ts";
import { assertSameBits } from "../_util/same_bits.ts";
import { runVerb } from "../_util/run_verb.ts";

// --- the system: two layers on the mean of the tower's last output ---------------------------------------------------

interface ToySizes {
  backbone: TowerSizes;
  frames: number;
  hidden: number;
  classes: number;
}

function buildToy(
  config: ToySizes,
  { backboneDtype: dtype = "f32", taps: source = "tower" }: ModelOptions,
): VideoModel {
  const { backbone, hidden, classes } = config, weights = new Weights({ frozenDtype: dtype, group: "toy" });
  const tower = declareTower(weights, backbone, { dtype, taps: source });
  const first = weights.trained("toy.in", [hidden, backbone.width], normal(0.1));
  const start = weights.statistic("toy.seed", [hidden], normal(1));
  const offset = weights.constant("toy.offset", [hidden]);
  const [last, bias] = weights.inGroup("toy_head", () => [
    weights.trained("toy.out", [classes, hidden], normal(0.1)),
    weights.trained("toy.out_bias", [classes], normal(0.1)),
  ]);
  weights.trained("toy.unread", [3], normal(1));
  return {
    config,
    weights,
    taps: source,
    tapped: [backbone.layers - 1],
    unusedInBackbone: towerOf(backbone).unused(backbone),
    forward: (g, { frames, taps }) => {
      const { activations, keep } = collectActivations();
      const tap = (taps ?? [...tower.outputs(g, frames, keep)]).at(-1)!; // [B*T N C]
      const tokens = reshape(g, tap, [tap.shape[0] / config.frames, -1, backbone.width]); // [B T*N C]
      const mean = keep("mean", meanTokens(g, tokens)); // [B C]
      const h = linear(g, mean, first, { bias: offset, activation: "gelu" }); // [B hidden]
      return { outputs: { score: linear(g, h, last, { bias }) }, activations }; // [B K]
    },
    recordTaps: (g, pictures) => [[...tower.outputs(g, pictures)].at(-1)!],
    prologue: (g) => copyInto(g, scale(g, start, 0.5), offset), // computed once, constant from then on
    afterUpdate: (g) => copyInto(g, scale(g, bias, 0), bias), // back to zero after every update
  };
}

const TOY: System<ToySizes> = {
  id: "toy",
  title: "Toy",
  task: "grading",
  recipe: {
    keys: { network: { toy_hidden: z.number().int().positive().default(8).describe("hidden channels") } },
    requirements: (
      { network: { toy_hidden: hidden } },
    ) => [[hidden !== 13, "network.toy_hidden", "not be 13", hidden]],
    sizes: ({ data, network }) => ({
      backbone: towerSizes(network),
      frames: data.num_segments,
      hidden: network.toy_hidden as number,
      classes: data.num_classes,
    }),
    groups: ({ solver }) => [
      { name: "toy_head", lrScale: 2, weightDecay: 0 },
      { name: "toy", lrScale: 1, weightDecay: solver.weight_decay },
    ],
  },
  build: buildToy,
  head: ["toy.out", "toy.out_bias"],
  leftAlone: ({ name }) => name === "toy.unread",
  files: {
    recognise: (source) => source.shapeOf("toy.in") ? { title: "Toy", backbone: null, sideDim: null } : null,
    explain: () => "the file holds no toy",
  },
  cases: [{
    system: "toy",
    sizes: (config) => config.sizes,
    groups: ({ optimizer }) =>
      TOY.recipe.groups({ solver: optimizer } as Parameters<typeof TOY.recipe.groups>[0]),
    toRecorded: (_name, values) => values,
  }],
};

// --- the task: a grade, of which the neighbours are half right --------------------------------------------------------

const GRADING: Task<number, ClipResult & { grade: number }, null> = {
  id: "grading",
  metrics: [{ key: "error", name: "error", title: "mean error", format: "value", better: "less" }],
  best: "error",
  collects: ["score"],
  training: ({ data }) => ({
    inputs: { grades: { shape: [data.num_classes] } },
    objective: {
      over: "clips",
      reads: ["score"],
      record: (g, { outputs, inputs }) => ({ loss: softCrossEntropy(g, outputs.score, inputs.grades).loss }),
    },
  }),
  encoder: ({ data }) => ({ clips }) => {
    const near = (k: number) => (k === 0 ? 0.75 : Math.abs(k) === 1 ? 0.25 : 0);
    const row = (label: number) => Array.from({ length: data.num_classes }, (_, k) => near(k - label));
    return { inputs: { grades: Float32Array.from(clips.flatMap(({ label }) => row(label))) } };
  },
  read: ([{ score }]) => score.indexOf(Math.max(...score)),
  evaluator: () => {
    let clips = 0, error = 0;
    return {
      add: ({ index, path, label, views }) => {
        const grade = GRADING.read(views);
        clips++;
        error += Math.abs(grade - label);
        return { index, path, label, grade };
      },
      finish: () => ({ metrics: { error: error / clips }, details: null }),
    };
  },
  describe: (grade) => ({ json: { grade }, lines: [`grade ${grade}`] }),
};

registerTask(GRADING);
registerSystem(TOY);

// --- what they do --------------------------------------------------------------------------------------------------

const root = await Deno.makeTempDir({ prefix: "sidenet-toy-" });
addEventListener("unload", () => Deno.removeSync(root, { recursive: true }));

const RECIPE = `
name: toy
system: toy
run_root: ${join(root, "runs")}
data:
  root: ${join(root, "data")}
  synth: { train_clips: 18, val_clips: 5, classes: [left, right, up], width: 20, height: 18, frames_per_clip: 8 }
  num_segments: 2
  batch_size: 4
  resize: none
  random_shift: false
  crop: centre
  flip: none
  grey: 0
  workers: 1
network:
  arch: custom
  backbone: { image_size: 16, patch_size: 8, width: 32, layers: 2, heads: 2 }
solver: { epochs: 2, lr: 3.e-3, lr_warmup_step: 1, weight_decay: 0.1 }
logging: { print_freq: 1, example_clips: 0 }
`;

let dataReady: Promise<void> | undefined;

async function toyConfig(...overrides: string[]): Promise<Config> {
  const { config } = parseConfig(RECIPE, { source: "toy.yaml", overrides });
  dataReady ??= synthesize(config.data.root!, synthOptions(config)!);
  await dataReady;
  return config;
}

async function run(
  config: Config,
  options: { signal?: AbortSignal; events?: TrainEvents } = {},
): Promise<string> {
  using folder = await createRunFolder(config.run_root, config.name);
  await train({ config, folder, ...options }).catch((error) => {
    if (!(error instanceof InterruptedError)) throw error;
  });
  return folder.path;
}

async function weightsOf(path: string): Promise<Map<string, Float32Array>> {
  await using source = await openCheckpoint(join(path, RUN_FILES.last));
  const names = [...source.names()];
  return new Map(await Promise.all(names.map(async (name) => [name, await source.readF32(name)] as const)));
}

engineTest(
  "a system and a task of a test's own train, stop, resume, evaluate, predict and are recognised",
  async () => {
    const config = await toyConfig();
    const whole = await run(config);
    const weights = await weightsOf(whole), { steps, evals } = await readMetrics(whole);
    const errors = evals.map((record) => metricOf(record, "error"));
    assert.equal(steps.length, 10);
    assert.ok(errors.every((error) => error >= 0 && error <= 2), JSON.stringify(evals));
    assert.ok(steps.at(-1)!.loss < steps[0].loss);

    // What the record says of its weights holds: a constant, a bias that is brought back, a weight that is left alone.
    const declared = createModel(modelSpec(config)).weights;
    const start = declared.get("toy.unread")!, seed = declared.get("toy.seed")!;
    assert.deepEqual(weights.get("toy.unread"), start.init(3, createPrng(config.seed, start.place)));
    assert.deepEqual(
      weights.get("toy.offset"),
      seed.init(8, createPrng(config.seed, seed.place)).map((x) => 0.5 * x),
    );
    assert.ok(weights.get("toy.out_bias")!.every((x) => x === 0));

    const controller = new AbortController();
    const parts = await run({ ...config, name: "parts" }, {
      signal: controller.signal,
      events: { step: ({ step }) => step === 6 && controller.abort() },
    });
    const state = await savedState(join(parts, RUN_FILES.state));
    assert.equal(state.step, 7);
    await truncateMetrics(parts, state.step, state.evaluated);
    using folder = await openRunFolder(parts);
    await train({ config: { ...config, name: "parts" }, folder, resume: folder.file("state") });
    assertSameBits(await weightsOf(parts), weights, "weights of the resumed run");
    assert.deepEqual((await readMetrics(parts)).steps.map(({ loss }) => loss), steps.map(({ loss }) => loss));

    const { evaluation } = await evaluateModel(whole);
    assert.equal(evaluation.metrics.error, Math.min(...errors));
    const path = join(config.data.root!, evaluation.predictions[0].path);
    const [predicted] = await Array.fromAsync(predictClips(whole, [path]));
    assert.equal(predicted.said, (evaluation.predictions[0] as ClipResult & { grade: number }).grade);
    const verb = await runVerb(predict, [whole, path, "--json"]);
    assert.deepEqual(JSON.parse(verb.stdout), { path, grade: predicted.said });

    await using file = await openCheckpoint(join(whole, RUN_FILES.best));
    assert.equal(identify(file).system, "Toy");
  },
);

engineTest("its plan is exact, and its stored features train to the same bits", async (gpu) => {
  const config = await toyConfig("precision=f16", "name=stored");
  const whole = await run(config);
  const out = join(root, "features");
  const { clips } = await extractFeatures({ config, out });
  assert.equal(clips, 18 + 5);
  const stored = await run(await toyConfig("precision=f16", "name=from_features", `data.features=${out}`));
  assertSameBits(await weightsOf(stored), await weightsOf(whole), "weights from features");

  const plain = await toyConfig();
  const options = {
    ...sessionOptions(plain, { lastBatch: 2, largestFrame: { width: 20, height: 18 } }),
    limits: gpu,
  };
  const device = new LocalDevice(gpu);
  const session = await Session.open(device, createModel(modelSpec(plain)), options);
  assert.equal(session.allocatedBytes, session.memory.total);
  await device[Symbol.asyncDispose]();
  await Deno.writeTextFile(join(root, "toy.yaml"), RECIPE);
  const verb = await runVerb(plan, [join(root, "toy.yaml"), "--json"]);
  assert.ok(JSON.parse(verb.stdout).gpu_bytes > 0);
  await assert.rejects(
    runVerb(plan, [join(root, "toy.yaml"), "network.toy_hidden=13"]),
    /network\.toy_hidden must not be 13, current value is 13/,
  );
});

engineTest("a reference case of it is replayed, and a wrong one fails", async (gpu) => {
  const config = await toyConfig(), model = createModel(modelSpec(config)), prng = createPrng(5);
  const optimizer = { lr: 1e-3, betas: [0.9, 0.999] as [number, number], weight_decay: 0.1, smoothing: 0 };
  const frames = Float32Array.from({ length: 3 * 2 * 3 * 16 * 16 }, () => prng.normal());
  const encode = await GRADING.encoder(config, { clips: [], classWeights: null });
  const { inputs } = encode({
    clips: [0, 2, 1].map((label, index) => ({ index, label, frameCount: 2 })),
    epoch: 0,
    batch: 0,
  });
  const rule = {
    rule: ADAMW,
    options: { betas: optimizer.betas, eps: 1e-8 },
    groups: TOY.cases[0].groups({ optimizer }),
  };
  const device = new LocalDevice(gpu);
  const session = await Session.open(device, model, {
    ...sessionOptions(config, { lastBatch: 0, largestFrame: { width: 16, height: 16 } }),
    optimizer: rule,
    trainClips: [3],
    evalClips: 3,
    largestFrame: null,
    limits: gpu,
  });
  await session.initialise(1);
  await session.computeConstants();
  const state = await session.read(model.weights.list.map(({ name }) => name));
  const { score } = await session.evaluateFrames(frames, 3);
  await session.stepOnFrames(frames, { clips: 3, inputs }, ratesOf(rule, optimizer.lr));
  const [loss] = await session.readLosses(), gradient = await session.read(["toy.in"], "gradient");
  await device[Symbol.asyncDispose]();

  const tensor = (name: string, shape: readonly number[], data: Float32Array) => ({
    name,
    dtype: "F32" as const,
    shape,
    data,
  });
  const record = async (name: string, off: number) => {
    const tensors = [
      ...model.weights.list.map(({ name, shape }) => tensor(`state.${name}`, shape, state.get(name)!)),
      tensor("input.frames", [6, 3, 16, 16], frames),
      tensor("input.grades", [3, 3], inputs.grades as Float32Array),
      tensor("eval.score", [3, 3], score.map((x) => x + off)),
      tensor("train.loss", [1], Float32Array.of(loss)),
      tensor("grad.toy.in", [8, 32], gradient.get("toy.in")!),
    ];
    await writeFileWhole(join(root, `${name}.safetensors`), [...encodeSafetensors(tensors, {})]);
    const sizes = TOY.recipe.sizes(config as unknown as Parameters<typeof TOY.recipe.sizes>[0]);
    const description = { system: "toy", case: name, config: { batch: 3, num_classes: 3, sizes, optimizer } };
    await Deno.writeTextFile(join(root, `${name}.json`), JSON.stringify(description));
    return await replayCase(gpu, join(root, `${name}.json`));
  };
  const groups = await record("right", 0);
  assert.deepEqual(groups.map(({ group }) => group), ["gpu_bytes", "eval.score", "train.loss", "grad"]);
  assert.ok(groups.every(({ ok }) => ok), JSON.stringify(groups));
  assert.deepEqual((await record("wrong", 1e-3)).filter(({ ok }) => !ok).map(({ group }) => group), [
    "eval.score",
  ]);
});
