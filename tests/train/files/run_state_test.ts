/** What a checkpoint's metadata say is checked before anything is built on it. */

import assert from "node:assert/strict";
import { join } from "node:path";
import fc from "fast-check";
import { encodeSafetensors } from "../../../data/checkpoint/safetensors.ts";
import { recipeOf, type RunState, stateOf } from "../../../train/files/run_state.ts";
import { formatConfig, parseConfig } from "../../../train/recipe/config.ts";
import { RUN_FILES } from "../../../train/files/run_folder.ts";
import * as trainVerb from "../../../cli/train.ts";
import { runVerb } from "../../_util/run_verb.ts";

const STATE: RunState = {
  epoch: 1,
  clipsInEpoch: 8,
  set: "16 clips",
  step: 6,
  microBatches: 6,
  accumulated: 0,
  clips: 24,
  seconds: 1.5,
  best: { epoch: 0, step: 4, top1: 0.5, top5: 1, loss: 1.2 },
  evaluated: false,
  pendingLosses: [1.25, 1.5],
  lastLoss: 1.5,
  skipped: { total: 1, inARow: 0, underWay: false },
  problems: { count: 1, list: [{ path: "a", problem: "frame 3: cut off" }] },
};
const { config: CONFIG } = parseConfig("data: { num_classes: 2, batch_size: 4, train_list: t, val_list: v }");

const metadata = (state: unknown) => ({
  "sidenet.config": JSON.stringify(CONFIG),
  "sidenet.labels": '["left","right"]',
  "sidenet.state": typeof state === "string" ? state : JSON.stringify(state),
});
const read = (state: unknown) => stateOf({ label: "s", metadata: metadata(state) }).state;

Deno.test("a state reads back as it was, one of an earlier version with its batches as clips", () => {
  assert.deepEqual(read(STATE), STATE);
  const { clipsInEpoch: _, set: _s, skipped: _k, ...rest } = STATE;
  assert.deepEqual(read({ ...rest, batch: 3 }), {
    ...rest,
    clipsInEpoch: 12,
    set: null,
    skipped: { total: 0, inARow: 0, underWay: false },
  });
  assert.equal(read({ ...rest, batch: 7 }).clipsInEpoch, 24, "a last batch that was short");
});

Deno.test("a state that cannot be is refused by the value that is wrong", () => {
  for (
    const [change, what] of [
      [{ step: -1 }, "step must be at least 0, current value is -1"],
      [{ step: 1.5 }, "step must be a whole number, current value is 1.5"],
      [
        { step: 7 },
        "it must have no more steps than micro-batches, and no more of these than clips, current value is {",
      ],
      [{ epoch: "1" }, 'epoch must be a number, current value is "1"'],
      [{ pendingLosses: [null] }, "pendingLosses.0 must be a number, current value is null"],
      [{ best: { epoch: 0, top1: null } }, "best.top1 must be a number, current value is null"],
      [{ clipsInEpoch: 100_000 }, "it must have no more clips in its epoch than in all, current value is {"],
      [{ step: 3 }, "it must have its best evaluation before where it stands, current value is {"],
      [{ epoch: 0, best: { epoch: 1 } }, "it must have its best evaluation before where it stands, current"],
      [{ clipsInEpoch: undefined }, "clipsInEpoch must be a number, current value is missing"],
      [{ problems: { count: 1, list: {} } }, "problems.list must be a list, current value is {}"],
    ] as const
  ) {
    assert.throws(() => read({ ...STATE, ...change }), (error: Error) => {
      assert.equal(error.name, "DataError");
      const begin = `Cannot resume from "s": sidenet.state: ${what}`;
      assert.ok(error.message.startsWith(begin), error.message);
      assert.match(error.message, /; the file has been damaged$/);
      return true;
    });
  }
  assert.throws(() => stateOf({ label: "s", metadata: {} }), {
    message: 'Cannot resume from "s": it must be a state file written by sidenet',
  });
  const source = { label: "s", metadata: { ...metadata(STATE), "sidenet.labels": "[1]" } };
  assert.throws(() => recipeOf(source), {
    message: 'Cannot read "s": sidenet.labels: 0 must be text, current value is 1; the file has been damaged',
  });
});

/** A file of weights holds a tensor at least. */
const TENSOR = { name: "value.x", dtype: "F32", shape: [1], data: new Float32Array(1) } as const;

/** Another value for a part of a JSON tree, or none. */
const mangled = (tree: object): fc.Arbitrary<object> =>
  fc.record({
    key: fc.constantFrom(...Object.keys(tree)),
    value: fc.oneof(
      fc.jsonValue(),
      fc.integer({ min: -(2 ** 31), max: -1 }),
      fc.double({ noNaN: true, min: -1e12, max: 1e12 }).filter((x) => !Number.isInteger(x)),
    ),
    drop: fc.boolean(),
  }).map(({ key, value, drop }) => {
    const copy: Record<string, unknown> = { ...tree };
    if (drop) delete copy[key];
    else copy[key] = value;
    return copy;
  });

Deno.test("whatever a damaged state says, resuming refuses it in one line and changes nothing in the folder", async () => {
  const folder = await Deno.makeTempDir({ prefix: "sidenet-state-" }), run = join(folder, "run");
  const snapshot = async () => {
    const files = await Array.fromAsync(
      Deno.readDir(run),
      async ({ name }) => [name, await Deno.readTextFile(join(run, name))] as const,
    );
    return files.sort();
  };
  try {
    await Deno.mkdir(run);
    await Deno.writeTextFile(join(run, RUN_FILES.config), formatConfig(CONFIG));
    const line = {
      kind: "step",
      epoch: 0,
      step: 9,
      loss: 1,
      lr: 0.1,
      clips_per_second: 1,
      data_wait: 0,
      gpu_bytes: 1,
    };
    await Deno.writeTextFile(join(run, RUN_FILES.metrics), JSON.stringify(line) + "\n");
    const text = JSON.stringify(STATE);
    const damaged = fc.oneof(
      mangled(STATE),
      fc.jsonValue(),
      fc.nat({ max: text.length - 1 }).map((end) => text.slice(0, end)),
    ).filter((state) => {
      try {
        read(state as object);
        return false; // it can be: it is a state
      } catch {
        return true;
      }
    });
    await fc.assert(
      fc.asyncProperty(damaged, async (state) => {
        const chunks = encodeSafetensors([TENSOR], metadata(state));
        await Deno.writeFile(join(run, RUN_FILES.state), ReadableStream.from(chunks));
        const before = await snapshot();
        await assert.rejects(runVerb(trainVerb, ["--resume", run]), (error: Error & { exitCode: number }) => {
          assert.deepEqual([error.name, error.exitCode], ["DataError", 4], error.stack);
          assert.match(
            error.message,
            /^Cannot resume from "[^"]*": sidenet\.state: [^\n]*; the file has been damaged$/,
          );
          return true;
        });
        assert.deepEqual(await snapshot(), before);
      }),
      { numRuns: 60, seed: 7 },
    );
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
