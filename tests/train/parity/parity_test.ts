/** Replays of recorded reference cases: they hold on this device, and they can fail. */

import assert from "node:assert/strict";
import { join } from "node:path";
import { DataError } from "../../../lib/errors.ts";
import { openCase } from "../../../train/parity/case.ts";
import { compareGroup } from "../../../train/parity/compare.ts";
import { type GroupResult, replayCase } from "../../../train/parity/replay.ts";
import { engineTest } from "../../_util/engine.ts";

const FIXTURES = new URL("../../fixtures/", import.meta.url).pathname;
const TINY = `${FIXTURES}side4video/tiny.json`, TWO_HEADS = `${FIXTURES}side4video/two-side-heads.json`;
const EVA = `${FIXTURES}side4video-eva/tiny-L14-options.json`;
const RETRIEVAL = ["small-eva-mean", "small-wti", "small-eva-wti"].map((name) =>
  `${FIXTURES}side4video-retrieval/${name}.json`
);

const DIST = `${FIXTURES}dist/small.json`;

function assertAllOk(results: readonly GroupResult[]): void {
  for (const result of results) assert.ok(result.ok, JSON.stringify(result));
}

function groupsOf(results: readonly GroupResult[]): Set<string> {
  return new Set(results.map(({ group }) => group));
}

/** Groups that a case's file asks for: single tensors by name, the rest by prefix. */
async function recordedGroups(path: string): Promise<Set<string>> {
  await using reference = await openCase(path);
  const single = /^(eval|eval_after|train|step|act)\.|^(image|text)_embedding$|^logits_per_/;
  return new Set(
    reference.names("").filter((name) => !/^(state|input|step3_mask)\./.test(name)).map((name) =>
      single.test(name) ? name : name.slice(0, name.indexOf("."))
    ),
  );
}

for (const name of ["clip-vit/tiny", "clip-vit/tiny-fp16-weights"]) {
  engineTest(`the recorded case ${name} holds in every group`, async (gpu) => {
    const path = `${FIXTURES}${name}.json`;
    const results = await replayCase(gpu, path);
    assertAllOk(results);
    assert.deepEqual(groupsOf(results), await recordedGroups(path));
  });
}

for (const path of [TINY, TWO_HEADS, EVA, DIST, ...RETRIEVAL]) {
  const name = path.slice(FIXTURES.length, -".json".length);
  engineTest(`the recorded case ${name} holds in every group, recomputing and keeping alike`, async (gpu) => {
    const recomputed = await replayCase(gpu, path, { recompute: true });
    assertAllOk(recomputed);
    // Besides what is recorded: that the session allocated what its plan said.
    assert.deepEqual(groupsOf(recomputed), (await recordedGroups(path)).add("gpu_bytes"));
    assert.deepEqual(await replayCase(gpu, path, { recompute: false }), recomputed);
  });
}

/** Copies a case into a folder of its own with some elements changed by `change`. */
async function changedCase(
  path: string,
  changes: Record<string, (values: Float32Array) => void>,
  edit: (description: Record<string, unknown>) => void = () => {},
): Promise<{ path: string } & AsyncDisposable> {
  const folder = await Deno.makeTempDir();
  const bytes = await Deno.readFile(path.replace(/json$/, "safetensors"));
  const headerBytes = Number(new DataView(bytes.buffer).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + headerBytes)));
  for (const [name, change] of Object.entries(changes)) {
    const { data_offsets: [from, to], dtype } = header[name];
    assert.equal(dtype, "F32", name);
    const values = new Float32Array(bytes.slice(8 + headerBytes + from, 8 + headerBytes + to).buffer);
    change(values);
    bytes.set(new Uint8Array(values.buffer), 8 + headerBytes + from);
  }
  const description = { ...JSON.parse(await Deno.readTextFile(path)), file: "changed.safetensors" };
  edit(description);
  await Deno.writeFile(join(folder, "changed.safetensors"), bytes);
  await Deno.writeTextFile(join(folder, "changed.json"), JSON.stringify(description));
  return {
    path: join(folder, "changed.json"),
    [Symbol.asyncDispose]: () => Deno.remove(folder, { recursive: true }),
  };
}

