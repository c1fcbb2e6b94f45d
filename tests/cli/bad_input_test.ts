/** What a user gets for wrong input: one clear line, the right exit code, and nothing lost. */
import assert from "node:assert/strict";
import { encodeSafetensors, type TensorToWrite } from "../../data/checkpoint/safetensors.ts";
import { writeFileWhole } from "../../data/files.ts";
import { synthesize } from "../../data/synth/dataset.ts";
import { createModel } from "../../models/mod.ts";
import { parseConfig, synthOptions } from "../../train/recipe/config.ts";
import type { Summary } from "../../train/files/run_folder.ts";
import { modelSpec } from "../../train/recipe/model.ts";
import { gpuTest } from "../_util/gpu.ts";
import { lastLine, TINY_RECIPE, TinyFolder } from "./_tiny.ts";

/** Backends that this system has none of: no adapter is found, with and without a GPU. */
const NO_ADAPTER = {
  DENO_WEBGPU_BACKEND: Deno.build.os === "windows" ? "metal" : "dx12",
};

/** Runs a command that must fail, with one line on stderr. */
async function assertFails(
  folder: TinyFolder,
  args: readonly string[],
  expected: { code: number; line: RegExp; env?: Record<string, string> },
): Promise<void> {
  const outcome = await folder.sidenet(args, { env: expected.env });
  assert.match(lastLine(outcome), expected.line);
  assert.equal(outcome.code, expected.code, outcome.stderr);
  assert.doesNotMatch(outcome.stderr, /\n {4}at /, "a stack without --debug");
  assert.doesNotMatch(outcome.stderr, /^run folder: /m, "a folder that is gone again");
  assert.equal(outcome.stdout, "");
}

/** Trained weights of the tiny model, zero, as a checkpoint with its recipe. */
async function writeCheckpoint(
  path: string,
  change: (tensors: TensorToWrite[]) => TensorToWrite[],
): Promise<void> {
  const { config } = parseConfig(TINY_RECIPE), { weights } = createModel(modelSpec(config));
  const tensors = [...weights.of("trained"), ...weights.of("statistic")].map(({ name, shape }) => ({
    name,
    dtype: "F32" as const,
    shape,
    data: new Float32Array(shape.reduce((a, b) => a * b, 1)),
  }));
  await writeFileWhole(
    path,
    encodeSafetensors(change(tensors), {
      "sidenet.config": JSON.stringify(config),
      "sidenet.labels": JSON.stringify(["left", "right"]),
    }),
  );
}

Deno.test("a wrong config, a wrong list and a missing adapter are one line each, without a GPU", async () => {
  await using folder = await TinyFolder.create();
  const train = (...args: string[]) => ["train", "tiny.yaml", ...args];
  await folder.write("typo.yaml", TINY_RECIPE.replace("batch_size", "batchsize"));
  await assertFails(folder, ["train", "typo.yaml"], {
    code: 2,
    line:
      /^sidenet: Cannot read config "typo\.yaml": key "data\.batchsize" is not known; the nearest known key is "data\.batch_size"$/,
  });
  await assertFails(folder, train("solver.lr=fast"), {
    code: 2,
    line:
      /^sidenet: Cannot use argument "solver\.lr=fast": solver\.lr must be a number, current value is "fast"$/,
  });
  await assertFails(folder, train("data.features=nowhere"), {
    code: 2,
    line:
      /^sidenet: Cannot train from "nowhere": it must hold features\.json; write it with: sidenet extract/,
  });
  await assertFails(folder, train(), {
    code: 3,
    line:
      /^sidenet: Cannot open a GPU: no WebGPU adapter was found; install a Vulkan driver .*mesa-vulkan-drivers/,
    env: NO_ADAPTER,
  });
  await assert.rejects(Deno.stat(folder.file("data")), Deno.errors.NotFound, "data made for nothing");
  await assertFails(folder, train("data.train_list=absent.txt"), {
    code: 4,
    line: /^sidenet: Cannot read "absent\.txt": it does not exist$/,
  });
  await folder.write("fields.txt", "train/00001 8 0\ntrain/00002 8\n");
  await assertFails(folder, train("data.train_list=fields.txt"), {
    code: 4,
    line: /^sidenet: Cannot read "fields\.txt" line 2: a line must have 3 fields .*, current count is 2$/,
  });
  await folder.write("label.txt", "train/00001 8 0\ntrain/00002 8 2\n");
  await assertFails(folder, train("data.val_list=label.txt"), {
    code: 4,
    line:
      /^sidenet: Cannot read "label\.txt" line 2: the label must be an integer in 0 … 1, current value is "2"$/,
  });
  assert.deepEqual(
    await Array.fromAsync(Deno.readDir(folder.file("runs"))),
    [],
    "folders of runs that never began",
  );
});

