/** Training sets of uneven classes and of few shots: what is trained on, the weighted loss, and that interrupted runs go on the same. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { readClipList } from "../../../data/datasets/read.ts";
import { synthesize } from "../../../data/synth/dataset.ts";
import { InterruptedError } from "../../../lib/errors.ts";
import { savedState } from "../../../train/files/checkpoint.ts";
import { type Config, parseConfig, synthOptions } from "../../../train/recipe/config.ts";
import {
  createRunFolder,
  openRunFolder,
  readMetrics,
  RUN_FILES,
  truncateMetrics,
} from "../../../train/files/run_folder.ts";
import { CLASSIFICATION } from "../../../train/tasks/classification.ts";
import type { TrainingFacts } from "../../../train/tasks/task.ts";
import { train } from "../../../train/run/trainer.ts";
import { readTrainingSet } from "../../../train/feed/training_set.ts";
import { engineTest } from "../../_util/engine.ts";
import { sameRates } from "../../_util/tiny_model.ts";
import { rgbClip, withSession } from "../../_util/tiny_session.ts";

const root = await Deno.makeTempDir({ prefix: "sidenet-balance-" });
addEventListener("unload", () => Deno.removeSync(root, { recursive: true }));

/** The synthetic set has 12 clips of each class; the list keeps 9 and 2. */
const RECIPE = `
seed: 5
run_root: ${join(root, "runs")}
data:
  root: ${join(root, "data")}
  train_list: ${join(root, "uneven.txt")}
  val_list: ${join(root, "data/val.txt")}
  synth: { train_clips: 24, val_clips: 4, classes: [left, right], width: 20, height: 18, frames_per_clip: 8 }
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
solver: { epochs: 2, lr: 3.e-3, lr_warmup_step: 0 }
logging: { print_freq: 1 }
`;

const parse = (overrides: string[]) => parseConfig(RECIPE, { source: "uneven.yaml", overrides });
let made: Promise<void> | undefined;

/** The recipe with its data on the disk. */
async function recipe(...overrides: string[]) {
  const { config } = parse(overrides);
  made ??= (async () => {
    await synthesize(config.data.root!, synthOptions(config)!);
    const { clips } = await readClipList(join(root, "data/train.txt"));
    const uneven = [0, 1].flatMap((label) =>
      clips.filter((clip) => clip.label === label).slice(0, label ? 2 : 9)
    );
    const text = uneven.map(({ path, frames, label }) => `${path} ${frames} ${label}\n`).join("");
    await Deno.writeTextFile(join(root, "uneven.txt"), text);
  })();
  await made;
  return config;
}

const labelsIn = async (...overrides: string[]) => {
  const set = await readTrainingSet(await recipe(...overrides));
  return { ...set, drawn: set.order(0, 0).map(({ clip }) => set.clips[clip].label) };
};

Deno.test("an epoch of an uneven list holds every clip, or with data.balance=sampler every class alike", async () => {
  const plain = await labelsIn();
  assert.deepEqual([plain.clips.length, plain.loopClips, plain.notes], [11, 11, []]);
  assert.equal(plain.drawn.filter((label) => label === 1).length, 2);
  const even = await labelsIn("data.balance=sampler");
  assert.deepEqual([even.clips.length, even.loopClips, even.classWeights], [11, 11, null]);
  assert.ok([5, 6].includes(even.drawn.filter((label) => label === 1).length));
  const weighted = await labelsIn("data.balance=loss");
  assert.deepEqual(weighted.drawn, plain.drawn);
  assert.deepEqual([...weighted.classWeights!], [11 / 18, 11 / 4]);
});

Deno.test("the targets of a batch weigh its classes, mixed or not, and are drawn for its place in the run", async () => {
  const labels = [0, 0, 1, 0];
  const encode = (config: Config, set: TrainingFacts, batch: number) =>
    CLASSIFICATION.encoder(config, set)({
      clips: labels.map((label, index) => ({ label, index, frameCount: 8 })),
      epoch: 1,
      batch,
    });
  const rowsOf = async (batch: number, ...overrides: string[]) => {
    const set = await readTrainingSet(await recipe(...overrides));
    const { inputs: { targets }, mix } = encode(await recipe(...overrides), set, batch);
    return { sums: labels.map((_, b) => targets[2 * b] + targets[2 * b + 1]), targets, mix };
  };
  const weighted = await rowsOf(0, "data.balance=loss", "solver.smoothing=0");
  const weights = labels.map((label) => [11 / 18, 11 / 4][label]);
  const mean = weights.reduce((sum, weight) => sum + weight / 4, 0);
  weighted.sums.forEach((sum, b) => assert.ok(Math.abs(sum - weights[b] / mean) < 1e-6));
  const mixed = await rowsOf(2, "data.balance=loss", "solver.mixup=true");
  assert.ok(mixed.mix !== null && mixed.sums.some((sum) => Math.abs(sum - 1) > 0.01));
  assert.notDeepEqual((await rowsOf(3, "data.balance=loss", "solver.mixup=true")).mix, mixed.mix);
  const plain = await recipe();
  assert.deepEqual(Object.keys(encode(plain, await readTrainingSet(plain), 0)), ["inputs"]);
  assert.deepEqual(encode(plain, await readTrainingSet(plain), 0).inputs, {
    labels: Uint32Array.from(labels),
  });
});