function failedGroups(results: readonly GroupResult[]): string[] {
  return results.filter(({ ok }) => !ok).map(({ group }) => group);
}

const LAYER = "visual.transformer.side_transformer.1";

engineTest(
  "a recorded number that is off fails its own group and no other, and says which tensor",
  async (gpu) => {
    await using changed = await changedCase(TINY, {
      [`grad.${LAYER}.conv.1.weight`]: (values) => values[2] += 0.01 * Math.max(...values.map(Math.abs)),
      "step3.fc.weight": (values) => values[7] += 0.002,
      [`after_forward.${LAYER}.bn_2.running_var`]: (values) => values[1] *= 1.001,
      "train.loss_per_sample": (values) => values[1] += 2e-4,
      "act.side.1": (values) => values[40] += 0.01,
    });
    const results = await replayCase(gpu, changed.path);
    assert.deepEqual(failedGroups(results), [
      "train.loss_per_sample",
      "act.side.1",
      "grad",
      "after_forward",
      "step3",
    ]);
    const worst = (group: string) => results.find((result) => result.group === group)!.worst;
    assert.equal(worst("grad"), `${LAYER}.conv.1.weight`);
    assert.equal(worst("step3"), "fc.weight");
  },
);

engineTest("a recorded number of a retrieval case that is off fails, however slow its group", async (gpu) => {
  const path = RETRIEVAL[1];
  await using changed = await changedCase(path, {
    "train.similarity": (values) => values[1] += 2e-4,
    "train.grad_norms": (values) => values[2] *= 1.01,
    "step3.clip.ln_final.weight": (values) => values.forEach((value, i) => values[i] = value + 5e-6),
  });
  const results = await replayCase(gpu, changed.path);
  assert.deepEqual(failedGroups(results), ["train.similarity", "train.grad_norms", "step3"]);
  assert.equal(results.find(({ group }) => group === "step3")!.worst, "clip.ln_final.weight");
  await using other = await changedCase(path, {}, ({ config }) => {
    (config as { cdcr: boolean }).cdcr = true;
  });
  await assert.rejects(() => replayCase(gpu, other.path), /cdcr must be false, current value is true/);
});

engineTest("a case whose weight is off fails wherever the weight is felt", async (gpu) => {
  await using trained = await changedCase(TINY, {
    [`state.${LAYER}.mlp.fc2.weight`]: (values) => values[100] += 0.05,
  });
  const failed = failedGroups(await replayCase(gpu, trained.path));
  for (const group of ["eval.logits", "train.logits", "act.side.1", "grad", "step3"]) {
    assert.ok(failed.includes(group), group);
  }
  assert.ok(!failed.includes("act.side.0") && !failed.includes("act.backbone.2"), `${failed}`);

  await using frozen = await changedCase(`${FIXTURES}clip-vit/tiny.json`, {
    "state.visual.transformer.resblocks.1.mlp.c_fc.bias": (values) => values[3] += 0.05,
  });
  const felt = failedGroups(await replayCase(gpu, frozen.path));
  for (const group of ["act.visual.layer.1", "image_embedding", "logits_per_image", "logits_per_text"]) {
    assert.ok(felt.includes(group), group);
  }
  assert.ok(!felt.includes("act.visual.layer.0") && !felt.includes("text_embedding"), `${felt}`);
});

