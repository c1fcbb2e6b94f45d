/** The recorded programs of a training run: what they write, how the update covers flat memory. No device. */

import assert from "node:assert/strict";
import { baseOf, bytesOf, resident, sizeOf } from "../../../gpu/graph.ts";
import { ADAMW_HYPER_LENGTH, packAdamwHyper } from "../../../gpu/ops/mod.ts";
import { createPrng } from "../../../lib/random.ts";
import { type Config, parseConfig } from "../../../train/recipe/config.ts";
import { type RecordedPrograms, recordPrograms } from "../../../train/runtime/programs.ts";
import { type FlatMemory, recordUpdate } from "../../../train/runtime/update_program.ts";
import { ratesOf } from "../../../train/runtime/update_rules.ts";
import { rateOf } from "../../../train/run/schedule.ts";
import { optimizerOf } from "../../../train/tasks/session_options.ts";
import { type Memory, runReference } from "../../_util/reference_engine.ts";
import { ROOMY, TINY_GROUPS, tinyModel, tinyPrograms } from "../../_util/tiny_model.ts";

/** Flat memory as a session lays it out: every weight starts at a multiple of 64 elements. */
function flatMemory(programs: RecordedPrograms): FlatMemory {
  const starts: number[] = [];
  let count = 0;
  for (const { shape } of programs.trained) {
    starts.push(count);
    count += Math.ceil(sizeOf(shape) / 64) * 64;
  }
  const flat = (label: string) => resident("state", label, [count]);
  return {
    parameters: flat("parameters"),
    gradients: flat("gradients"),
    moments: { exp_avg: flat("exp_avg"), exp_avg_sq: flat("exp_avg_sq") },
    starts,
  };
}

Deno.test("a step without accumulation writes every gradient once, where it belongs", () => {
  const programs = recordPrograms(tinyModel(), tinyPrograms());
  const { plan } = programs.train.get(2)!;
  const copied = plan.steps.filter(({ node }) => node.op.name === "copyInto").map(({ node }) =>
    node.inputs.dst
  );
  const written = [...plan.pinned.values(), ...copied];
  assert.deepEqual(written.map((t) => t.label).sort(), programs.gradients.map((t) => t.label).sort());
  assert.ok(
    copied.length < written.length / 20,
    `${copied.length} of ${written.length} gradients are copied`,
  );
  for (const [value, target] of plan.pinned) {
    assert.equal(bytesOf(value), bytesOf(target), target.label);
    assert.equal(plan.placements.has(value), false);
  }
});

Deno.test("a step with accumulation adds every gradient to its sum", () => {
  const programs = recordPrograms(tinyModel(), tinyPrograms({ accumulation: 4 }));
  const { plan } = programs.train.get(2)!;
  assert.equal(plan.pinned.size, 0);
  const added = plan.steps.filter(({ node }) => node.op.name === "accumulateInto").map(({ node }) =>
    node.inputs.dst
  );
  assert.deepEqual(added.map((t) => t.label).sort(), programs.gradients.map((t) => t.label).sort());
});

Deno.test("batches of all sizes and the evaluation share one input, of which they read the leading clips", () => {
  const model = tinyModel(), { frames: T, backbone: { imageSize } } = model.config;
  const programs = recordPrograms(model, tinyPrograms({ trainClips: [3, 1], evalClips: 2 }));
  assert.deepEqual(programs.frames.shape, [3 * T, 3, imageSize, imageSize]);
  assert.deepEqual(programs.inputs.labels.shape, [3]);
  const plans = new Map([...programs.train].map(([clips, { plan }]) => [clips, plan]));
  for (const [clips, plan] of [...plans, [2, programs.evaluation.plan] as const]) {
    const reads = plan.steps.flatMap(({ node }) => Object.values(node.inputs)).filter((t) =>
      baseOf(t) === programs.frames
    );
    assert.ok(reads.length >= 2, "the tower and the stem");
    for (const tensor of reads) {
      assert.equal(tensor.offset, 0);
      assert.equal(tensor.shape[0], clips * T);
    }
  }
  assert.deepEqual(programs.evaluation.output.outputs.logits.shape, [2, model.config.classes]);
});

Deno.test("the evaluation has no effect and no backward node", () => {
  const { plan } = recordPrograms(tinyModel(), tinyPrograms()).evaluation;
  for (const { node } of plan.steps) {
    assert.deepEqual(node.op.updates, [], node.op.name);
    assert.equal(node.phase, "forward");
  }
});

Deno.test("named activations are outputs when they are to be kept, and only then", () => {
  const names = (
    keepActivations: boolean,
  ) => [...recordPrograms(tinyModel(), tinyPrograms({ keepActivations })).train.get(2)!.g.outputs.keys()];
  assert.deepEqual(names(false), ["logits", "loss", "loss_per_sample"]);
  for (
    const name of [
      "ln_pre",
      "backbone.1",
      "bridge.0",
      "side.1",
      "side_conv1",
      "side_post_bn",
      "video_embedding",
    ]
  ) {
    assert.ok(names(true).includes(`act.${name}`), name);
  }
});

