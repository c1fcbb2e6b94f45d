/** The time of a planned step by rates that are given, and what is known of cards. */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { bytesOf, type Node } from "../../../gpu/graph.ts";
import { loadConfig } from "../../../train/recipe/config.ts";
import { planRecipe } from "../../../train/planning/plan_recipe.ts";
import { nearestCard, PUBLISHED_CARDS, publishedCard } from "../../../train/planning/published_cards.ts";
import {
  type AdapterRates,
  halfGain,
  idealMs,
  nodeMs,
  pointMs,
  ratesKey,
} from "../../../train/planning/rates.ts";
import { readRates, writeRates } from "../../../train/planning/rates_file.ts";
import { stepTime } from "../../../train/planning/step_time.ts";

const PEAKS = {
  f32_gflops: 1000,
  f16_gflops: null,
  copy_gbps: 100,
  workgroup_gbps: 0,
  upload_gbps: 10,
  launch_us: 5,
};
const rates = (points: AdapterRates["points"] = []): AdapterRates => ({
  adapter: "card",
  measured: null,
  peaks: PEAKS,
  points,
});
const DEMO = fileURLToPath(new URL("../../../configs/demo.yaml", import.meta.url));

Deno.test("without a measured op its time is a launch and assumed shares of the peaks", () => {
  const work = { op: "add", flops: 0, bytes: 70e6, ms: 0 };
  assert.ok(Math.abs(pointMs(work, rates()) - 1.005) < 1e-9); // 70 MB at 70 GB/s
  const product = { op: "matmul", flops: 4e9, bytes: 1e6, ms: 0, sizes: [1, 1, 1, 4] };
  assert.ok(Math.abs(pointMs(product, rates()) - 10.005) < 1e-9); // 4 GFLOP at 400 GFLOP/s
  assert.equal(idealMs({ flops: 1e9, bytes: 1e6 }, PEAKS), 1);
});

Deno.test("ops lie on lines between their measured times, the smallest below and in proportion beyond", () => {
  const own = rates([
    { op: "add", flops: 0, bytes: 100, ms: 2 },
    { op: "add", flops: 0, bytes: 1000, ms: 10 },
    { op: "add", flops: 0, bytes: 400, ms: 4 },
    { op: "scale", flops: 0, bytes: 1, ms: 77 },
  ]);
  const ms = (bytes: number) => pointMs({ op: "add", flops: 0, bytes, ms: 0 }, own);
  assert.deepEqual([50, 100, 250, 400, 700, 1000, 3000].map((n) => Number(ms(n).toFixed(9))), [
    2,
    2,
    3,
    4,
    7,
    10,
    30,
  ]);
});

Deno.test("of an op with many operations a byte, the operations alone count", () => {
  const own = rates([
    { op: "convolution", flops: 1e6, bytes: 1e5, ms: 1 },
    { op: "convolution", flops: 1e8, bytes: 1e7, ms: 10 },
  ]);
  assert.equal(pointMs({ op: "convolution", flops: 2e8, bytes: 9e7, ms: 0 }, own), 20);
});

Deno.test("products take the rate of those of like sizes", () => {
  const own = rates([
    { op: "matmul", flops: 2e6, bytes: 1, ms: 1, sizes: [100, 100, 100, 4] },
    { op: "matmul", flops: 2e9, bytes: 1, ms: 10, sizes: [1000, 1000, 1000, 4] },
  ]);
  const ms = (n: number) =>
    pointMs({ op: "matmul", flops: 2 * n ** 3, bytes: 1, ms: 0, sizes: [n, n, n, 4] }, own);
  assert.ok(Math.abs(ms(100) - 1) < 0.01 && Math.abs(ms(1000) - 10) < 0.1);
  const between = ms(316);
  assert.ok(between > 2 * 316 ** 3 / 2e8 && between < 2 * 316 ** 3 / 2e6, `${between}`);
});