Deno.test("weights count mirrored clips of exchanged classes for the class they show", async () => {
  // Labels 86 and 87 are exchanged by the mirror; here they have 9 and 2 clips.
  const config = await recipe("data.balance=loss", "data.flip=sth", "data.synth=null", "data.num_classes=90");
  const list = join(root, "pair.txt");
  const text = await Deno.readTextFile(join(root, "uneven.txt"));
  await Deno.writeTextFile(list, text.replace(/(\d)$/gm, (label) => String(86 + Number(label))));
  const { classWeights } = await readTrainingSet({ ...config, data: { ...config.data, train_list: list } });
  assert.deepEqual([classWeights![85], classWeights![86], classWeights![87]], [
    0,
    11 / (90 * 5.5),
    11 / (90 * 5.5),
  ]);
});

Deno.test("data.shots keeps so many clips of each class, and says which classes have fewer", async () => {
  const set = await labelsIn("data.shots=4");
  assert.deepEqual(set.clips.map(({ label }) => label), [0, 0, 0, 0, 1, 1]);
  assert.equal(set.loopClips, 6);
  assert.deepEqual(set.notes, [
    "data.shots takes 6 of 11 training clips (listed in shots.txt); an epoch has 6",
    "fewer than 4 training clips in 1 of 2 classes: class 1 has 2",
  ]);
  assert.deepEqual((await labelsIn("data.shots=4", "solver.epochs=7")).clips, set.clips);
  assert.notDeepEqual((await labelsIn("data.shots=4", "seed=6")).clips, set.clips);
});

Deno.test("data.shot, the published key, is data.shots repeated to the length of the list", async () => {
  const config = await recipe("data.shot=1");
  assert.deepEqual([config.data.shots, config.data.shots_repeat], [1, true]);
  assert.ok(!Object.hasOwn(config.data, "shot"));
  const set = await labelsIn("data.shot=1");
  assert.deepEqual([set.clips.length, set.loopClips, set.drawn.length], [2, 10, 10]);
  assert.equal(set.drawn.filter((label) => label === 0).length, 5);
  assert.deepEqual((await labelsIn("data.shots=1", "data.shots_repeat=true")).clips, set.clips);
  assert.throws(
    () => parse(["data.shot=1", "data.shots=2"]),
    /^ConfigError: Cannot use config "uneven\.yaml": data\.shot must be null when data\.shots is given/,
  );
});

Deno.test("keys that cannot work are named in a warning or refused", () => {
  assert.match(
    parse(["data.shots_repeat=true"]).warnings[0],
    /^data\.shots_repeat has no effect without data\.shots$/,
  );
  assert.match(
    parse(["data.balance=loss", "data.batch_size=1"]).warnings[0],
    /^data\.balance loss has no effect on batches of one clip/,
  );
  assert.throws(() => parse(["data.balance=both"]), /^ConfigError: .*data\.balance/);
});

