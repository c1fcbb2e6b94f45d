/** `bench step RECIPE --profile` and `plan` with rates that are known of the adapter, and what both refuse. */
import assert from "node:assert/strict";
import * as bench from "../../../cli/bench.ts";
import * as plan from "../../../cli/plan.ts";
import { ConfigError } from "../../../lib/errors.ts";
import { type AdapterRates, ratesKey } from "../../../train/planning/rates.ts";
import { writeRates } from "../../../train/planning/rates_file.ts";
import { gpuTest } from "../../_util/gpu.ts";
import { runVerb } from "../../_util/run_verb.ts";

const RECIPE = "configs/demo.yaml", RETRIEVAL = "configs/demo_retrieval.yaml";
const PEAKS = {
  f32_gflops: 100,
  f16_gflops: null,
  copy_gbps: 10,
  workgroup_gbps: 0,
  upload_gbps: 1,
  launch_us: 5,
};

/** Runs `body` with a cache of its own. */
async function withCache(body: (folder: string) => Promise<void>): Promise<void> {
  const before = Deno.env.get("XDG_CACHE_HOME"), folder = await Deno.makeTempDir();
  Deno.env.set("XDG_CACHE_HOME", folder);
  try {
    await body(folder);
  } finally {
    if (before === undefined) Deno.env.delete("XDG_CACHE_HOME");
    else Deno.env.set("XDG_CACHE_HOME", before);
    await Deno.remove(folder, { recursive: true });
  }
}

async function refuses(verb: Parameters<typeof runVerb>[0], args: string[], message: RegExp): Promise<void> {
  await assert.rejects(runVerb(verb, args), (error) => {
    assert.ok(error instanceof ConfigError);
    assert.match(error.message, message);
    return true;
  });
}

Deno.test("plan knows no time before rates are measured, and estimates that of a published card", async () => {
  await withCache(async () => {
    const { stdout, stderr } = await runVerb(plan, [RECIPE, "--json"]);
    assert.equal(JSON.parse(stdout).step_seconds, null);
    assert.match(stderr, /step time +unknown until "sidenet bench peak" has run on this adapter/);
    const card = await runVerb(plan, [RECIPE, "--adapter", "rtx 4090", "--json"]),
      json = JSON.parse(card.stdout);
    assert.deepEqual([json.step_seconds_from.adapter, json.step_seconds_from.measured], ["RTX 4090", null]);
    // Small launches: 5 µs each and little else.
    assert.ok(json.step_seconds > 1.3e-3 && json.step_seconds < 4e-3, `${json.step_seconds}`);
    assert.ok(Math.abs(json.epoch_seconds / json.step_seconds - 75) < 1e-9);
    assert.match(
      card.stderr,
      /step time +about [\d.]+ ms, .* the published peaks of RTX 4090, with kernels at 40 %/,
    );
    assert.match(card.stderr, /an epoch +about [\d.]+ ms for 75 batches/);
    await refuses(
      plan,
      [RECIPE, "--adapter", "RTX 4900"],
      /nothing is known of it; the nearest name is "RTX 4090", and known names are T4, .*/,
    );
    await refuses(
      plan,
      [RECIPE, "--adapter", "b5"],
      /"b5": nothing is known of it; names with that in them are Arc B580$/,
    );
  });
});

Deno.test("bench refuses what is neither a measurement nor a recipe, and a recipe for what takes none", async () => {
  await refuses(
    bench,
    ["step", "nothing"],
    /^Cannot bench "nothing": .* or a recipe, folder or run for step$/,
  );
  await refuses(
    bench,
    ["matmul", RECIPE],
    /^Cannot bench "configs\/demo.yaml": a recipe is for step, tune, mpi/,
  );
});

gpuTest(
  "bench step RECIPE --profile adds up, for a batch in parts whose loss is over all of it",
  async (_device, info) => {
    await withCache(async (folder) => {
      const rates: AdapterRates = {
        adapter: "this card",
        measured: "2026-11-28",
        peaks: PEAKS,
        points: [{ op: "add", flops: 0, bytes: 1e6, ms: 1 }],
      };
      await writeRates(`${folder}/sidenet/peaks.json`, new Map([[ratesKey(info), rates]]));
      const keys = ["data.batch_size=2", "data.micro_batch_size=1", "data.num_segments=2"];
      const trace = `${folder}/step.json`,
        args = [RETRIEVAL, ...keys, "frozen=stream", "--profile", "--trace", trace];
      const { code, stdout, stderr } = await runVerb(bench, ["step", ...args, "--json"]);
      assert.equal(code, 0);
      assert.match(stderr, /the step launch by launch: .*step\.json/);
      const [step, profile] = stdout.trim().split("\n").map((line) => JSON.parse(line));
      assert.deepEqual([step.name, profile.name, step.shape], ["step", "profile", "2x2x3x32x32"]);
      assert.ok(step.host.written_bytes > 2 * 2 * 3 * 32 * 32 * 4 && step.host.share_of_step < 1);
      const sum = (values: Iterable<number>) => [...values].reduce((a, b) => a + b, 0);
      const near = (a: number, b: number) => assert.ok(Math.abs(a - b) <= 1e-6 * b, `${a} ${b}`);
      near(sum(Object.values(profile.phases as Record<string, number>)), profile.gpu_ms);
      for (const phase of ["forward", "recompute", "backward", "update"]) {
        assert.ok(profile.phases[phase] > 0, phase);
      }
      type Row = { name: string; launches: number; ms: number; estimated_ms?: number };
      const tables: Row[][] = [profile.scopes];
      if (profile.method === "timestamps") {
        tables.push(profile.kernels, profile.ops);
      }
      for (const rows of tables) {
        near(sum(rows.map(({ ms }) => ms)), profile.gpu_ms);
        assert.equal(sum(rows.map(({ launches }) => launches)), profile.launches);
      }
      const scopes = (profile.scopes as Row[]).map(({ name }) => name);
      for (const name of ["backbone/block.0", "side/layer.0", "update"]) {
        assert.ok(scopes.includes(name), name);
      }
      const { traceEvents } = JSON.parse(await Deno.readTextFile(trace));
      const of = (tid: number) =>
        traceEvents.filter((one: { ph: string; tid: number }) => one.ph === "X" && one.tid === tid);
      assert.equal(of(1).length, profile.launches);
      // The traced step is one; the measured ones are several that are timed together.
      const handed = of(2).map(({ args }: { args: { bytes?: number } }) => args.bytes ?? 0);
      assert.equal(sum(handed), step.host.written_bytes);
      for (const what of ["write", "upload block", "submit", "encode update"]) {
        assert.ok(of(2).some(({ name }: { name: string }) => name === what), what);
      }
      // The same rates in a plan.
      const { stdout: planned } = await runVerb(plan, [RETRIEVAL, ...keys, "--json"]);
      assert.equal(JSON.parse(planned).step_seconds_from.adapter, "this card");
    });
  },
);