engineTest(
  "a case that lacks a weight, has an unknown one or is of another system is an error",
  async (gpu) => {
    const rejects = (path: string, message: RegExp) =>
      assert.rejects(() => replayCase(gpu, path), (error: Error) => {
        assert.ok(error instanceof DataError, error.stack);
        assert.match(error.message, message);
        return true;
      });
    const shallower = (description: Record<string, unknown>) => {
      (description.config as { model: { layers: number } }).model.layers = 2;
    };
    const deeper = (description: Record<string, unknown>) => {
      (description.config as { model: { layers: number } }).model.layers = 4;
    };
    await using fewer = await changedCase(TINY, {}, shallower);
    await rejects(fewer.path, /"state\.visual\.transformer\.[a-z_]+\.2\.[\w.]+" is not known to this model/);
    assert.equal(gpu.memory.allocatedBytes, 0, "a failed replay leaves nothing allocated");
    await using more = await changedCase(TINY, {}, deeper);
    await rejects(
      more.path,
      /"state\.visual\.transformer\.resblocks\.3\.[\w.]+" must be \[64\], current shape is none/,
    );
    await using other = await changedCase(TINY, {}, (description) => description.system = "resnet");
    await rejects(
      other.path,
      /system must be one of clip-vit, side4video, .*"resnet"|current value is "resnet"/,
    );
    await rejects(`${FIXTURES}side4video/absent.json`, /^Cannot read case ".*absent\.json": /);
    await rejects(`${FIXTURES}schedules.json`, /it must have "system" and "config"/);
  },
);

engineTest(
  "an EVA case with an option that no published tower has is an error that names it",
  async (gpu) => {
    for (
      const [key, value, message] of [
        ["qkv_bias", false, /vision_cfg\.qkv_bias must be true, current value is false/],
        ["ls_init_value", 0.1, /vision_cfg\.ls_init_value must be null, current value is 0\.1/],
        ["intp_freq", false, /vision_cfg\.intp_freq must be true for a grid other than pt_hw_seq_len \(16\)/],
      ] as const
    ) {
      await using changed = await changedCase(EVA, {}, (description) => {
        const { model } = description.config as { model: { vision_cfg: Record<string, unknown> } };
        model.vision_cfg[key] = value;
      });
      await assert.rejects(() => replayCase(gpu, changed.path), (error: Error) => {
        assert.ok(error instanceof DataError, error.stack);
        assert.match(error.message, message);
        return true;
      });
    }
  },
);

Deno.test("compareGroup() judges by the larger error of the kind asked for, and never lets NaN pass", () => {
  const compare = (actual: number[], expected: number[], by: "absolute" | "relative", mask?: number[]) =>
    compareGroup("case", "group", [{ name: "x", actual, expected, mask }], { tolerance: 1e-3, by });
  assert.equal(compare([100.05], [100], "relative").ok, true);
  assert.equal(compare([100.05], [100], "absolute").ok, false);
  assert.equal(compare([1e-5, 0], [2e-5, 0], "absolute").ok, true);
  assert.equal(compare([1e-5, 0], [2e-5, 0], "relative").ok, false);
  for (const bad of [NaN, Infinity]) {
    for (const by of ["absolute", "relative"] as const) {
      const result = compare([1, bad], [1, 1], by);
      assert.equal(result.ok, false);
      assert.equal(result.max_abs, Infinity);
    }
  }
  assert.equal(compare([1, 5], [1, 1], "absolute", [1, 0]).ok, true, "masked entries do not count");
  assert.equal(compare([1, 5], [1, 1], "absolute", [0, 1]).ok, false);
  assert.throws(() => compare([1], [1, 2], "absolute"), /Cannot compare "x": it must have 2 elements/);
});

Deno.test("compareGroup() takes the worst tensor of a group, each relative to its own largest value", () => {
  const result = compareGroup("case", "grad", [
    { name: "large", actual: [1000.1], expected: [1000] },
    { name: "small", actual: [0.0011], expected: [0.001] },
  ], { tolerance: 1e-2, by: "relative" });
  assert.equal(result.ok, false);
  assert.equal(result.worst, "small");
  assert.ok(Math.abs(result.max_rel - 0.1) < 1e-9);
});