engineTest(
  "a session that weighs its classes has the weighted loss, and memory for targets but not for mixing",
  async (gpu) => {
    const weights = [0.4, 2.5, 1, 3], { config } = parse(["data.synth=null", "data.num_classes=4"]);
    const options = { largestFrame: { width: 40, height: 24 } };
    const of = (weighs: boolean) =>
      withSession(gpu, { ...options, weighs }, async (session, model) => {
        assert.equal(session.allocatedBytes, session.memory.total);
        assert.equal(model.config.classes, 4);
        const clips = [1, 2].map((seed) => rgbClip(model, seed)), labels = clips.map(({ label }) => label);
        const own = weighs ? { ...config, data: { ...config.data, balance: "loss" as const } } : config;
        const encode = CLASSIFICATION.encoder(own, { clips: [], classWeights: weighs ? weights : null });
        const place = labels.map((label, index) => ({ label, index, frameCount: 8 }));
        const { inputs: { targets }, mix } = encode({ clips: place, epoch: 0, batch: 0 });
        await session.step(clips, sameRates(0), { targets: targets as Float32Array | undefined, mix });
        const { byUse } = session.memory;
        const outputs = await session.readOutputs(2, ["logits", "loss"]);
        return { byUse, labels, logits: outputs.get("logits")!, loss: outputs.get("loss")![0] };
      });
    const plain = await of(false), weighted = await of(true);
    assert.deepEqual(weighted.logits, plain.logits);
    assert.ok(weighted.byUse.inputs > plain.byUse.inputs);
    assert.equal(weighted.byUse.frame_preparation, plain.byUse.frame_preparation);
    // Torch's definition: Σ w_y (1 − s)(−log p_y) + s/K Σ_k w_k (−log p_k), over Σ w_y.
    const smoothing = config.solver.smoothing;
    let sum = 0, mass = 0;
    weighted.labels.forEach((label, b) => {
      const row = [...weighted.logits.subarray(4 * b, 4 * b + 4)];
      const total = Math.log(row.reduce((all, logit) => all + Math.exp(logit), 0));
      sum += weights[label] * (1 - smoothing) * (total - row[label]);
      row.forEach((logit, k) => sum += smoothing / 4 * weights[k] * (total - logit));
      mass += weights[label];
    });
    assert.ok(Math.abs(weighted.loss - sum / mass) < 1e-5, `${weighted.loss}, expected ${sum / mass}`);
    assert.ok(Math.abs(weighted.loss - plain.loss) > 1e-3);
  },
);

/** What follows a checkpoint's header. */
async function tensorBytes(path: string): Promise<Uint8Array> {
  const bytes = await Deno.readFile(path);
  return bytes.slice(8 + Number(new DataView(bytes.buffer).getBigUint64(0, true)));
}

/** Trains, stopped at the n-th look at the signal and gone on with where that is given. */
async function trained(name: string, overrides: string[], stopAt?: number) {
  const config = await recipe(...overrides);
  let path: string;
  {
    using folder = await createRunFolder(config.run_root, name);
    path = folder.path;
    if (stopAt === undefined) await train({ config, folder });
    else {
      let looks = -Infinity;
      const signal = {
        get aborted() {
          return ++looks > stopAt; // the first is before the first step
        },
        throwIfAborted() {},
        addEventListener() {},
        removeEventListener() {},
      } as unknown as AbortSignal;
      const events = { opened: () => void (looks = 0) };
      await assert.rejects(train({ config, folder, signal, events }), InterruptedError);
    }
  }
  if (stopAt !== undefined) {
    const state = await savedState(join(path, RUN_FILES.state));
    assert.ok(state.clipsInEpoch > 0, "stopped inside an epoch");
    await truncateMetrics(path, state.step, state.evaluated);
    using folder = await openRunFolder(path);
    await train({ config, folder, resume: folder.file("state") });
  }
  const { steps, evals } = await readMetrics(path);
  const summary = JSON.parse(await Deno.readTextFile(join(path, RUN_FILES.summary)));
  assert.equal(summary.gpu_bytes_allocated, summary.gpu_bytes_planned);
  return {
    path,
    summary,
    losses: steps.map(({ loss }) => loss),
    evals,
    weights: await tensorBytes(join(path, RUN_FILES.last)),
  };
}

engineTest(
  "a run on evenly drawn, repeated shots goes on as it was after a stop within an epoch",
  async () => {
    const overrides = ["data.shot=2", "data.balance=sampler", "data.num_sample=2"];
    const whole = await trained("shots-whole", overrides),
      stopped = await trained("shots-stopped", overrides, 1);
    assert.equal(whole.losses.length, 2 * 2);
    assert.ok(whole.losses.every(Number.isFinite));
    assert.deepEqual(stopped.losses, whole.losses);
    assert.deepEqual(stopped.evals, whole.evals);
    assert.deepEqual(stopped.weights, whole.weights);
    assert.deepEqual([whole.summary.training_clips, whole.summary.epoch_clips], [4, 8]);
    // The list in the run folder is the selection: training on it is training on the same clips.
    const list = join(whole.path, RUN_FILES.shots),
      { clips } = await readTrainingSet(await recipe("data.shot=2"));
    const paths = (records: { path: string; label: number }[]) =>
      records.map(({ path, label }) => `${path} ${label}`);
    assert.deepEqual(paths((await readClipList(list)).clips), paths(clips));
  },
);

engineTest("a run trains on mixed clips with weighted classes within the memory it planned", async () => {
  const { losses, summary } = await trained("mixed", [
    "data.balance=loss",
    "solver.mixup=true",
    "data.num_sample=2",
  ]);
  assert.equal(losses.length, 2 * 3);
  assert.ok(losses.every(Number.isFinite));
  assert.deepEqual([summary.training_clips, summary.epoch_clips], [11, 11]);
});
