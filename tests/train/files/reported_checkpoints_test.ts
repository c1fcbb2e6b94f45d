/**
 * Backbones as people have them: every file of tests/fixtures/reports/checkpoints loads, or is refused with the reason; the taps
 * are PyTorch's for either activation.
 */
import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import { Graph, resident, type Tensor } from "../../../gpu/graph.ts";
import { runGraph } from "../../../gpu/run.ts";
import { openWeights } from "../../../data/checkpoint/open.ts";
import { DataError } from "../../../lib/errors.ts";
import { endPositions, TextTower } from "../../../models/clip/text.ts";
import { describeIdentity, identify } from "../../../models/identify.ts";
import { resizePositions } from "../../../models/parts/position_grid.ts";
import { Weights } from "../../../models/params.ts";
import { engineTest } from "../../_util/engine.ts";
import { declaredTower, loadTower, REPORTED, REPORTED_SIZES } from "../../_util/reported_checkpoints.ts";

interface Expected {
  taps: Record<"quick_gelu" | "gelu", number[]>;
  text: Record<"quick_gelu" | "gelu", number[]>;
  positions: { to: number; antialias: boolean; values: number[] }[];
}
const EXPECTED: Expected = JSON.parse(await Deno.readTextFile(`${REPORTED}expected.json`));

/** What becomes of a file as the weights of the tower. */
type Outcome =
  /** Loaded, with plain.pt's values to so many digits; what `inspect` lists as not read; the layout; what is left. */
  | { like?: number | "other"; foreign?: Record<string, string>; layout?: string; left?: number }
  | { refused: RegExp };

/** Some of what objects.pt holds: enumerations, bound methods, arrays of objects, classes, tensors of other kinds. */
const OBJECTS = {
  "scheduler/anneal_func": "torch.optim.lr_scheduler.OneCycleLR._annealing_cos",
  mode: "__main__.Mode.A",
  settings: "__main__.Settings",
  dict: "__main__.Dict",
  deque: "collections.deque",
  date: "datetime.datetime",
  partial: "functools.partial",
  args: "argparse.Namespace",
  objects: "numpy.ndarray",
  inner: "__main__.Outer.Inner",
  quantised: "torch._utils._rebuild_qtensor",
  csr: "torch._utils._rebuild_sparse_csr_tensor",
  whole_optimizer: "torch.optim.adamw.AdamW",
};

const OUTCOMES: Record<string, Outcome> = {
  "plain.pt": {},
  "ddp.pt": {},
  "compiled.pt": {},
  "compiled_ddp.pt": {},
  "ddp_compiled.pt": {},
  "lightning.pt": {},
  "ddp_mixed.pt": { left: 1 },
  "legacy.pt": {},
  "namespace.pt": { foreign: { args: "argparse.Namespace" } },
  "npscalar.pt": { foreign: { best_acc1: "numpy.core.multiarray.scalar" } },
  "nparray.pt": { foreign: { "meta/rng": "numpy.ndarray" } },
  "defaultdict.pt": {},
  "cls.pt": { foreign: { opt: "torch.optim.sgd.SGD" } },
  "objects.pt": { foreign: OBJECTS },
  "objects5.pt": { foreign: OBJECTS },
  "path.pt": { foreign: { path: "pathlib.PosixPath" } },
  "module.pt": {
    refused:
      /must hold tensors by name, it is an object of "torch\.nn\.modules\.container\.Sequential": save/,
  },
  "cuda.pt": {},
  "cuda_legacy.pt": {},
  "complex.pt": { left: 1 },
  "half.pt": { like: 3 },
  "bf16.pt": { like: 2 },
  "sparse.pt": { foreign: { "visual.proj": "torch._utils._rebuild_sparse_tensor" } },
  "param.pt": {},
  "chlast.pt": {},
  "view.pt": { like: "other" }, // its position table is a window on another tensor
  "nan.pt": { like: "other" },
  "new.pt": {},
  "bigend.pt": { refused: /its numbers must be little-endian/ },
  "deflated.pt": { refused: /"plain\/data\.pkl" must be stored, current compression is deflate/ },
  "grid7.pt": { like: "other" },
  "w96.pt": {
    refused: /"visual\.conv1\.weight" must be \[8,3,4,4\], current shape is \[12,3,4,4\]; the file looks/,
  },
  "hf.bin": { layout: "Hugging Face CLIP" },
  "timm.pt": { layout: "OpenAI with timm's blocks, the tower alone" },
  "tower.pt": { layout: "OpenAI, the tower alone" },
  "ok.safetensors": {},
  "c64.safetensors": { left: 1 },
  "f8.safetensors": { left: 1 }, // the projection, which no tap needs
  "f8fnuz.safetensors": { left: 1 },
  "f4.safetensors": { left: 1 },
  "f8e8.safetensors": { left: 1 },
  "sh/model.safetensors.index.json": {},
  "sh/model-00001-of-00002.safetensors": {
    refused: /tensor "visual\..*" .* is missing; .* one part of several: give the index beside it/,
  },
};

