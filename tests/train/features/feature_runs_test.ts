/** Extraction and training from what it wrote, against the ordinary run. Half a minute on a software adapter. */
import assert from "node:assert/strict";
import { cp } from "node:fs/promises";
import { savedState } from "../../../train/files/checkpoint.ts";
import {
  createRunFolder,
  openRunFolder,
  RUN_FILES,
  truncateMetrics,
} from "../../../train/files/run_folder.ts";
import type { ExtractPlan } from "../../../train/features/writer.ts";
import { train } from "../../../train/run/trainer.ts";
import { engineTest } from "../../_util/engine.ts";
import { FeatureRuns, tensorsOf } from "../../_util/feature_runs.ts";
import { assertSameBits } from "../../_util/same_bits.ts";

const RANDOM = ["data.random_shift=true", "data.crop=random", "data.flip=plain", "data.grey=0.3"];

type Outcome = Awaited<ReturnType<FeatureRuns["train"]>>;

function assertSameRun(actual: Outcome, expected: Outcome): void {
  assert.deepEqual(actual.losses, expected.losses);
  assert.deepEqual(actual.evals, expected.evals);
  assertSameBits(actual.weights, expected.weights, "last");
}

let made: ReturnType<typeof makeBase> | undefined;

/** The features and the ordinary run of the recipe as it is: several tests start from them, and leave them as they are. */
function base(): ReturnType<typeof makeBase> {
  return made ??= makeBase();
}

async function makeBase() {
  const runs = await FeatureRuns.create(), extracted = await runs.extract("features");
  return {
    runs,
    extracted,
    ordinary: await runs.train("ordinary"),
    features: `data.features=${runs.file("features")}`,
  };
}

Deno.test.afterAll(async () => {
  await (await made)?.runs[Symbol.asyncDispose]();
});

engineTest(
  "a run from features computes the same bits as the ordinary run, without frozen weights or frames",
  async () => {
    const { runs, extracted, ordinary, features } = await base();
    assert.deepEqual([extracted.clips, extracted.bad, extracted.broken], [13, 0, []]);
    assert.equal(ordinary.losses.length, 6);
    await Deno.rename(runs.file("data", "train"), runs.file("away"));
    const stored = await runs.train("stored", [features]);
    await Deno.rename(runs.file("away"), runs.file("data", "train"));
    assertSameRun(stored, ordinary);
    assert.equal(stored.summary.gpu_bytes_allocated, stored.summary.gpu_bytes_planned);
    assert.equal(stored.summary.frozen_parameters, ordinary.summary.frozen_parameters);
  },
);

engineTest(
  "epochs and copies of random views are those of the ordinary run; more epochs repeat them, which is said",
  async () => {
    await using runs = await FeatureRuns.create();
    const random = [...RANDOM, "data.rand_aug=true", "data.num_sample=2"];
    const { clips } = await runs.extract("features", { overrides: random, epochs: 2 });
    assert.equal(clips, 2 * 2 * 10 + 3);
    const features = `data.features=${runs.file("features")}`;
    // There is nothing to stream then.
    const stored = await runs.train("stored", [...random, features, "frozen=stream"]);
    assertSameRun(stored, await runs.train("ordinary", random));
    assert.equal(stored.summary.gpu_bytes_allocated, stored.summary.gpu_bytes_planned);
    const notes: string[] = [];
    const events = { note: (text: string) => void notes.push(text) };
    await runs.train("longer", [
      ...random,
      features,
      "solver.epochs=3",
      "solver.max_steps=1",
      "data.balance=sampler",
    ], { events });
    assert.deepEqual(notes.filter((text) => text.startsWith("data.features")), [
      "data.features holds 2 of 3 epochs of random views: from epoch 3 on they repeat",
      "data.features holds one view of a clip and epoch: where data.balance shows a clip again, it takes that of the next " +
      "stored epoch",
    ]);
  },
);

