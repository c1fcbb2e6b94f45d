/** Trained weights that no loss reaches: an error by name, unless the system says that they are left alone. */

import assert from "node:assert/strict";
import { join } from "node:path";
import { writeFileWhole } from "../../../data/files.ts";
import type { Weight } from "../../../models/params.ts";
import { encodeState, encodeWeights, openCheckpoint, restoreState } from "../../../train/files/checkpoint.ts";
import { recordPrograms } from "../../../train/runtime/programs.ts";
import { initialState, type RunState } from "../../../train/files/run_state.ts";
import type { Session } from "../../../train/runtime/session.ts";
import { planSession } from "../../../train/runtime/session_plan.ts";
import { engineTest } from "../../_util/engine.ts";
import { assertSameBits } from "../../_util/same_bits.ts";
import { contrastBatch, contrastOptions, tinyEncoder, withContrast } from "../../_util/tiny_encoder.ts";
import { NO_ADAPTER, sameRates } from "../../_util/tiny_model.ts";

const named = (wanted: string) => ({ name }: Weight) => name === wanted;

const STATE: RunState = {
  ...initialState(0),
  clipsInEpoch: 18,
  step: 3,
  microBatches: 3,
  clips: 18,
  seconds: 1,
};
/** What a state needs of the recipe beside it. */
const RECIPE = { data: { batch_size: 6, num_sample: 1 }, solver: { grad_accumulation_steps: 1 } };

for (const over of ["clips", "batch"] as const) {
  Deno.test(`a trained weight that no node reads is an error by name, in a loss over ${over}`, () => {
    const model = tinyEncoder({ unread: true }), options = contrastOptions(model, { over, microClips: 2 });
    assert.throws(
      () => recordPrograms(model, options),
      /^Error: Cannot train "unread": the loss must depend on it; a weight that no node reads is declared as left alone$/,
    );
    // Where nothing is trained, nothing need be reached.
    recordPrograms(model, { ...options, trainClips: [] });
  });

  Deno.test(`a weight that is left alone but reached is an error by name, in a loss over ${over}`, () => {
    const model = tinyEncoder();
    for (const name of ["first", "second", "pair"]) {
      assert.throws(
        () => recordPrograms(model, contrastOptions(model, { over, microClips: 2, leftAlone: named(name) })),
        (error: Error) =>
          error.message === `Cannot train: "${name}" must be left alone, but the loss depends on it`,
      );
    }
  });

  engineTest(
    `a weight that is left alone keeps its bits and is in checkpoints, in a loss over ${over}`,
    async (gpu) => {
      const encoder = { unread: true };
      const changes = { over, microClips: 4, leftAlone: named("unread"), clipGradNorm: 1, encoder };
      const folder = await Deno.makeTempDir();
      try {
        const file = join(folder, "state.safetensors");
        const names = ["first", "second", "pair", "unread"];
        const trained = await withContrast(gpu, changes, async (session, model) => {
          const before = await session.read(names);
          assert.ok(before.get("unread")!.every((x) => x !== 0));
          for (let i = 0; i < 3; i++) await session.step(contrastBatch(model, 6, i), sameRates(1e-2));
          const after = await session.read(names);
          assert.deepEqual(after.get("unread"), before.get("unread"), "no step and no decay");
          for (const name of names.slice(0, 3)) assert.notDeepEqual(after.get(name), before.get(name), name);

          assert.deepEqual(session.updated.map(({ name }) => name), names.slice(0, 3));
          for (const part of ["gradient", "exp_avg", "exp_avg_sq"]) {
            await assert.rejects(
              session.read(["unread"], part),
              (error: Error) =>
                error.message === `Cannot find ${part} of "unread": the weight must be trained`,
            );
          }
          assert.deepEqual((await namesIn(folder, session, encodeWeights)).sort(), names.toSorted());
          const info = { config: RECIPE, labels: [], state: STATE };
          await writeFileWhole(file, await encodeState(session, info));
          return after;
        });
        await using saved = await openCheckpoint(file);
        const parts = names.slice(0, 3).flatMap((name) => [`exp_avg.${name}`, `exp_avg_sq.${name}`]);
        assert.deepEqual(
          [...saved.names()].sort(),
          [...names.map((name) => `value.${name}`), ...parts].sort(),
        );
        await withContrast(gpu, changes, async (session) => {
          await session.write("unread", new Float32Array(3));
          await restoreState(session, file);
          assertSameBits(await session.read(names), trained, "weights of the resumed session");
        });
      } finally {
        await Deno.remove(folder, { recursive: true });
      }
    },
  );
}

/** Names of the tensors in the file of a session. */
async function namesIn(folder: string, session: Session, encode: typeof encodeWeights): Promise<string[]> {
  const path = join(folder, "weights.safetensors");
  await writeFileWhole(path, await encode(session, { config: RECIPE, labels: [], state: STATE }));
  await using file = await openCheckpoint(path);
  return [...file.names()];
}

Deno.test("a weight that is left alone lies behind the others, and only the others have gradients and moments", () => {
  const model = tinyEncoder({ unread: true });
  const options = contrastOptions(model, { over: "clips", leftAlone: named("unread") });
  const { programs, layout } = planSession(model, options, NO_ADAPTER);
  assert.deepEqual(programs.kept.map(({ name }) => name), ["unread"]);
  const places = programs.trained.map(({ tensor }) => layout.find(tensor).offset);
  assert.ok(layout.find(model.weights.get("unread")!.tensor).offset > Math.max(...places));
  for (const list of [programs.gradients, ...Object.values(programs.moments)]) {
    assert.equal(list.length, programs.trained.length);
    assert.ok(list.every(({ label }) => !label.endsWith(".unread")));
  }
});

Deno.test("a trained weight of a group that the optimiser does not have is an error that names both", () => {
  const model = tinyEncoder({ norm: true }), options = contrastOptions(model);
  const groups = options.optimizer.groups.filter(({ name }) => name !== "batch_norm");
  assert.throws(
    () => recordPrograms(model, { ...options, optimizer: { ...options.optimizer, groups } }),
    /^Error: Cannot train "norm\.weight": its optimiser group must be one of side, head, current value is "batch_norm"$/,
  );
});
