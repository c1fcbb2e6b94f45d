/** The matmul variants for GPUs: every option of theirs once on this driver; what they ask of an adapter; their order. */

import assert from "node:assert/strict";
import { Graph, resident } from "../../gpu/graph.ts";
import { launchesOf } from "../_util/launches.ts";
import { linear } from "../../gpu/ops/linear.ts";
import { MATMUL_VARIANTS, matmulCandidates } from "../../gpu/ops/matmul_kernel.ts";
import type { MatmulSpec, MatmulVariant } from "../../gpu/ops/matmul_kernel.ts";
import type { KernelAdapter, KernelEnvironment } from "../../gpu/op.ts";
import { PLAIN_GPU } from "../../gpu/tuning/family.ts";
import { gpuTest } from "../_util/gpu.ts";
import { operandsOf, sharePieces, slotsOf } from "../../gpu/ops/_matmul_pieces.ts";
import { check, familyDevice, hardwareCases, hardwareOf, hardwareVariants, spec } from "../_util/matmul.ts";

const CARD: KernelAdapter = {
  ...PLAIN_GPU,
  vendor: "nvidia",
  features: new Set(["shader-f16", "subgroups"]),
  workgroupBytes: 49152,
  workgroupInvocations: 1024,
  subgroupSizes: { min: 32, max: 32 },
};

const TOWER = spec(8 * 197, 768, 768, { transposeB: true });
const HALF = { typeA: "f16", typeB: "f16", typeC: "f16" } as const;

/** Some of the variants that between them have every trait there is. */
function covering(variants: readonly MatmulVariant[]): MatmulVariant[] {
  const seen = new Set<string>();
  return variants.filter(({ traits }) => {
    const isNew = traits.some((trait) => !seen.has(trait));
    traits.forEach((trait) => seen.add(trait));
    return isNew;
  });
}

gpuTest(
  "every block, tile and feed for GPUs matches plain loops; all of them together in tests/full",
  async (base, info) => {
    const device = await familyDevice(base), hardware = hardwareOf(device, info);
    const chosen = covering(hardwareVariants(hardware));
    assert.ok(chosen.length >= 10, `only ${chosen.map(({ name }) => name)}`);
    for (const [turn, variant] of chosen.entries()) {
      const isChunk = variant.traits[0].startsWith("chunk");
      const each = isChunk
        ? spec(68, 72, 36, { typeB: "f16", transposeB: true, halfProducts: true })
        : hardwareCases(variant, hardware, turn)[(3 * turn + 1) % 14];
      const error = await check(device, variant, each);
      if (isChunk) assert.ok(error > 0.02, `${variant.name}: as exact as f32, error ${error} of its bound`);
    }
  },
);

Deno.test("threads share out the pieces of a block so that each is copied once, whatever the block and the threads", () => {
  let shared = 0;
  for (const { name } of MATMUL_VARIANTS) {
    const sizes = /^shared-(\d+)x(\d+)x(\d+)-(\d+)x(\d+)/.exec(name)?.slice(1).map(Number);
    if (!sizes) continue;
    const [blockM, blockN, blockK, rows, columns] = sizes, threads = blockM / rows * blockN / columns;
    for (const typeB of ["f32", "f16"] as const) {
      const { a, b } = operandsOf(spec(8, 8, 8, { typeB }), { blockM, blockN }, { a: "f32", b: "f32" });
      const pieces = sharePieces([a, b], { blockK, threads });
      for (const operand of [a, b]) {
        const copied = new Map<string, number>();
        for (const piece of pieces.filter((each) => each.operand === operand)) {
          // WGSL's whole numbers and conditions, as JavaScript.
          const value = (text: string) => new Function("thread", `return ${text.replace(/(\d)u/g, "$1")};`);
          const [quad, place] = piece.setup.split("\n").map((line) => value(/= (.*);/.exec(line)![1]));
          const copies = value(piece.condition || "true");
          for (let thread = 0; thread < threads; thread++) {
            const at = `${Math.floor(quad(thread))} ${Math.floor(place(thread))}`;
            if (copies(thread)) copied.set(at, (copied.get(at) ?? 0) + 1);
          }
        }
        assert.equal(copied.size, operand.block / 4 * blockK / 4, `${name}: pieces of ${operand.name}`);
        assert.ok([...copied.values()].every((times) => times === 1), `${name}: ${operand.name} once`);
        shared += 1;
      }
      // A slot's threads read into the same registers.
      for (const slot of slotsOf(pieces)) assert.equal(new Set(slot.map(({ type }) => type)).size, 1, name);
    }
  }
  assert.ok(shared > 200, `${shared} operands`);
});

