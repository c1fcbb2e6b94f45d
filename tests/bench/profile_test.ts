/** How launches are summed up, the form of a trace, and which sizes an adapter is measured at. */
import assert from "node:assert/strict";
import { moduleOf, phaseOf, type ProfiledLaunch, rowsOf } from "../../bench/profile.ts";
import { calibrated } from "../../bench/peaks/calibrate.ts";
import { sharedResult } from "../../bench/peaks/_kernels.ts";
import { measurePeaks } from "../../bench/peaks/measure.ts";
import { chromeTrace } from "../../bench/trace.ts";
import { peaksWith } from "../../cli/rates/peak.ts";
import { alike, describeProfile } from "../../cli/rates/profile.ts";
import { Gpu } from "../../gpu/device.ts";
import { OPS } from "../../gpu/op.ts";
import { gpuTest, testDevice } from "../_util/gpu.ts";

const PEAKS = {
  f32_gflops: 1000,
  f16_gflops: null,
  copy_gbps: 100,
  workgroup_gbps: 0,
  upload_gbps: 10,
  launch_us: 5,
};
const launch = (own: Partial<ProfiledLaunch>): ProfiledLaunch => ({
  program: "train.2",
  index: 0,
  label: "add",
  op: "add",
  scope: "head",
  phase: "forward",
  startMs: 0,
  ms: 1,
  flops: 0,
  bytes: 0,
  ...own,
});

Deno.test("nodes count for their module and their part of the step, whatever pass recorded them", () => {
  assert.deepEqual(
    ["backbone/block.3", "grad/side/layer.0", "grad/recompute/side/layer.0", "recompute/head", "grad/", ""]
      .map((scope) => moduleOf({ scope, phase: "backward" })),
    ["backbone/block.3", "side/layer.0", "side/layer.0", "head", "loss", "loss"],
  );
  assert.equal(moduleOf({ scope: "", phase: "update" }), "update");
  const of = (program: string, scope: string, phase: "forward" | "backward" | "update") =>
    phaseOf(program, { scope, phase });
  assert.equal(of("train.2", "side/layer.0", "forward"), "forward");
  assert.equal(of("train.2", "recompute/side/layer.0", "backward"), "recompute");
  assert.equal(of("train.2", "grad/side/layer.0", "backward"), "backward");
  assert.equal(of("backward.2", "side/layer.0", "forward"), "recompute");
  assert.equal(of("update", "", "update"), "update");
});

Deno.test("rows add up times and work, and hold them against the peaks", () => {
  const rows = rowsOf(
    [
      launch({ ms: 1, bytes: 50e6 }),
      launch({ ms: 3, bytes: 50e6 }),
      launch({ op: "matmul", ms: 8, flops: 2e9 }),
    ],
    ({ op }) => op,
    { peaks: PEAKS },
  );
  assert.deepEqual(
    rows.map((
      { name, launches, ms, gflops, gbps, roofline },
    ) => [name, launches, ms, gflops, gbps, roofline]),
    [["matmul", 1, 8, 250, 0, 0.25], ["add", 2, 4, 0, 25, 0.25]],
  );
  const parts = alike(rowsOf(
    ["side/layer.0", "side/layer.1", "head"].map((scope, i) => launch({ scope, ms: 3 - i, bytes: 1e6 })),
    ({ scope }) => scope,
    { peaks: PEAKS },
  ));
  assert.deepEqual(parts.map(({ name, launches, ms }) => [name, launches, ms]), [
    ["side/layer.* (2)", 2, 5],
    ["head", 1, 1],
  ]);
  assert.ok(Math.abs(parts[0].gbps - 0.4) < 1e-9);
});

Deno.test("a trace has a track of launches with their work, and one of the host", () => {
  const { traceEvents, displayTimeUnit } = chromeTrace({
    adapter: "card",
    recipe: "demo",
    launches: [launch({ startMs: 0 }), launch({ startMs: 1.5, ms: 0.25, flops: 7, bytes: 9 })],
    host: [{ what: "write", startMs: 100, ms: 1, bytes: 64 }, { what: "submit", startMs: 101, ms: 2 }],
    submittedMs: 103,
  });
  assert.equal(displayTimeUnit, "ms");
  assert.deepEqual(traceEvents.filter(({ ph }) => ph === "M").map(({ args }) => args.name), [
    "a step of demo",
    "card",
    "host",
  ]);
  const timed = traceEvents.filter(({ ph }) => ph === "X");
  assert.deepEqual(timed.map(({ name, tid, ts, dur }) => [name, tid, ts, dur]), [
    ["add", 1, 3000, 1000],
    ["add", 1, 4500, 250],
    ["write", 2, 0, 1000],
    ["submit", 2, 1000, 2000],
  ]);
  assert.deepEqual(timed[1].args, {
    op: "add",
    scope: "head",
    phase: "forward",
    program: "train.2",
    flops: 7,
    bytes: 9,
  });
});