for (const system of ["tds-clip", "side4video-eva", "dist"] as const) {
  engineTest(`${system} trains from features with the same bits`, async () => {
    await using runs = await FeatureRuns.create(system);
    await runs.extract("features");
    const short = "solver.epochs=1", features = `data.features=${runs.file("features")}`;
    assertSameRun(await runs.train("stored", [short, features]), await runs.train("ordinary", [short]));
  });
}

engineTest("features of other blocks, or of other frames, are refused by key", async () => {
  await using runs = await FeatureRuns.create("dist");
  await runs.extract("features", { overrides: ["network.selected_layers=[0]"] });
  const features = `data.features=${runs.file("features")}`;
  await assert.rejects(
    runs.train("blocks", [features, "network.selected_layers=[1]"]),
    /network\.selected_layers/,
  );
  await assert.rejects(
    runs.train("frames", [features, "network.selected_layers=[0]", "data.frame_ratio=1"]),
    /data\.frame_ratio/,
  );
});

engineTest("an interrupted extraction goes on, and streamed weights give the same bytes", async () => {
  const { runs } = await base();
  const controller = new AbortController(), written: string[] = [];
  await assert.rejects(
    runs.extract("parts", {
      signal: controller.signal,
      events: {
        wrote: (path) => {
          written.push(path);
          controller.abort();
        },
      },
    }),
    {
      name: "InterruptedError",
      message: /^Stopped after \d of 13 clips, all of them kept: the same/,
    },
  );
  assert.equal(written.length, 1);
  assert.deepEqual([...(await runs.bytesOf("parts")).keys()].sort(), [
    "features.json",
    "train-00000.safetensors",
  ]);
  const kept: number[] = [];
  const result = await runs.extract("parts", { events: { planned: (plan) => void kept.push(plan.kept) } });
  assert.deepEqual([kept, result.clips], [[1], 13]);
  assertSameBits(await runs.bytesOf("parts"), await runs.bytesOf("features"), "features");
  const again = await runs.extract("parts");
  assert.deepEqual([again.extracted, again.adapter], [0, null], "nothing is left to do");
  await runs.extract("streamed", { overrides: ["frozen=stream"] });
  assertSameBits(await runs.bytesOf("streamed"), await runs.bytesOf("features"), "features");
});

engineTest(
  "an extraction that is stopped within a shard keeps it, and ends with the same bytes",
  async () => {
    const { runs } = await base();
    const controller = new AbortController(), done: number[] = [];
    const stopAtOnce = {
      progress: ({ entries }: { entries: number }) => (done.push(entries), controller.abort()),
    };
    const name = "within", shardBytes = 2 ** 29;
    await runs.extract("one-shard", { shardBytes });
    const expected = await runs.bytesOf("one-shard");
    await assert.rejects(
      runs.extract(name, { signal: controller.signal, shardBytes, events: stopAtOnce }),
      (error: Error) => {
        assert.equal(
          error.message,
          `Stopped after ${done[0]} of 13 clips, all of them kept: the same command goes on`,
        );
        return true;
      },
    );
    assert.ok(done.length === 1 && done[0] < 10, "within the training clips");
    const unfinished = "train-00000.unfinished.safetensors";
    assert.deepEqual([...(await runs.bytesOf(name)).keys()].sort(), ["features.json", unfinished]);
    // One that is cut off is of no use, and no obstacle.
    await cp(runs.file(name), runs.file("cut"), { recursive: true });
    await Deno.truncate(runs.file("cut", unfinished), 5000);
    const planned: [entries: number, kept: number][] = [];
    const events = {
      planned: ({ entries, keptClips }: ExtractPlan) => void planned.push([entries, keptClips]),
    };
    // A killed process leaves what was kept by time: here, after every batch.
    await runs.extract(name, { shardBytes, keepMinutes: 0, events });
    assertSameBits(await runs.bytesOf(name), expected, "features");
    await runs.extract("cut", { shardBytes, events });
    assertSameBits(await runs.bytesOf("cut"), expected, "features");
    assert.deepEqual(planned, [[13 - done[0], done[0]], [13, 0]]);
  },
);

