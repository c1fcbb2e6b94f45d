/** What a recorder notes of a run, and times of pieces with and without the GPU's clock. */
import assert from "node:assert/strict";
import { Gpu } from "../../gpu/device.ts";
import { Graph, resident } from "../../gpu/graph.ts";
import { gelu } from "../../gpu/ops/mod.ts";
import { nodesOfLaunches, pieceMs } from "../../gpu/profile.ts";
import { ownTimes, StepRecorder, timesLaunches } from "../../gpu/profiling/recorder.ts";
import { prepareGraph } from "../../gpu/run.ts";
import { gpuTest, testDevice } from "../_util/gpu.ts";

Deno.test("ownTimes() takes from each thing what it consists of", () => {
  const own = ownTimes([
    { what: "submit", startMs: 1, ms: 2 },
    { what: "encode", startMs: 0, ms: 10 },
    { what: "wait", startMs: 4, ms: 5 },
    { what: "wait", startMs: 12, ms: 1 },
  ]);
  assert.deepEqual([...own].sort(), [["encode", 3], ["submit", 2], ["wait", 6]]);
});

gpuTest(
  "a recorder times every launch by its place in its program, and notes what the host did",
  async () => {
    const { device, info, features } = (await testDevice())!;
    for (const withClock of [true, false]) {
      const own = withClock ? features : new Set([...features].filter((name) => name !== "timestamp-query"));
      const gpu = new Gpu(device, info, own);
      const g = new Graph(), x = resident("input", "x", [300, 100]);
      g.output("out", gelu(g, gelu(g, x)));
      const graph = await prepareGraph(gpu, g, new Map([[x, new Float32Array(30_000).fill(0.5)]]));
      try {
        const labels = graph.labels();
        assert.deepEqual(nodesOfLaunches(gpu.environment, graph.plan).map(({ op }) => op.name), [
          "gelu",
          "gelu",
        ]);
        const recorder = graph.runtime.recorder = new StepRecorder(gpu, { launches: timesLaunches(gpu) });
        const run = async () => {
          await graph.run();
          return (await graph.read([g.outputs.get("out")!]))[0];
        };
        const recorded = await run();
        graph.runtime.recorder = null;
        assert.deepEqual(await run(), recorded); // recording changes no result
        assert.ok(Math.abs(recorded[7] - 0.2196) < 1e-3);
        const { launches } = await recorder.launches();
        const expected = timesLaunches(gpu) ? labels.map((label, index) => [label, "graph", index]) : [];
        assert.deepEqual(launches.map(({ label, program, index }) => [label, program, index]), expected);
        assert.ok(
          launches.every(({ startMs, ms }, i) => ms > 0 && startMs >= (launches[i - 1]?.startMs ?? 0)),
        );
        assert.deepEqual(recorder.host.map(({ what }) => what), [
          "encode graph",
          "submit",
          "encode read",
          "submit",
          "wait",
        ]);
        assert.ok(await pieceMs(gpu, graph.runtime.program("graph"), { from: 1, to: 2 }) > 0);
        const encoded: number[][] = [], program = graph.runtime.program("graph");
        const spied = {
          encodeLaunches(pass: GPUComputePassEncoder, from: number, to: number) {
            encoded.push([from, to]);
            program.encodeLaunches(pass, from, to);
          },
        } as unknown as typeof program;
        assert.ok(await pieceMs(gpu, spied, { from: 1, to: 2, after: { from: 0, to: 1 } }) > 0);
        // Each single run behind the other launches; without the GPU's clock they would be timed too, and are left out.
        const isBehind = encoded.every(([from], i) => from === (timesLaunches(gpu) ? i % 2 : 1));
        assert.ok(isBehind && encoded.length > 2, JSON.stringify(encoded));
      } finally {
        gpu.memory[Symbol.dispose]();
      }
    }
  },
);
