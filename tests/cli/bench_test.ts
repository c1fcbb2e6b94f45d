/** What `sidenet bench` refuses before it measures anything; and the measuring of ops. */
import assert from "node:assert/strict";
import { caseFor, recordings } from "../../bench/ops.ts";
import { benchSearch } from "../../bench/search.ts";
import { benchWordSearch } from "../../bench/search_words.ts";
import * as bench from "../../cli/bench.ts";
import { helpOf } from "../../cli/shared/args.ts";
import { OP_CASES } from "../../gpu/cases/all.ts";
import { OPS } from "../../gpu/op.ts";
import { planGraph } from "../../gpu/plan.ts";
import { ConfigError } from "../../lib/errors.ts";
import { parseConfig } from "../../train/recipe/config.ts";
import { gpuTest } from "../_util/gpu.ts";
import { runVerb } from "../_util/run_verb.ts";

Deno.test("bench refuses names and counts that it does not know", async () => {
  const cases: [string[], RegExp][] = [
    [["speed"], /^Cannot bench "speed": it must be one of matmul, .*, loader, /],
    [["loader", "--clips", "many"], /^Cannot parse flag "--clips": expected a whole number, /],
    [["loader", "--clips", "399"], /^Cannot parse flag "--clips": expected at least 400, /],
    [
      ["peak", "--small"],
      /^Cannot parse flag "--small": it is for "bench ops", "bench card", current is "bench peak"$/,
    ],
    [["peak", "--profile"], /--profile": it is for "bench step", current is "bench peak"$/],
    [["matmul", "--op", "gelu"], /--op": it is for "bench ops", /],
    [["card", "--small", "--op", "gelu"], /--op": it is for "bench ops", /],
    [["step", "--clips", "400"], /--clips": it is for "bench loader", /],
    [
      ["vit", "--set", "network.side_dim=64"],
      /--set": it is for "bench step", .*"bench card", current is "bench vit"$/,
    ],
    [["--no-tune"], /it is for "bench card", current is "bench matmul", "bench vit", "bench step"$/],
    [["vit", "ops", "--op", "layernorm"], /^Cannot bench op "layernorm": it must be .*"layerNorm"\?$/],
  ];
  for (const [args, message] of cases) {
    await assert.rejects(runVerb(bench, args), (error) => {
      assert.ok(error instanceof ConfigError);
      assert.match(error.message, message);
      return true;
    });
  }
});

Deno.test("the help of a name holds its own text, flags and examples; that of bench all of them", () => {
  const of = (...args: string[]) => helpOf(bench.command, "sidenet", args);
  const step = of("step", "--help");
  assert.match(step, /^Usage: sidenet bench step \[CONFIG\] \[key=value …\]\n/);
  assert.match(step, /\nA training step of a recipe /);
  assert.match(step, /--profile .*\n +--trace FILE/);
  assert.match(step, /Examples:\n {2}sidenet bench step /);
  assert.doesNotMatch(step, /--clips|--op NAME|matmul|ViT-B\/16 at full size/);
  assert.match(of("loader"), /^Usage: sidenet bench loader\n[^]*--clips N(?![^]*--profile)/);
  const all = of("--help");
  for (const [name, { options }] of Object.entries(bench.command.parts)) {
    assert.match(all, new RegExp(`^${name}: `, "m"));
    for (const option of options) assert.ok(Object.hasOwn(bench.command.options, option), option);
  }
});

Deno.test("bench search measures the search and the plain loop, which find the same", () => {
  const rows = [...benchSearch({ embeddings: 300, dims: 20 })];
  assert.deepEqual(rows.map(({ name, variant, shape }) => [name, variant, shape]), [
    ["search", "top 10", "300x20"],
    ["search", "plain loop", "300x20"],
  ]);
  for (const { ms } of rows) assert.ok(ms > 0);
});

gpuTest("one sentence and many have the same scores with the words and frames of stored clips", async () => {
  const text = await Deno.readTextFile(new URL("../../configs/demo_retrieval.yaml", import.meta.url));
  const overrides = ["network.interaction=wti", "data.num_segments=3", "network.embed_dim=32"];
  // More rows than one question takes, of either program.
  const { config } = parseConfig(text, { source: "demo", overrides }), rows = 2 ** 14 + 5;
  const measured = await Array.fromAsync(benchWordSearch(config, { rows, repeats: 0 }));
  assert.deepEqual(measured.map(({ variant, shape }) => [variant, shape]), [
    ["words", `${rows}x3x32`],
    ["words, 64 at once", `${rows}x3x32`],
  ]);
});

/** Ops on a few numbers, which there is nothing to measure of. */
const ON_NUMBERS = ["clipFactor", "guardMark", "guardSettle"];

Deno.test("every op that works on more than a few numbers has a row for measuring, which records and plans", () => {
  const limits = { maxBindingBytes: 2 ** 27, maxBufferBytes: 2 ** 28 };
  const recorded: string[] = [],
    small = [...OP_CASES].flatMap(([name, cases]) => {
      const each = caseFor(cases, true);
      return recordings(OPS.get(name)!, each).map(({ g, label }) => {
        assert.ok(planGraph(g, { limits }).steps.length > 0, label);
        return label;
      });
    });
  for (const [name, cases] of OP_CASES) {
    const each = caseFor(cases, false);
    assert.ok(each.bench || ON_NUMBERS.includes(name), `${name} has no row for measuring`);
    assert.ok(!caseFor(cases, true).bench, name);
    for (const { g, label } of recordings(OPS.get(name)!, each)) {
      assert.ok(planGraph(g, { limits }).steps.length > 0, label);
      recorded.push(label);
    }
  }
  for (const label of ["attention", "attention.gradient", "matmul.gradient", "adamw"]) {
    assert.ok(recorded.includes(label) && small.includes(label), label);
  }
  for (const label of ["adamw.gradient", "geluDx.gradient"]) assert.ok(!recorded.includes(label), label);
});

gpuTest("bench card refuses a Python that is named and cannot time PyTorch", async () => {
  for (const python of ["no-such-python", "/bin/false", "/bin/true"]) {
    await assert.rejects(runVerb(bench, ["card", "--small", "--python", python]), (error) => {
      assert.ok(error instanceof ConfigError);
      assert.equal(
        error.message,
        `Cannot time PyTorch: "${python}" must be a Python that has torch; name one with --python`,
      );
      return true;
    });
  }
});

gpuTest("bench ops prints a line of JSON for an op and one for its gradient", async () => {
  const ops = ["--op", "layerNorm", "--op", "batchNormUpdate", "--op", "zeros"];
  const { code, stdout } = await runVerb(bench, ["ops", "--json", "--small", ...ops]);
  assert.equal(code, 0);
  const rows = stdout.trim().split("\n").map((line) => JSON.parse(line));
  assert.deepEqual(rows.map(({ name }) => name), [
    "layerNorm",
    "layerNorm.gradient",
    "batchNormUpdate",
    "zeros",
  ]);
  assert.deepEqual(rows.map(({ shape }) => shape), ["197x36 36 36", "197x36 36 36", "67 67 67 67", "3x5x7"]);
  assert.match(rows[1].variant, /^layerNorm\.backwardWeight\+.*\+layerNorm\.backward$/);
  for (const row of rows) {
    assert.deepEqual(Object.keys(row).sort(), [
      "adapter",
      "gbps",
      "gflops",
      "ms",
      "name",
      "shape",
      "variant",
    ]);
    assert.ok(row.ms > 0 && row.gbps > 0, row.name);
  }
});