Deno.test("every reported checkpoint has an outcome", async () => {
  const files = (await readdir(REPORTED)).filter((name) => !/^(make\.py|expected\.json|sh)$/.test(name));
  assert.deepEqual(Object.keys(OUTCOMES).filter((name) => !name.startsWith("sh/")).sort(), files.sort());
});

const plain = await loadTower(`${REPORTED}plain.pt`);

for (const [name, outcome] of Object.entries(OUTCOMES)) {
  const path = REPORTED + name;
  if ("refused" in outcome) {
    Deno.test(`${name} is refused with the reason`, async () => {
      await assert.rejects(
        loadTower(path),
        (error) => error instanceof DataError && outcome.refused.test(error.message),
      );
    });
    continue;
  }
  const { like, foreign = {}, layout = "OpenAI", left = 0 } = outcome;
  Deno.test(`${name} loads as a backbone`, async () => {
    const loaded = await loadTower(path);
    assert.equal(loaded.layout, layout);
    const told = loaded.remarks.filter((line) => line.includes("beside it")).join();
    assert.match(told, left === 0 ? /^$/ : new RegExp(`; ${left} tensors? beside it (is|are) left$`));
    for (const [weight, values] of plain.values) {
      const found = loaded.values.get(weight)!;
      if (like === undefined) assert.deepEqual(found, values, weight);
      else if (like !== "other") {
        const worst = Math.max(
          ...values.map((value, i) => Math.abs(value - found[i]) / (1 + Math.abs(value))),
        );
        assert.ok(worst < 10 ** -like, `${weight} differs by ${worst}`);
      }
    }
    await using file = await openWeights(path);
    const { size } = file.file.foreign;
    if (foreign !== OBJECTS) assert.equal(size, Object.keys(foreign).length);
    for (const [place, type] of Object.entries(foreign)) assert.equal(file.file.foreign.get(place), type);
    const words = layout === "OpenAI" ? "" : `, in the layout of ${layout}`;
    const image = name === "grid7.pt" ? 28 : 16;
    assert.equal(
      describeIdentity(identify(file)),
      `CLIP ViT of width 8, patch 4, 1 layers, image ${image}${words}`,
    );
  });
}

Deno.test("a tensor that is needed and not plain is refused by what made it, or by its type", async () => {
  await using sparse = await openWeights(`${REPORTED}sparse.pt`);
  assert.equal(sparse.shapeOf("visual.proj"), undefined);
  assert.equal(sparse.foreign.get("visual.proj"), "torch._utils._rebuild_sparse_tensor");
  await using complex = await openWeights(`${REPORTED}complex.pt`);
  assert.equal(complex.dtypeOf("visual.freqs_cis"), "C64");
  await assert.rejects(
    complex.readF32("visual.freqs_cis"),
    /must have a dtype that converts to F32, .* is C64/,
  );
  assert.equal((await complex.readRaw("visual.freqs_cis")).length, 32);
});

