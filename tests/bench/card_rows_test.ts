/** What `bench card` makes of measurements, what it refuses, and whom it compares with; without PyTorch. */
import assert from "node:assert/strict";
import { benchCard, checkCardRecipe, withoutTorch } from "../../bench/card.ts";
import {
  cardTable,
  compareTimes,
  isComparable,
  isSameCard,
  type OwnTime,
  type PeerDevice,
  trainedDifference,
} from "../../bench/card_rows.ts";
import { parseConfig } from "../../train/recipe/config.ts";
import { gpuTest } from "../_util/gpu.ts";

const DEVICE: PeerDevice = {
  name: "NVIDIA H200",
  torch: "2.5.1",
  cuda: "12.4",
  driver: "570.86",
  threads: 16,
};

const own = (name: string, changes: Partial<OwnTime> = {}): OwnTime => ({
  name,
  variant: "",
  shape: "1x1",
  ms: 100,
  gflops: 1,
  gbps: 1,
  bytes: 4e9,
  adapter: "NVIDIA H200",
  ...changes,
});

Deno.test("a ratio is the peer's time divided by ours, a share our memory divided by the peer's", () => {
  const row = { what: "step", variant: "f32 eager", ms: 95, bytes: 20e9, temporal: "conv3d" };
  const { peer, ratio, memory_share, met, driver } = compareTimes(own("step f16"), row, DEVICE);
  assert.deepEqual([peer, ratio, memory_share, met, driver], [
    "PyTorch 2.5.1 f32 eager (conv3d)",
    0.95,
    0.2,
    true,
    "570.86",
  ]);
});

Deno.test("each target is judged: time, and memory beside f32; nothing on two cards or without a time", () => {
  const met = (what: string, variant: string, ms: number, bytes: number | null, adapter = "NVIDIA H200") =>
    compareTimes(own("x", { adapter }), { what, variant, ms, bytes }, DEVICE).met;
  assert.equal(met("matmul", "f32 eager", 60, 1), true);
  assert.equal(met("matmul", "f32 eager", 59, 1), false);
  assert.equal(met("vit", "f32 eager", 90, 16e9), true);
  assert.equal(met("vit", "f32 eager", 89, 16e9), false);
  assert.equal(met("step", "f32 eager", 95, 15e9), false);
  assert.equal(met("step", "f32 eager", 95, null), false);
  assert.equal(met("step", "amp", 35, 1e9), true);
  assert.equal(met("step", "amp", 34, 1e9), false);
  assert.equal(met("step", "amp", 35, 1e9, "llvmpipe (LLVM 15)"), null);
  const failed = compareTimes(own("x"), { what: "step", variant: "amp", error: "out of memory" }, DEVICE);
  assert.deepEqual([failed.ms, failed.ratio, failed.met, failed.error], [null, null, null, "out of memory"]);
});

Deno.test("a card is known by whole words of its name", () => {
  assert.ok(isSameCard("NVIDIA H200", "NVIDIA H200"));
  assert.ok(isSameCard("NVIDIA GeForce RTX 4090 (570.86)", "NVIDIA GeForce RTX 4090"));
  assert.ok(!isSameCard("NVIDIA H200", "NVIDIA H100 80GB HBM3"));
  assert.ok(!isSameCard("NVIDIA GeForce RTX 3080 Ti", "NVIDIA GeForce RTX 3080T"));
  assert.ok(!isSameCard("llvmpipe (LLVM 15.0.6, 256 bits)", "CPU"));
  assert.ok(!isSameCard("", "NVIDIA H200"));
});

Deno.test("f32 is set beside every precision of ours, autocast beside stored halves where there are any", () => {
  assert.deepEqual([isComparable("f32", "f32 eager", true), isComparable("f16", "f32 eager", true)], [
    true,
    true,
  ]);
  assert.deepEqual([isComparable("f32", "amp", true), isComparable("f16", "amp", true)], [false, true]);
  assert.ok(isComparable("f32", "amp", false));
});