Deno.test("a product that ends in an activation takes its arithmetic too, and no more of its memory and launches", async () => {
  const { step } = planRecipe((await loadConfig(DEMO)).config),
    nodes = step.programs.flatMap(({ steps }) => steps);
  const product = { op: "matmul", flops: 1e9, bytes: 1, ms: 1, sizes: [1000, 1000, 500, 4] };
  for (
    const [name, isGradient, tensors] of [["quickGelu", false, 2], ["gelu", false, 2], [
      "gelu",
      true,
      3,
    ]] as const
  ) {
    const { node } = nodes.find(({ node: { op, inputs, attrs } }) =>
      op.name === "matmul" && attrs.activation === name && (inputs.preactivation !== undefined) === isGradient
    )!;
    const bytes = tensors * bytesOf(node.outputs.out);
    const alone = (ms: number) => ({ op: isGradient ? `${name}Dx` : name, flops: 0, bytes, ms });
    const more = (ms: number) => nodeMs(node, rates([product, alone(ms)])) - nodeMs(node, rates([product]));
    assert.ok(Math.abs(more(70) - (70 - 0.005 - bytes / 100e6)) < 1e-9, name);
    assert.equal(more(bytes / 100e6), 0, `${name}: memory alone`);
  }
});

Deno.test("products in f16 take the adapter's f16 rate, unless memory or an unknown rate keeps them back", async () => {
  const product = { op: "matmul", flops: 4e9, bytes: 1e6, ms: 0, sizes: [1, 1, 1, 2] };
  const own = rates([{ op: "matmul", flops: 1e9, bytes: 1, ms: 2, sizes: [1, 1, 1, 2] }]);
  const near = (ms: number, expected: number) => assert.ok(Math.abs(ms - expected) < 1e-9, `${ms}`);
  near(pointMs(product, own), 8);
  near(pointMs(product, own, 4), 2);
  near(pointMs({ ...product, bytes: 500e6 }, own, 4), 5); // at 100 GB/s
  near(pointMs({ ...product, bytes: 5e9 }, own, 4), 8);
  near(pointMs(product, rates(), 4), 2.505); // at 1600 GFLOP/s
  assert.deepEqual([null, 500, 3000].map((f16_gflops) => halfGain({ ...PEAKS, f16_gflops })), [null, 1, 3]);

  const planOf = async (keys: string[]) =>
    planRecipe((await loadConfig(DEMO, ["precision=f16", ...keys])).config);
  const [plain, halves] = [await planOf([]), await planOf(["arithmetic=f16"])];
  const card = (f16_gflops: number | null) => ({ ...rates(), peaks: { ...PEAKS, f16_gflops } });
  const isHalf = ({ op, inputs: { a, b } }: Node) =>
    op.name === "matmul" && a.dtype === "f16" && b.dtype === "f16";
  const saved = halves.step.programs.flatMap(({ steps }) => steps).filter(({ node }) => isHalf(node)).map(
    ({ node }) => {
      const { flops, bytes } = node.op.work(node),
        of = (gflops: number) => Math.max(flops / gflops, bytes / 70);
      return (of(400) - of(1200)) / 1e9;
    },
  );
  assert.ok(saved.length > 10);
  const before = stepTime(plain.step, card(3000)).seconds, after = stepTime(halves.step, card(3000)).seconds;
  assert.ok(Math.abs(before - after - saved.reduce((a, b) => a + b, 0)) < 1e-12);
  assert.ok(before - after > 1e-6);
  for (const gflops of [null, 900]) assert.equal(stepTime(halves.step, card(gflops)).seconds, before);
});

Deno.test("a step is its nodes, the update among them, and what is sent; streamed blocks hide behind kernels", async () => {
  const planned = planRecipe((await loadConfig(DEMO)).config), { step } = planned;
  const own = rates(), time = stepTime(step, own);
  const nodes = [...step.programs, ...step.updates].flatMap(({ steps }) => steps.map(({ node }) => node));
  const expected = nodes.reduce((sum, node) => {
    const { flops, bytes } = node.op.work(node);
    return sum + 5e-6 + Math.max(flops / 400e9, bytes / 70e9);
  }, 0);
  assert.ok(Math.abs(time.kernelSeconds - expected) < 1e-12);
  assert.ok(time.byOp.some(({ op }) => op === "adamw"));
  assert.equal(step.uploadedBytes, 16 * 8 * 3 * 32 * 32 * 4);
  assert.equal(time.uploadSeconds, step.uploadedBytes / 10e9);
  assert.equal(time.seconds, time.kernelSeconds + time.uploadSeconds);
  const twice = stepTime({ ...step, batches: 2 }, own);
  assert.ok(twice.seconds > 1.9 * time.seconds && twice.seconds < 2 * time.seconds);
  const hidden = stepTime({ ...step, streamedBytes: 5e9 * time.kernelSeconds }, own);
  assert.equal(hidden.seconds, time.seconds);
  const bound = stepTime({ ...step, streamedBytes: 30e9 * time.kernelSeconds }, own);
  assert.ok(Math.abs(bound.seconds - time.seconds - 2 * time.kernelSeconds) < 1e-12);
});