Deno.test("position tables are resized as PyTorch does it, the class token kept, and it is told", async () => {
  await using file = await openWeights(`${REPORTED}grid7.pt`);
  const table = await file.readF32("visual.positional_embedding");
  for (const { to, antialias, values } of EXPECTED.positions) {
    const found = resizePositions(table, { leading: 1, from: 7, to, width: 8, antialias });
    assert.equal(found.length, values.length);
    values.forEach((value, i) => {
      assert.ok(Math.abs(value - found[i]) < 2e-6, `${to} ${antialias} ${i}: ${found[i]} for ${value}`);
    });
  }
  const loaded = await loadTower(`${REPORTED}grid7.pt`);
  assert.match(loaded.remarks.join(), /learnt on a grid of 7 x 7 and are resized to 4 x 4 \(bicubic\)$/);
  assert.equal(loaded.values.get("visual.positional_embedding")!.length, 17 * 8);
});

engineTest("taps are PyTorch's for QuickGELU and for GELU, from any layout", async (gpu) => {
  for (const activation of ["quick_gelu", "gelu"] as const) {
    for (const name of activation === "gelu" ? ["plain.pt", "hf.bin"] : ["plain.pt"]) {
      const { values } = await loadTower(REPORTED + name);
      const { tower, weights } = declaredTower({ ...REPORTED_SIZES, activation });
      const g = new Graph(), pictures = resident("input", "pictures", [2, 3, 16, 16]);
      for (const tap of tower.outputs(g, pictures)) g.output("tap", tap);
      const residents = new Map<Tensor, Float32Array>(
        weights.map(({ tensor, name }) => [tensor, values.get(name)!]),
      );
      residents.set(pictures, Float32Array.from({ length: 2 * 3 * 16 * 16 }, (_, i) => Math.sin(i)));
      const found = (await runGraph(gpu, g, residents)).get("tap")!;
      const expected = EXPECTED.taps[activation];
      assert.equal(found.length, expected.length);
      expected.forEach((value, i) => {
        assert.ok(
          Math.abs(value - found[i]) < 2e-5 * (1 + Math.abs(value)),
          `${activation}: ${found[i]} for ${value}`,
        );
      });
    }
  }
});

engineTest("the text tower's embeddings are PyTorch's for QuickGELU and for GELU", async (gpu) => {
  for (const activation of ["quick_gelu", "gelu"] as const) {
    const weights = new Weights(),
      sizes = { vocabulary: 5, context: 4, width: 8, heads: 2, layers: 1, embedDim: 4 };
    const tower = new TextTower(weights, { ...sizes, activation });
    const residents = new Map<Tensor, Float32Array | Uint32Array>();
    weights.of("frozen").forEach(({ tensor, shape, name }, k) => {
      const one = /ln_\w+\.weight$/.test(name) ? 1 : 0, count = shape.reduce((a, b) => a * b, 1);
      residents.set(
        tensor,
        Float32Array.from({ length: count }, (_, i) => 0.3 * Math.sin(100 * k + i) + one),
      );
    });
    const ids = resident("input", "ids", [2, 4], "u32"), ends = resident("input", "ends", [2], "u32");
    const sentences = Uint32Array.of(0, 3, 4, 1, 2, 1, 0, 4);
    residents.set(ids, sentences).set(ends, endPositions(sentences, 4));
    const g = new Graph();
    g.output("embedding", tower.sentences(g, tower.run(g, ids), ends));
    const found = (await runGraph(gpu, g, residents)).get("embedding")!, expected = EXPECTED.text[activation];
    assert.equal(found.length, expected.length);
    expected.forEach((value, i) => {
      assert.ok(
        Math.abs(value - found[i]) < 2e-5 * (1 + Math.abs(value)),
        `${activation}: ${found[i]} for ${value}`,
      );
    });
  }
});