Deno.test("a folder that is no run is bad data for every verb; a folder and an empty file are no recipes", async () => {
  await using folder = await TinyFolder.create();
  for (const name of ["bare", "unfinished"]) await Deno.mkdir(folder.file(name));
  await folder.write("empty.yaml", "\n");
  await folder.write("unfinished/config.yaml", TINY_RECIPE);
  const noRun = /^sidenet: Cannot (open|compare) (run )?"bare": it must be a (run )?folder.* config\.yaml/;
  for (const verb of [["eval"], ["predict"], ["train", "--resume"], ["compare"]]) {
    const rest = verb[0] === "predict" ? ["data"] : [];
    await assertFails(folder, [...verb, "bare", ...rest], { code: 4, line: noRun });
  }
  await assertFails(folder, ["eval", "unfinished"], {
    code: 4,
    line: /^sidenet: Cannot open run "unfinished": it must hold best\.safetensors or last\.safetensors$/,
  });
  const planned = await folder.sidenet(["plan", "unfinished", "--json"]); // a run's recipe is enough for that
  assert.equal(planned.code, 0, planned.stderr);
  await assertFails(folder, ["plan", "bare"], {
    code: 4,
    line: /^sidenet: Cannot .*"bare"/,
  });
  await assertFails(folder, ["plan", "empty.yaml"], {
    code: 2,
    line: /^sidenet: Cannot read config "empty\.yaml": the file is empty$/,
  });
});

Deno.test("a checkpoint that does not fit is refused before a GPU is opened, and what is wrong is named", async () => {
  await using folder = await TinyFolder.create();
  await folder.write("val.txt", "00001 8 0\n");
  const evaluate = (file: string, line: RegExp, code = 4) =>
    assertFails(folder, ["eval", file, "--list", "val.txt", "data.label_list=null"], {
      code,
      line,
      env: NO_ADAPTER,
    });
  await writeCheckpoint(
    folder.file("missing.safetensors"),
    (all) => all.filter(({ name }) => name !== "fc.bias"),
  );
  await evaluate(
    "missing.safetensors",
    /^sidenet: Cannot load "missing\.safetensors": tensor "fc\.bias" \[2\] is missing; the file looks like a network of side_dim 64 with 2 classes$/,
  );
  await writeCheckpoint(
    folder.file("shape.safetensors"),
    (all) =>
      all.map((one) =>
        one.name === "fc.weight" ? { ...one, shape: [5, 64], data: new Float32Array(5 * 64) } : one
      ),
  );
  await evaluate(
    "shape.safetensors",
    /^sidenet: Cannot load "shape\.safetensors": tensor "fc\.weight" must be \[2,64\], current shape is \[5,64\]; the file looks like a network of side_dim 64 with 5 classes$/,
  );
  await writeCheckpoint(folder.file("whole.safetensors"), (all) => all);
  const whole = await Deno.readFile(folder.file("whole.safetensors"));
  await folder.write("torn.safetensors", whole.subarray(0, whole.length / 2));
  await evaluate("torn.safetensors", /^sidenet: Cannot read "torn\.safetensors": .*current file size is/);
  await evaluate("absent.safetensors", /^sidenet: Cannot open "absent\.safetensors": .* nothing is there$/);
  // The whole one passes every check: what stops it is the adapter.
  await evaluate("whole.safetensors", /^sidenet: Cannot open a GPU: /, 3);
});