Deno.test("both must train the same tensors and as many numbers", () => {
  const row = { what: "step", variant: "amp", tensors: ["a", "b"], trained: 7 };
  assert.equal(trainedDifference(new Map([["a", 3], ["b", 4]]), row), null);
  assert.equal(trainedDifference(new Map([["a", 3], ["b", 5]]), row), "ours trains 8 numbers, the peer 7");
  assert.equal(trainedDifference(new Map([["a", 3]]), row), "only the peer trains b");
  assert.equal(trainedDifference(new Map([["a", 3], ["b", 4], ["c", 1]]), row), "only ours trains c");
});

Deno.test("the table has a line for every pair, and ours alone without a peer", () => {
  const step = own("step f32"), alone = own("matmul f32", { ms: 3.456 });
  const pairs = [
    compareTimes(step, { what: "step", variant: "f32 eager", ms: 80, bytes: 20e9 }, DEVICE),
    compareTimes(step, { what: "step", variant: "amp", error: "CUDA out of memory" }, DEVICE),
  ];
  const [head, ...lines] = cardTable([alone, step], pairs);
  assert.match(head, /ours +memory +peer +time +memory +ratio +target/);
  assert.equal(lines.length, 3);
  assert.match(lines[0], /^matmul f32 1x1 +3\.46 ms .* not timed$/);
  assert.match(lines[1], /80\.00 ms .* 0\.80 +≥ 0\.9 +0\.20 +≤ 0\.25 +not met$/);
  assert.match(lines[2], /– .*CUDA out of memory$/);
});

Deno.test("a Python without torch is told apart from a failure", () => {
  const told = "Traceback (most recent call last):\nModuleNotFoundError: No module named 'torch'";
  assert.match(
    withoutTorch("python3", told)!,
    /python3 has no torch; name a Python that has with --python/,
  );
  assert.equal(withoutTorch("python3", "RuntimeError: cuDNN error"), null);
});

Deno.test("card refuses recipes that the peer has no counterpart of", async () => {
  const parse = async (path: string, overrides: string[] = []) => {
    const text = await Deno.readTextFile(new URL(`../../configs/${path}`, import.meta.url));
    return parseConfig(text, { source: path, overrides }).config;
  };
  const published = "side4video/ssv2_vitb16_f8.yaml";
  checkCardRecipe(await parse(published));
  const accumulating = await parse(published, ["solver.grad_accumulation_steps=2"]);
  assert.throws(() => checkCardRecipe(accumulating), /grad_accumulation_steps must be 1, current value is 2/);
  const other = await parse("demo_clip.yaml");
  assert.throws(() => checkCardRecipe(other), /^ConfigError: Cannot bench "card": system must be /);
});

gpuTest("card says first on what the peer runs, or why it is not timed", async () => {
  const recipe = "side4video/ssv2_vitb16_f8.yaml", path = Deno.env.get("PATH")!;
  const text = await Deno.readTextFile(new URL(`../../configs/${recipe}`, import.meta.url));
  const { config } = parseConfig(text, { source: recipe }), folder = await Deno.makeTempDir();
  const notes: string[] = [], note = (line: string) => void notes.push(line);
  const first = async (script: string, python?: string) => {
    await Deno.writeTextFile(`${folder}/python3`, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
    const rows = benchCard({ config, size: 8, images: 1, python, choices: { known: new Map() }, note });
    const { value } = await rows.next();
    await rows.return(undefined);
    return value;
  };
  Deno.env.set("PATH", folder); // its python3 is the one that is found
  try {
    const { name, ...device } = DEVICE;
    const timed = { name: "peer", timed: true, device: name, ...device };
    assert.deepEqual(await first(`echo '${JSON.stringify(DEVICE)}'`), timed);
    const lacking = `echo "ModuleNotFoundError: No module named 'torch'" >&2; exit 1`;
    const why = "python3 has no torch; name a Python that has with --python";
    assert.deepEqual(await first(lacking), { name: "peer", timed: false, why });
    assert.equal(notes.at(-1), `warning: PyTorch is not timed: ${why}`);
    await assert.rejects(first(lacking, "python3"), { message: `Cannot time PyTorch: ${why}` });
  } finally {
    Deno.env.set("PATH", path);
    await Deno.remove(folder, { recursive: true });
  }
});