Deno.test("a streamed recipe sends its blocks once a program", async () => {
  const streamed = planRecipe((await loadConfig(DEMO, ["frozen=stream", "data.micro_batch_size=8"])).config);
  assert.equal(streamed.programs.length, 2);
  assert.ok(streamed.step.streamedBytes > 0 && streamed.step.streamedBytes % 2 === 0);
  assert.equal(planRecipe((await loadConfig(DEMO)).config).step.streamedBytes, 0);
});

Deno.test("cards are found by their names, with and without their makers", () => {
  const written = {
    "RTX 4090": [
      "RTX 4090",
      "rtx4090",
      "NVIDIA GeForce RTX 4090",
      "geforce rtx4090",
      "GeForce RTX 4090/PCIe/SSE2",
    ],
    "RTX 4060 Ti": ["NVIDIA GeForce RTX 4060 Ti", "rtx4060ti"],
    "H100": ["NVIDIA H100 80GB HBM3", "h100 sxm5"],
    "H100 PCIe": ["NVIDIA H100 PCIe"],
    "H200": ["NVIDIA H200", "NVIDIA H200 141GB HBM3e"],
    "A100": ["NVIDIA A100-SXM4-40GB", "A100-PCIE-40GB"],
    "A100 80GB": ["NVIDIA A100-SXM4-80GB", "NVIDIA A100 80GB PCIe"],
    "V100": ["Tesla V100-SXM2-16GB"],
    "T4": ["Tesla T4"],
    "RX 7900 XTX": ["AMD Radeon RX 7900 XTX", "AMD Radeon RX 7900 XTX (RADV NAVI31)"],
    "Arc A770": ["Intel(R) Arc(tm) A770 Graphics (DG2)", "Arc A770"],
    "M3 Max": ["Apple M3 Max"],
    "M1": ["Apple M1"],
  };
  for (const [card, names] of Object.entries(written)) {
    for (const name of names) assert.equal(publishedCard(name)?.adapter, card, name);
  }
  const others = [
    "RTX 4091",
    "NVIDIA GeForce RTX 4090 Laptop GPU",
    "NVIDIA A10G",
    "NVIDIA H100 NVL",
    "RTX 3080 12GB",
    "RTX 3060 8GB",
    "RTX",
    "4090",
    "NVIDIA",
    "",
  ];
  for (const name of others) assert.equal(publishedCard(name), null, name);
  assert.deepEqual(
    ["RTX 4090 Laptop GPU", "NVIDIA H100 NVL", "RTX 4900", "RTX 3080 12GB", "banana"].map(nearestCard),
    [
      "RTX 4090",
      "H100",
      "RTX 4090",
      "RTX 3080",
      undefined,
    ],
  );
  for (const name of PUBLISHED_CARDS) {
    const { adapter, peaks } = publishedCard(name)!;
    assert.equal(adapter, name); // no two names that read alike
    assert.ok(peaks.f32_gflops > 1000 && peaks.f32_gflops < 200_000 && peaks.copy_gbps > 50, name);
    assert.ok((peaks.f16_gflops ?? peaks.f32_gflops) >= peaks.f32_gflops, name);
  }
});

Deno.test("rates come back from their file as they were, and a broken one is none", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const path = `${folder}/new/peaks.json`;
    assert.equal((await readRates(path)).size, 0);
    const info = { vendor: "1", architecture: "a", device: "2", description: "card" };
    const kept = new Map([[ratesKey(info), rates([{ op: "add", flops: 0, bytes: 1, ms: 1 }])]]);
    await writeRates(path, kept);
    assert.deepEqual(await readRates(path), kept);
    for (const text of ['{"x": {"adapter": "card"}}', "{half"]) {
      const told: string[] = [];
      await Deno.writeTextFile(path, text);
      assert.equal((await readRates(path, (line) => told.push(line))).size, 0);
      assert.deepEqual(told.map((line) => line.replace(path, "F")), [
        'warning: "F" is damaged; no rates of adapters are known until bench peak has written it anew',
      ]);
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