engineTest("what does not go together is told in one line, before a GPU is opened", async () => {
  const { runs } = await base(), folder = runs.file("copy"), features = `data.features=${folder}`;
  await cp(runs.file("features"), folder, { recursive: true });
  await assert.rejects(runs.train("other", [features, "data.crop=random"]), {
    name: "ConfigError",
    message:
      `Cannot train from features "${folder}": data.crop must be "centre", as when they were extracted, ` +
      `current value is "random"; change it, or extract into another folder`,
  });
  await assert.rejects(runs.train("remade", [features, "data.synth.width=24"]), {
    name: "ConfigError",
    message: /: data\.synth must be .*"width":20,.* current value is .*"width":24,/,
  });
  await assert.rejects(runs.train("mixed", [features, "solver.mixup=true"]), {
    name: "ConfigError",
    message: /^Cannot use stored features: solver\.mixup must be false/,
  });
  await assert.rejects(runs.train("nowhere", [`data.features=${runs.file("nowhere")}`]), {
    name: "ConfigError",
    message: /nowhere": it must hold features\.json; write it with: sidenet extract CONFIG --out/,
  });
  await assert.rejects(runs.extract("copy", { overrides: ["seed=6"] }), {
    name: "ConfigError",
    message: `Cannot extract features into "${folder}": seed must be 5, as in the features there, ` +
      `current value is 6; use another folder`,
  });
  const shard = runs.file("copy", "train-00001.safetensors"), { size } = await Deno.stat(shard);
  await Deno.truncate(shard, size - 1);
  await assert.rejects(runs.train("cut", [features]), {
    name: "DataError",
    message:
      /^Cannot read ".*train-00001\.safetensors": .*; run sidenet extract with --out ".*" again to write/,
  });
  await Deno.remove(shard);
  await assert.rejects(runs.train("gone", [features]), {
    name: "DataError",
    message: /^Cannot open ".*train-00001\.safetensors": it does not exist; run sidenet extract/,
  });
  const { extracted } = await runs.extract("copy");
  assert.equal(extracted, 2, "the missing shard alone is written again");
});

engineTest(
  "broken clips are stored as the run would see them, counted, and told by training as ever",
  async () => {
    await using runs = await FeatureRuns.create();
    const broken: string[] = [];
    for (const split of ["train", "val"]) {
      const [first] = (await Deno.readTextFile(runs.file("data", `${split}.txt`))).split(" ");
      broken.push(first);
      for await (const { name } of Deno.readDir(runs.file("data", first))) {
        await Deno.writeTextFile(runs.file("data", first, name), "no picture");
      }
    }
    const result = await runs.extract("features");
    assert.deepEqual([...new Set(result.broken.map(({ path }) => path))], broken);
    assert.equal(result.bad, 1, "another clip of its class stands for one of training");
    const { pixels } = Object.fromEntries(await tensorsOf(runs.file("features", "val-00000.safetensors")));
    const pictures = 2 * 16 * 16 * 3;
    assert.ok(pixels.subarray(0, pictures).every((level) => level === 0), "one of validation is black");
    assert.ok(pixels.subarray(pictures).some((level) => level !== 0));
    const epoch = "solver.epochs=1";
    const stored = await runs.train("stored", [epoch, `data.features=${runs.file("features")}`]);
    const ordinary = await runs.train("ordinary", [epoch]);
    assert.deepEqual(stored.problems, ordinary.problems);
    assert.equal(stored.summary.broken_count, ordinary.summary.broken_count);
    assertSameRun(stored, ordinary);
  },
);

engineTest(
  "a run from features that is interrupted within an epoch ends as if nothing had happened",
  async () => {
    const { runs, features, ordinary } = await base();
    const config = runs.config(features);
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
    assert.ok(state.clipsInEpoch > 0 && state.clipsInEpoch < 10, "within an epoch");
    await truncateMetrics(path, state.step, state.evaluated);
    using folder = await openRunFolder(path);
    await train({ config, folder, resume: folder.file("state") });
    assertSameBits(await tensorsOf(folder.file("last")), ordinary.weights, "last");
  },
);
