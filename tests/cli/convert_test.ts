import assert from "node:assert/strict";
import * as convert from "../../cli/convert.ts";
import * as inspect from "../../cli/inspect.ts";
import { type OpenWeights, openWeights } from "../../data/checkpoint/open.ts";
import { encodeSafetensors } from "../../data/checkpoint/safetensors.ts";
import { writeFileWhole } from "../../data/files.ts";
import { packedVocabulary } from "../../data/text/vocabulary.ts";
import type { ConfigError } from "../../lib/errors.ts";
import { createModel } from "../../models/mod.ts";
import { originalName } from "../../models/parts/file_names.ts";
import { systemOf } from "../../models/registry.ts";
import { loadConfig } from "../../train/recipe/config.ts";
import { modelSpec } from "../../train/recipe/model.ts";
import { metadataOf, recipeOf, wordsOf } from "../../train/files/run_state.ts";
import { runVerb } from "../_util/run_verb.ts";
import { writeRetrieval } from "../web/_retrieval_file.ts";

const CONFIGS = new URL("../../configs/", import.meta.url).pathname;
const FIXTURES = new URL("../fixtures/", import.meta.url).pathname;
const CHECKPOINTS = `${FIXTURES}checkpoints/`;

/** A folder that is gone after the test. */
async function temporary(body: (path: (name: string) => string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await body((name) => `${folder}/${name}`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function assertEqualWeights(found: OpenWeights, expected: OpenWeights): Promise<void> {
  assert.deepEqual(found.names().sort(), expected.names().sort());
  for (const name of expected.names()) {
    assert.equal(found.dtypeOf(name), expected.dtypeOf(name), name);
    assert.deepEqual(found.shapeOf(name), expected.shapeOf(name), name);
    assert.deepEqual(await found.readRaw(name), await expected.readRaw(name), name);
  }
}

Deno.test("convert writes every format from every format without changing a bit", () =>
  temporary(async (path) => {
    for (
      const name of [
        "openai-torchscript-cuda.pt",
        "odd-tensors-legacy.pt",
        "state-bf16.pt",
        "train-side4video-ddp.pt",
      ]
    ) {
      const { code, stdout } = await runVerb(convert, [CHECKPOINTS + name, path("a.safetensors")]);
      assert.equal(code, 0);
      assert.match(stdout, /a\.safetensors: \d+ tensors, /);
      await runVerb(convert, [path("a.safetensors"), path("b.pth")]);
      await runVerb(convert, [path("b.pth"), path("c.bin")]);
      await using expected = await openWeights(CHECKPOINTS + name);
      for (
        const [file, format] of [["a.safetensors", "safetensors"], ["b.pth", "torch zip"], [
          "c.bin",
          "torch zip",
        ]]
      ) {
        await using found = await openWeights(path(file));
        assert.deepEqual([found.format, found.key, found.prefixes], [format, "", []]);
        await assertEqualWeights(found, expected);
      }
    }
  }));

Deno.test("a PyTorch file of a network that was trained here keeps its recipe and class names", () =>
  temporary(async (path) => {
    const tensors = [{ name: "a.weight", dtype: "F32" as const, shape: [1], data: new Float32Array(1) }];
    const config = { system: "x", data: {} };
    const metadata = metadataOf({ config, labels: ["é", "b"], state: {} as never });
    await writeFileWhole(path("best.safetensors"), encodeSafetensors(tensors, metadata));
    for (
      const [from, to] of [["best.safetensors", "b.pt"], ["b.pt", "c.safetensors"], [
        "c.safetensors",
        "d.pth",
      ]]
    ) {
      await runVerb(convert, [path(from), path(to)]);
      await using found = await openWeights(path(to));
      assert.deepEqual(recipeOf(found), { config, labels: ["é", "b"] }, to);
    }
    await runVerb(convert, [path("best.safetensors"), path("e.pt"), "--prefix", "model."]);
    await using renamed = await openWeights(path("e.pt"));
    assert.equal(recipeOf(renamed), null, "the recipe is of other names");
  }));

Deno.test("convert writes the table of words into a network for retrieval of earlier versions, which did not", () =>
  temporary(async (path) => {
    await writeRetrieval(path("old.safetensors"), {});
    for (const to of ["new.safetensors", "new.pt"]) {
      await runVerb(convert, [path("old.safetensors"), path(to)]);
      await using file = await openWeights(path(to));
      assert.equal(wordsOf(file), await packedVocabulary(), to);
    }
    const { stdout } = await runVerb(inspect, [path("new.safetensors"), "--json"]);
    assert.equal(JSON.parse(stdout).metadata["sidenet.words"], "260768 characters");
  }));

Deno.test("convert --to writes a CLIP for transformers and back, bit for bit, with a configuration beside it", () =>
  temporary(async (path) => {
    const own = "configs/demo_clip.safetensors";
    await Deno.mkdir(path("clip"));
    const out = path("clip/model.safetensors"), config = path("clip/config.json");
    const { code, stderr } = await runVerb(convert, [own, out, "--to", "huggingface"]);
    assert.equal(code, 0);
    assert.match(stderr, /config\.json: for transformers/);
    assert.partialDeepStrictEqual(JSON.parse(await Deno.readTextFile(config)), {
      model_type: "clip",
      vision_config: { hidden_size: 64, num_attention_heads: 2, image_size: 32, hidden_act: "quick_gelu" },
      text_config: { vocab_size: 39, num_attention_heads: 2 },
    });
    await Deno.writeTextFile(config, "{}");
    await runVerb(convert, [own, out, "--to", "huggingface"]);
    assert.equal(await Deno.readTextFile(config), "{}", "one that is there stays");
    await Deno.remove(config);
    await runVerb(convert, [out, path("back.pt"), "--to", "openai"]);
    await using found = await openWeights(path("back.pt"));
    await using expected = await openWeights(own);
    await assertEqualWeights(found, expected);
    for (
      const [flags, message] of [
        [
          ["--to", "huggingface", "--only", "trained"],
          /--to is for a CLIP alone, so --only must be left out/,
        ],
        [["--to", "timm"], /--to/],
      ] as const
    ) {
      await assert.rejects(runVerb(convert, [own, path("no.safetensors"), ...flags]), (error: Error) => {
        assert.equal((error as ConfigError).exitCode, 2);
        assert.match(error.message, message);
        return true;
      });
    }
  }));

Deno.test("convert --all keeps the tree of a training checkpoint, and its values in safetensors as text", () =>
  temporary(async (path) => {
    for (const name of ["train-int-step.pt", "train-dist.pyth", "legacy.pt"]) {
      await runVerb(convert, [CHECKPOINTS + name, path("all.pt"), "--all"]);
      await using expected = await openWeights(CHECKPOINTS + name, { key: "", prefix: "" });
      await using found = await openWeights(path("all.pt"), { key: "", prefix: "" });
      await assertEqualWeights(found, expected);
      assert.deepEqual(found.file.values, expected.file.values);
      await runVerb(convert, [CHECKPOINTS + name, path("all.safetensors"), "--all"]);
      await using flat = await openWeights(path("all.safetensors"), { key: "", prefix: "" });
      await assertEqualWeights(flat, expected);
      assert.deepEqual(JSON.parse(flat.metadata.values), Object.fromEntries(expected.file.values));
    }
  }));

Deno.test("convert names what it leaves out, and refuses a type that PyTorch files do not hold", () =>
  temporary(async (path) => {
    const sparse = `${FIXTURES}reports/checkpoints/sparse.pt`, object = "torch._utils._rebuild_sparse_tensor";
    const { stderr } = await runVerb(convert, [sparse, path("x.pt")]);
    assert.match(stderr, /warning: ".*x\.pt" does not have what is not read of ".*sparse\.pt": /);
    assert.ok(stderr.includes(`${object} (visual.proj)`), stderr);
    const all = await runVerb(convert, [sparse, path("x.pt"), "--all"]);
    assert.match(all.stderr, /x\.pt" has None in place of what is not read of ".*": .*proj\)$/m);
    const trained = await runVerb(convert, [sparse, path("x.pt"), "--only", "backbone"]);
    assert.ok(trained.stderr.includes("visual.proj"));

    const eight = { name: "w", dtype: "F8_E4M3", shape: [2], data: new Uint8Array(2) } as const;
    await writeFileWhole(path("f8.safetensors"), encodeSafetensors([eight]));
    await assert.rejects(runVerb(convert, [path("f8.safetensors"), path("f8.pt")]), {
      name: "ConfigError",
      message:
        /f8\.safetensors" to ".*f8\.pt": tensor "w" must be of a type that PyTorch files hold \(F64, .*\), current value is F8_E4M3; /,
    });
    await runVerb(convert, [path("f8.safetensors"), path("copy.safetensors")]);
  }));

Deno.test("convert --dtype changes floats alone and tells of values beyond f16", () =>
  temporary(async (path) => {
    const { stderr } = await runVerb(convert, [
      `${CHECKPOINTS}odd-tensors.pt`,
      path("half.safetensors"),
      "--dtype",
      "f16",
    ]);
    await using half = await openWeights(path("half.safetensors"));
    await using odd = await openWeights(`${CHECKPOINTS}odd-tensors.pt`);
    assert.deepEqual([half.dtypeOf("float64"), half.dtypeOf("int64"), half.dtypeOf("bool")], [
      "F16",
      "I64",
      "BOOL",
    ]);
    assert.deepEqual(await half.readF32("base"), await odd.readF32("base"));
    const special = [...await odd.readF32("special")];
    const beyond = special.filter((value) => Number.isFinite(value) && Math.abs(value) >= 65520).length;
    assert.ok(
      beyond === 0 || stderr.includes(`${beyond} values of 1 tensors are beyond f16`),
      `${special} ${stderr}`,
    );
    const json = await runVerb(convert, [
      `${CHECKPOINTS}odd-tensors.pt`,
      path("half.pt"),
      "--dtype",
      "f16",
      "--json",
    ]);
    assert.equal(JSON.parse(json.stdout).overflowed, beyond);
  }));

/** A Side4Video case of the fixtures as a checkpoint: its start weights, backbone included. */
async function side4videoCheckpoint(path: (name: string) => string): Promise<string> {
  await runVerb(convert, [
    `${FIXTURES}side4video/tiny.safetensors`,
    path("whole.pt"),
    "--strip",
    "state.",
    "--key",
    "model_state_dict",
  ]);
  return path("whole.pt");
}

for (
  const [recipe, besides] of [["demo_dist", "logit_scale"], ["demo_clip", "visual.proj"], [
    "demo_retrieval",
    "logit_scale",
  ]]
) {
  Deno.test(`convert --only trained keeps all that a run of ${recipe} has trained and keeps, such as ${besides}`, () =>
    temporary(async (path) => {
      const { config } = await loadConfig(`${CONFIGS}${recipe}.yaml`), { files } = systemOf(config.system);
      const { weights: { list, counters } } = createModel(modelSpec(config));
      const shapes = list.map(({ name, shape, kind }) => ({ name: originalName(files, name), shape, kind }));
      const tensors = [
        ...shapes,
        ...counters.map((name) => ({ name: originalName(files, name), shape: [], kind: "" })),
      ];
      const zeros = tensors.map(({ name, shape }) => ({
        name,
        shape,
        dtype: "F32" as const,
        data: new Float32Array(shape.reduce((a, b) => a * b, 1)),
      }));
      const metadata = { "sidenet.config": JSON.stringify(config), "sidenet.labels": "[]" };
      await writeFileWhole(path("whole.safetensors"), encodeSafetensors(zeros, metadata));
      const kept = tensors.filter(({ kind }) => kind !== "frozen").map(({ name }) => name);
      assert.ok(kept.includes(originalName(files, besides)), besides);
      await runVerb(convert, [path("whole.safetensors"), path("trained.safetensors"), "--only", "trained"]);
      await runVerb(convert, [path("trained.safetensors"), path("again.pt"), "--only", "trained"]);
      for (const file of ["trained.safetensors", "again.pt"]) {
        await using found = await openWeights(path(file));
        assert.deepEqual(found.names().sort(), kept.toSorted(), file);
      }
    }));
}

Deno.test("convert --only splits a Side4Video checkpoint into backbone and side network, --backbone puts it together", () =>
  temporary(async (path) => {
    const whole = await side4videoCheckpoint(path);
    await runVerb(convert, [whole, path("side.safetensors"), "--only", "trained"]);
    await runVerb(convert, [whole, path("vit.pt"), "--only", "backbone"]);
    {
      await using side = await openWeights(path("side.safetensors"));
      await using vit = await openWeights(path("vit.pt"));
      assert.ok(side.names().every((name) => /side_|^fc\./.test(name)), "side network and classifier");
      assert.ok(
        vit.names().includes("visual.conv1.weight") && !vit.names().some((name) => name.includes("side_")),
      );
    }
    await runVerb(convert, [
      path("side.safetensors"),
      path("again.pt"),
      "--key",
      "model_state_dict",
      "--backbone",
      path("vit.pt"),
    ]);
    await using again = await openWeights(path("again.pt"));
    await using expected = await openWeights(whole);
    assert.equal(again.key, "model_state_dict");
    await assertEqualWeights(again, expected);
  }));

Deno.test("convert --prefix and --strip change names, --from takes another dict", () =>
  temporary(async (path) => {
    await runVerb(convert, [`${CHECKPOINTS}retrieval-model.bin`, path("clip.pt"), "--prefix", "clip."]);
    {
      await using clip = await openWeights(path("clip.pt"));
      assert.ok(clip.names().every((name) => name.startsWith("clip.")));
    }
    await runVerb(convert, [path("clip.pt"), path("back.pt"), "--strip", "clip."]);
    await using back = await openWeights(path("back.pt"));
    await using original = await openWeights(`${CHECKPOINTS}retrieval-model.bin`);
    await assertEqualWeights(back, original);
    await runVerb(convert, [
      `${CHECKPOINTS}retrieval-opt.bin`,
      path("m.safetensors"),
      "--from",
      "optimizer_state_dict/state/2",
    ]);
    await using moments = await openWeights(path("m.safetensors"));
    assert.deepEqual(moments.names().sort(), ["exp_avg", "exp_avg_sq", "step"]);
  }));

Deno.test("convert refuses wrong usage with exit code 2 and leaves no file", () =>
  temporary(async (path) => {
    const from = `${CHECKPOINTS}state-fp16.pt`;
    const wrong: [string[], RegExp][] = [
      [[from], /expected IN OUT/],
      [[from, path("x.onnx")], /its name must end in \.safetensors or \.pt, \.pth, \.pyth, \.bin/],
      [[from, path("x.pt"), "--dtype", "f8"], /expected one of f16, f32, bf16/],
      [[from, from], /OUT must be another file/],
      [[from, path("x.safetensors"), "--key", "model"], /--key is for PyTorch files/],
      [[from, path("x.pt"), "--all", "--only", "trained"], /--only must be left out/],
      [[from, path("x.pt"), "--only", "trained"], /--only trained must leave a tensor/],
    ];
    for (const [args, message] of wrong) {
      await assert.rejects(runVerb(convert, args), { exitCode: 2, message });
    }
    const evil = [`${CHECKPOINTS}evil-late.pt`, path("x.pt")];
    await assert.rejects(runVerb(convert, evil), { exitCode: 4, message: /posix\.system/ });
    assert.deepEqual([...Deno.readDirSync(path(""))], []);
  }));