Deno.test("blocks are read at constant steps, and whole ones without a check that would make their reads wait", () => {
  const kernels = MATMUL_VARIANTS.filter(({ name }) => name.startsWith("shared"));
  for (const { name, build } of kernels) {
    const typeB = name.includes("half") || name.includes("chunk") ? "f16" : "f32";
    for (const splitK of [1, 2]) {
      const code = build(spec(256, 256, 64, { typeB, splitK, transposeB: true, halfProducts: true })).code;
      const accesses = code.match(/block_[ab]\[[^=;]*?\](?= =|;|\))/g) ?? [];
      assert.ok(accesses.length >= 16, name);
      for (const access of accesses) assert.match(access, /^block_[ab]\[[^\]]+\]\[[0-3]\]\[[^\]]+\]$/, name);
      assert.doesNotMatch(code, /if \(k_/, name);
    }
    assert.match(build(spec(256, 256, 60, { typeB, halfProducts: true })).code, /if \(k_a/, name);
  }
});

gpuTest("workgroups that go down a few rows of blocks at a time make every block", async (base, info) => {
  const device = await familyDevice(base), hardware = hardwareOf(device, info);
  const variant = hardwareVariants(hardware).find(({ name }) => name.startsWith("shared-32x32x16"))!;
  // Ten rows of three blocks: a group of eight rows, and one of two.
  await check(device, variant, spec(300, 68, 12, { transposeB: true, batch: 2 }));
});

/** Bytes of workgroup memory and invocations that a kernel's text declares. */
function declared(code: string): { bytes: number; threads: number } {
  let bytes = 0;
  const arrays = code.matchAll(/var<workgroup> \w+: (?:array<)+(vec4f|vec4<f16>)((?:, \d+>)+);/g);
  for (const [, type, counts] of arrays) {
    const count = counts.match(/\d+/g)!.reduce((product, each) => product * Number(each), 1);
    bytes += count * (type === "vec4f" ? 16 : 8);
  }
  return { bytes, threads: Number(/@workgroup_size\((\d+)\)/.exec(code)![1]) };
}

Deno.test("candidates for a GPU keep within its workgroup memory and invocations, and need no feature it lacks", () => {
  const specs: MatmulSpec[] = [
    TOWER,
    { ...TOWER, ...HALF, halfProducts: true },
    spec(16, 4, 64),
    spec(1, 768, 768, { typeB: "f16" }),
  ];
  let largest = 0;
  for (const workgroupBytes of [16384, 32768, 65536]) {
    for (const workgroupInvocations of [128, 256, 1024]) {
      for (const features of [[], ["shader-f16"], ["shader-f16", "subgroups"]]) {
        const adapter = { ...CARD, workgroupBytes, workgroupInvocations, features: new Set(features) };
        for (const each of specs) {
          const needsHalf = each.typeB === "f16";
          const candidates = matmulCandidates(each, adapter);
          assert.equal(candidates.length > 0, !needsHalf || features.length > 0);
          for (const variant of candidates) {
            const { code } = variant.build(each), { bytes, threads } = declared(code);
            assert.ok(bytes <= workgroupBytes && threads <= workgroupInvocations, variant.name);
            assert.equal(
              /\bf16\b/.test(code),
              code.startsWith("enable f16;") || code.includes("\nenable f16;"),
            );
            assert.ok(features.includes("subgroups") || !code.includes("subgroupBroadcast"), variant.name);
            largest = Math.max(largest, bytes);
          }
        }
      }
    }
  }
  assert.ok(largest > 32768, "more memory is put to use");
  assert.equal(new Set(MATMUL_VARIANTS.map(({ name }) => name)).size, MATMUL_VARIANTS.length);
});

