/** Loading weights into a session: where it ends when it is interrupted. */
import assert from "node:assert/strict";
import { createModel } from "../../../models/create.ts";
import type { WeightKind, WeightSource } from "../../../models/params.ts";
import { systemOf } from "../../../models/registry.ts";
import { loadBackboneFrom, loadOwnBackbone, loadTrained } from "../../../train/files/load_weights.ts";

const system = { head: [], files: systemOf("side4video").files };
const model = createModel({
  system: "side4video",
  sizes: {
    backbone: { imageSize: 16, patchSize: 8, width: 32, layers: 1, heads: 1 },
    frames: 2,
    sideDim: 64,
    classes: 3,
  },
  backboneDtype: "f32",
});

/** A file of zeros with the weights of some kinds. */
function fileOf(kinds: readonly WeightKind[]): WeightSource {
  const shapes = new Map(
    model.weights.list.filter(({ kind }) => kinds.includes(kind)).map(({ name, shape }) => [name, shape]),
  );
  return {
    label: "zeros",
    names: () => shapes.keys(),
    shapeOf: (name) => shapes.get(name),
    readF32: (name) => Promise.resolve(new Float32Array(shapes.get(name)!.reduce((a, b) => a * b, 1))),
  };
}

Deno.test("a loading that is interrupted ends before the next tensor", async () => {
  const stopping =
    (load: (session: Parameters<typeof loadTrained>[0], signal: AbortSignal) => Promise<unknown>) =>
    async () => {
      const controller = new AbortController(), written: string[] = [];
      const write = (name: string) => {
        if (written.push(name) === 2) controller.abort(new Error("enough"));
        return Promise.resolve();
      };
      const computeConstants = () => Promise.reject(new Error("it went on"));
      await assert.rejects(load({ model, write, computeConstants }, controller.signal), /^Error: enough$/);
      assert.equal(written.length, 2);
    };
  const trained = fileOf(["trained", "statistic"]), frozen = fileOf(["frozen"]);
  await stopping((session, signal) => loadTrained(session, trained, { system, head: "strict", signal }))();
  await stopping((session, signal) => loadOwnBackbone(session, frozen, { system, signal }))();
  await stopping((session, signal) => loadBackboneFrom(session, frozen, { signal }))();
});