/** Seeded flat memory, constants of step 2 with another rate for every group, and no clipping. */
function seededMemory(programs: RecordedPrograms, flat: FlatMemory): Memory {
  const { exp_avg: first, exp_avg_sq: second } = flat.moments;
  const tensors = [flat.parameters, flat.gradients, first, second];
  const memory: Memory = new Map(
    tensors.map((tensor, i) => {
      const prng = createPrng(11, i);
      const value = tensor === second ? () => prng.uniform() : () => prng.normal();
      return [tensor, Float64Array.from({ length: sizeOf(tensor.shape) }, value)];
    }),
  );
  const common = { beta1: 0.9, beta2: 0.99, eps: 1e-8, weightDecay: 0.1, step: 2 };
  const hyper = TINY_GROUPS.flatMap((_, i) => [...packAdamwHyper({ ...common, lr: 10 ** -(i + 1) })]);
  return memory.set(programs.clip, Float64Array.of(1)).set(programs.guard, new Float64Array(3))
    .set(programs.hyper, Float64Array.from(hyper));
}

Deno.test("the update covers every group with its own constants, without gap or overlap", () => {
  const programs = recordPrograms(tinyModel(), tinyPrograms()), flat = flatMemory(programs);
  const { plan } = recordUpdate(programs, flat, tinyPrograms());
  const windows = plan.steps.filter(({ node }) => node.op.name === "adamw").map(({ node }) => ({
    group: (node.attrs.hyperOffset as number) / ADAMW_HYPER_LENGTH,
    from: node.inputs.param.offset,
    to: node.inputs.param.offset + sizeOf(node.inputs.param.shape),
    same: ["grad", "m", "v"].every((name) =>
      node.inputs[name].offset === node.inputs.param.offset &&
      sizeOf(node.inputs[name].shape) === sizeOf(node.inputs.param.shape)
    ),
  })).sort((a, b) => a.from - b.from);
  assert.ok(windows.every(({ same }) => same));
  let end = 0;
  for (const { from, to } of windows) {
    assert.equal(from, end);
    end = to;
  }
  assert.equal(end, sizeOf(flat.parameters.shape));
  programs.trained.forEach(({ name, group, shape }, i) => {
    const at = windows.find(({ from, to }) => from <= flat.starts[i] && flat.starts[i] + sizeOf(shape) <= to);
    assert.equal(at?.group, TINY_GROUPS.findIndex((one) => one.name === group), name);
  });
});

Deno.test("an update cut into small bindings computes what one in whole ranges does", () => {
  const programs = recordPrograms(tinyModel({ layers: 1, width: 16 }), tinyPrograms()),
    flat = flatMemory(programs);
  const small = { maxBindingBytes: 256 * 400, maxBufferBytes: ROOMY.maxBufferBytes };
  const run = (limits: typeof ROOMY) => {
    const { g, plan } = recordUpdate(programs, flat, tinyPrograms({ clipGradNorm: 2, limits }));
    const memory = runReference(plan.steps.map(({ node }) => node), seededMemory(programs, flat));
    return { windows: g.nodes.flatMap((node) => Object.values(node.inputs)).filter((t) => t.base), memory };
  };
  const whole = run(ROOMY), cut = run(small), start = seededMemory(programs, flat);
  assert.ok(cut.windows.length > whole.windows.length);
  assert.ok(cut.windows.every((tensor) => bytesOf(tensor) <= small.maxBindingBytes));
  const norm = Math.hypot(...start.get(flat.gradients)!);
  for (const { memory } of [whole, cut]) {
    assert.ok(
      Math.abs(memory.get(programs.clip)![0] - 2 / (norm + 1e-6)) < 1e-9,
      "the global norm, over all pieces",
    );
  }
  for (const tensor of [flat.parameters, ...Object.values(flat.moments)]) {
    const expected = whole.memory.get(tensor)!, before = start.get(tensor)!;
    cut.memory.get(tensor)!.forEach((value, i) => {
      assert.ok(Math.abs(value - expected[i]) < 1e-9, `${tensor.label}[${i}]`);
      assert.notEqual(value, before[i], `${tensor.label}[${i}] is updated`);
    });
  }
});

Deno.test("groups have the published rates", () => {
  const recipe = (more: string[]) =>
    parseConfig(
      `data: { num_classes: 4, train_list: a, val_list: b, root: c }
network: { arch: ViT-B/16 }
solver: { lr: 0.01, epochs: 10, lr_warmup_step: 2, grad_accumulation_steps: 4, clip_ratio: 0.25 }`,
      { overrides: more },
    ).config;
  const ratesIn = (config: Config) => {
    const rate = rateOf(config, { batchesPerLoop: 100 }), optimizer = optimizerOf(config);
    return (epoch: number, batch: number) => ratesOf(optimizer, rate(epoch, batch));
  };
  const rates = ratesIn(recipe([]));
  assert.deepEqual(rates(2, 0), { side: 0.0025, head: 0.01, batch_norm: 0.0025 });
  assert.equal(rates(1, 0).head, 0.005);
  assert.equal(rates(0, 0).head, 0);
  assert.ok(rates(9, 99).head < 1e-5);
  const synced = ratesIn(recipe(["network.sync_bn=true"]))(2, 0);
  assert.equal(synced.batch_norm, synced.head);
});