Deno.test("subgroups are spread over only where their one size is known", () => {
  const lanes = (subgroupSizes: KernelAdapter["subgroupSizes"]) =>
    matmulCandidates(TOWER, { ...CARD, subgroupSizes }).filter(({ traits }) => traits[0] === "subgroup")
      .map(({ name }) => name.split("-")[0]);
  assert.deepEqual([...new Set(lanes({ min: 32, max: 32 }))], ["subgroup32"]);
  assert.deepEqual([...new Set(lanes({ min: 64, max: 64 }))], ["subgroup64"]);
  assert.deepEqual(lanes({ min: 32, max: 64 }), []);
  assert.deepEqual(lanes(null), []);
});

Deno.test("f16 multiplication is a candidate only where it is allowed and an operand is stored as f16", () => {
  const kinds = (each: MatmulSpec) => new Set(matmulCandidates(each, CARD).map(({ traits }) => traits[0]));
  const chunks = (each: MatmulSpec) => [...kinds(each)].filter((kind) => kind.startsWith("chunk")).sort();
  assert.deepEqual(chunks({ ...TOWER, ...HALF }), []);
  assert.deepEqual(chunks({ ...TOWER, halfProducts: true }), []);
  assert.deepEqual(chunks({ ...TOWER, ...HALF, halfProducts: true }), ["chunk4", "chunk8"]);
  assert.deepEqual(chunks({ ...TOWER, typeB: "f16", halfProducts: true }), ["chunk4", "chunk8"]);
});

Deno.test("f16 multiplication is asked for where the environment allows it and both operands are stored as f16", () => {
  const asked = (dtype: "f32" | "f16", environment: Partial<KernelEnvironment>) => {
    const g = new Graph(), x = resident("input", "x", [4, 8], dtype);
    linear(g, x, resident("input", "w", [12, 8], "f16"));
    return launchesOf(g.nodes, environment).map(({ spec }) => (spec as MatmulSpec).halfProducts);
  };
  assert.deepEqual(asked("f16", { multipliesHalves: true }), [true]);
  assert.deepEqual(asked("f16", {}), [undefined]);
  assert.deepEqual(asked("f32", { multipliesHalves: true }), [undefined]);
});

Deno.test("the first candidate is as exact as any and holds on any driver, those after it differ", () => {
  const shapes = [[8 * 197, 768, 768], [50432, 320, 320], [4096, 4096, 4096], [2048, 64, 64], [
    768,
    768,
    50432,
  ]];
  for (const [m, n, k] of shapes) {
    for (const halfProducts of [false, true]) {
      for (const adapter of [CARD, { ...CARD, vendor: "apple" }]) {
        const first = matmulCandidates(spec(m, n, k, { ...HALF, halfProducts }), adapter).slice(0, 6);
        assert.match(first[0].traits[0], /^(full|half)$/, `${m}x${n}x${k}: ${first[0].name}`);
        const differ = (i: number) => new Set(first.map(({ traits }) => traits[i])).size;
        assert.ok(
          differ(0) >= 2 && differ(1) >= (halfProducts ? 2 : 3) && differ(2) >= 2,
          first.map(({ name }) => name).join(),
        );
      }
    }
  }
});

Deno.test("products of few rows share out the sum over k; small products get small blocks, large ones large", () => {
  const first = (m: number, n: number, k: number) =>
    matmulCandidates(spec(m, n, k, { transposeB: true }), CARD)[0].name;
  assert.match(first(16, 4, 64), /^rows-/);
  assert.match(first(1, 768, 768), /^rows-1x/);
  const area = (name: string) => {
    const [, m, n] = /^shared-(\d+)x(\d+)x/.exec(name)!;
    return Number(m) * Number(n);
  };
  assert.ok(area(first(4096, 4096, 4096)) >= 128 * 64);
  assert.ok(area(first(197, 768, 768)) <= 64 * 64);
});