gpuTest("broken frames and clips are named and counted, and training finishes", async () => {
  await using folder = await TinyFolder.create();
  const { config } = parseConfig(TINY_RECIPE);
  await synthesize(folder.file("data"), synthOptions(config)!);
  await folder.write("data/train/00003/00003.jpg", "not a JPEG");
  for (let i = 1; i <= 8; i++) await folder.write(`data/train/00005/0000${i}.jpg`, "");
  await Deno.remove(folder.file("data/val/00002"), { recursive: true });
  const args = ["train", "tiny.yaml", "solver.epochs=1", "data.random_shift=false", "--json"];
  const { code, stderr, stdout } = await folder.sidenet(args);
  assert.equal(code, 0, stderr);
  for (const path of ["train/00003", "train/00005", "val/00002"]) {
    assert.match(stderr, new RegExp(`^warning: ${path}: `, "m"));
  }
  const summary = await folder.json<Summary & { broken: { path: string }[] }>("runs/tiny/summary.json");
  assert.deepEqual([...new Set(summary.broken.map(({ path }) => path))].sort(), [
    "train/00003",
    "train/00005",
    "val/00002",
  ]);
  assert.equal(summary.clips, 16);
  // A finished run that is resumed says so, and its summary still names them all.
  const again = await folder.sidenet(["train", "--resume", "runs/tiny"]);
  assert.match(again.stderr, /^the run was at its last step already; solver\.epochs=N takes it further$/m);
  assert.deepEqual((await folder.json<typeof summary>("runs/tiny/summary.json")).broken, summary.broken);
  assert.match(
    lastLine(await folder.sidenet(["predict", "runs/tiny/state.safetensors", "data/val/00001"])),
    /^sidenet: Cannot open "runs\/tiny\/state\.safetensors": .* take best\.safetensors beside it$/,
  );
  // Where no clip at all can be read, there is no run.
  const nowhere = await folder.sidenet(["train", "tiny.yaml", "name=nowhere", "data.train_root=runs"]);
  assert.equal(nowhere.code, 4);
  assert.match(
    lastLine(nowhere),
    /^sidenet: Cannot read the clips of "data\/train\.txt" under "runs": .* current count is 0; train\/0/,
  );
  assert.ok(stdout.includes('"data_problems":'));
});

gpuTest("a backbone of another size is refused before training", async () => {
  await using folder = await TinyFolder.create();
  const tensor = (name: string, shape: number[]): TensorToWrite => ({
    name,
    dtype: "U8",
    shape,
    data: new Uint8Array(shape.reduce((a, b) => a * b, 1)),
  });
  await writeFileWhole(
    folder.file("large.safetensors"),
    encodeSafetensors([
      tensor("visual.conv1.weight", [1024, 3, 14, 14]),
      tensor("visual.positional_embedding", [257, 1024]),
    ], {}),
  );
  await assertFails(folder, ["train", "tiny.yaml", "network.weights=large.safetensors"], {
    code: 4,
    line:
      /^sidenet: Cannot load "large\.safetensors": tensor "visual\.conv1\.weight" must be \[32,3,8,8\], current shape is \[1024,3,14,14\]; the file looks like ViT-L\/14$/,
  });
});

Deno.test({
  name: "places that the task's permissions close are told with the path and advice that can be followed",
  ignore: Deno.build.os !== "linux", // /proc is Linux's
  fn: async () => {
    await using folder = await TinyFolder.create();
    const closed = "this tool has no access to the system's own files; choose another folder";
    for (
      const [args, line] of [
        [["synth", "/proc/q"], `Cannot write "/proc/q/lock": ${closed}`],
        [["train", "/proc"], `Cannot read "/proc": ${closed}`],
        [["compare", "/proc", "tiny"], `Cannot read "/proc": ${closed}`],
      ] as const
    ) {
      const outcome = await folder.sidenet(args);
      assert.deepEqual([outcome.code, lastLine(outcome)], [4, `sidenet: ${line}`]);
    }
  },
});