Deno.test("a profile tells all peaks, and what the estimates of ops come to", () => {
  const launches = [launch({ ms: 2, bytes: 50e6 }), launch({ op: "matmul", ms: 8, flops: 2e9 })];
  const rows = rowsOf(launches, ({ op }) => op, { peaks: PEAKS });
  const host = { encode_ms: 0, write_ms: 0, submit_ms: 0, other_ms: 0, share_of_step: 0, written_bytes: 0 };
  const step = { name: "step", variant: "", shape: "", ms: 9, gflops: 1, gbps: 1, adapter: "card" };
  const lines = [...describeProfile({
    step: { ...step, clips_per_second: 1, gpu_bytes: 1, host },
    method: "timestamps",
    peaks: { ...PEAKS, f16_gflops: 1900, workgroup_gbps: 400 },
    launches: 2,
    gpu_ms: 10,
    phases: { forward: 10, recompute: 0, backward: 0, update: 0 },
    kernels: [],
    ops: rows.map((row) => ({ ...row, estimated_ms: 3 })),
    scopes: [],
    below_half: 0.8,
  })];
  const has = (line: RegExp) =>
    assert.ok(lines.some((one) => line.test(one)), `${line} in\n${lines.join("\n")}`);
  has(
    /^2 launches, 10\.0 ms of them, each in a pass of its own, which takes longer than the 9\.0 ms of a step/,
  );
  has(
    /^peaks: f32 1000 GFLOP\/s, f16 1900 GFLOP\/s, copying 100\.0 GB\/s, workgroup memory 400\.0 GB\/s; 80 %/,
  );
  has(/^matmul +1 +8\.00 +80 % .* 3\.00 ms$/);
  has(/^all +2 +10\.00 +100 % +6\.00 ms$/);
});

Deno.test("every op that launches kernels is measured, products of whole batches on fast adapters alone", () => {
  const slow = calibrated(100), fast = calibrated(50_000);
  const launching = [...OPS.values()].filter(({ view }) => !view).map(({ name }) => name);
  assert.deepEqual(launching.filter((name) => !slow.some(({ op }) => op === name)), []);
  const products = (all: typeof slow) => all.find(({ op }) => op === "matmul")!.cases.length;
  assert.ok(products(fast) > products(slow));
});

Deno.test("the peak of f32 arithmetic is no less than what a kernel reached with it", () => {
  const product = (type: number) => ({ op: "matmul", flops: 3e9, bytes: 1, ms: 2, sizes: [9, 9, 9, type] });
  const norm = { op: "layerNorm", flops: 9e9, bytes: 1, ms: 1 };
  assert.equal(peaksWith(PEAKS, [product(4), norm]).f32_gflops, 1500);
  assert.equal(peaksWith(PEAKS, [product(2), norm]).f32_gflops, 1000, "halves may be multiplied as such");
  assert.equal(peaksWith(PEAKS, [{ ...product(4), ms: 4 }]).f32_gflops, 1000);
});

Deno.test("the sum over workgroup memory is that of plain loops", () => {
  const words = Array.from({ length: 1024 }, (_, i) => 10 * i);
  let sum = 0;
  for (let i = 0; i < 3 * 8; i++) sum += words[(5 + 64 * i) % 1024];
  assert.equal(sharedResult(5, { turns: 3, stride: 64 }), sum);
});

gpuTest("peaks come from kernels whose results are right, with the GPU's clock and without", async () => {
  const { device, info, features } = (await testDevice())!;
  for (const left of ["", "timestamp-query"]) {
    const gpu = new Gpu(device, info, new Set([...features].filter((name) => name !== left)));
    const peaks = await measurePeaks(gpu, () => {}, { leastMs: 0, count: 1, copyBytes: 2 ** 20 });
    const { f16_gflops: f16, ...rest } = peaks;
    assert.equal(f16 !== null, features.has("shader-f16"));
    for (const [name, value] of Object.entries(rest)) assert.ok(value > 0, name);
    assert.equal(gpu.memory.allocatedBytes, 0);
  }
});
