/** The matmul variants for software against plain loops, over awkward shapes, transpositions, types and epilogues. */

import assert from "node:assert/strict";
import { MATMUL, MATMUL_VARIANTS, matmulCandidates } from "../../gpu/ops/matmul_kernel.ts";
import type { MatmulSpec, MatmulVariant } from "../../gpu/ops/matmul_kernel.ts";
import type { KernelAdapter } from "../../gpu/op.ts";
import { ACTIVATIONS } from "../../gpu/ops/activation_functions.ts";
import { chooseVariant } from "../../gpu/tuning/choose.ts";
import { chosenKernel, PLAIN_GPU, tuneKey } from "../../gpu/tuning/family.ts";
import { matmulTrial } from "../../gpu/tuning/matmul_trial.ts";
import { createTrial } from "../../gpu/tuning/trial.ts";
import { gpuTest } from "../_util/gpu.ts";
import {
  adapterOf,
  check,
  defaultOf,
  EPILOGUES,
  familyDevice,
  randomInputs,
  runKernel,
  runnable,
  spec,
  TRANSPOSES,
  typesFor,
} from "../_util/matmul.ts";

gpuTest(
  "small matmul tiles match plain loops on odd sizes with a full epilogue",
  async (base, info) => {
    const device = await familyDevice(base);
    // A driver takes seconds over the unrolled epilogue of a large tile, and the small ones are made of the same text.
    const small = runnable(device, info).filter(({ name }) => /4x8$|8x8$|16x16$/.test(name));
    for (const [i, variant] of small.entries()) {
      const epilogue = { bias: true, residual: true, activation: i % 2 ? "gelu" : "quickGelu" } as const;
      await check(device, variant, spec(67, 71, 37, { ...TRANSPOSES[i % 4], ...epilogue }));
    }
  },
);

gpuTest(
  "every matmul variant for software matches plain loops on batched sizes that allow wide loads",
  async (base, info) => {
    const device = await familyDevice(base);
    const types = typesFor(device);
    for (const [i, variant] of runnable(device, info).entries()) {
      const [m, n, k] = [68, 72, 36];
      const batch = { batch: 3, strideA: m * k + 8, strideB: i % 2 ? 0 : k * n, strideC: m * n };
      const which = types[(i >> 1) % types.length];
      await check(device, variant, spec(m, n, k, { ...TRANSPOSES[(i + 1) % 4], ...batch, ...which }));
    }
  },
);

gpuTest("the small tiles match plain loops for every transposition and storage type", async (base, info) => {
  const device = await familyDevice(base);
  const names = ["register-lanes8-wide-16x16", "register-lanes8-8x8", "register-plain-4x8"];
  for (const variant of runnable(device, info).filter(({ name }) => names.includes(name))) {
    for (const [i, types] of typesFor(device).entries()) {
      for (const [j, transposes] of TRANSPOSES.entries()) {
        const [m, n, k] = [[17, 19, 7], [18, 34, 10], [20, 36, 12]][(i + j) % 3];
        const residual = j % 2 === 0;
        await check(device, variant, spec(m, n, k, { ...types, ...transposes, residual, bias: residual }));
      }
    }
  }
});

gpuTest("the default variant matches plain loops on awkward shapes", async (base, info) => {
  const device = await familyDevice(base);
  const shapes = [[1, 1, 1], [1, 5, 3], [5, 1, 197], [197, 64, 13], [65, 33, 129], [16, 4, 64], [2, 3, 5], [
    33,
    197,
    1,
  ]];
  for (const [i, [m, n, k]] of shapes.entries()) {
    const s = spec(m, n, k, TRANSPOSES[i % 4]);
    await check(device, defaultOf(s, adapterOf(device, info)), s);
  }
});

gpuTest("splitting k gives partial sums, with zeros for parts past the end", async (base, info) => {
  const device = await familyDevice(base);
  for (const [k, splitK, batch] of [[200, 3, 1], [40, 4, 1], [131, 2, 2], [5, 3, 1]]) {
    const s = spec(9, 10, k, { splitK, batch, transposeA: true });
    for (const variant of matmulCandidates(s, adapterOf(device, info)).slice(0, 2)) {
      await check(device, variant, s);
    }
  }
});

gpuTest(
  "sums over k are those of Aᵀ, whole and in parts, also of odd sizes and with wide loads",
  async (base, info) => {
    const device = await familyDevice(base);
    const one = { transposeA: true, sums: true };
    const specs = [
      spec(67, 37, 131, { ...one, splitK: 3 }),
      spec(68, 36, 132, { ...one, transposeB: true }),
      spec(5, 70, 9, one),
    ];
    for (const s of specs) {
      const all = matmulCandidates(s, adapterOf(device, info)),
        plain = all.findLast(({ needs }) => needs.length === 0)!;
      for (const variant of [...all.slice(0, 2), plain]) await check(device, variant, s);
    }
  },
);

gpuTest(
  "a product keeps what its activation is applied to, and multiplies by the slope of one",
  async (base, info) => {
    const device = await familyDevice(base);
    for (const [i, activation] of (["gelu", "quickGelu", "relu"] as const).entries()) {
      for (const [m, n, k] of [[17, 23, 9], [36, 40, 12]]) {
        const kept = spec(m, n, k, { transposeB: true, bias: true, activation, preactivation: "written" });
        const slope = spec(m, n, k, { activation, preactivation: "read", residual: i === 1 });
        for (const s of [kept, slope]) await check(device, defaultOf(s, adapterOf(device, info)), s);
      }
    }
  },
);

gpuTest("more than 65535 workgroups fold into the second grid dimension", async (base, info) => {
  const device = await familyDevice(base);
  const variant = runnable(device, info).find(({ name }) => name === "register-plain-4x8")!;
  const s = spec(65536 * 4 + 3, 1, 1);
  assert.deepEqual(variant.build(s).workgroups, [32769, 2, 1]);
  await check(device, variant, s);
});

gpuTest("the fused activations stay within 5e-7 of the exact ones", async (base, info) => {
  const device = await familyDevice(base);
  for (const activation of ["gelu", "quickGelu"] as const) {
    const s = spec(4001, 1, 1, { activation });
    const inputs = randomInputs(s);
    inputs.a = Float32Array.from({ length: s.m }, (_, i) => (i - 2000) / 250);
    inputs.b[0] = 1;
    const { out } = await runKernel(device, defaultOf(s, adapterOf(device, info)), s, inputs);
    for (let i = 0; i < s.m; i++) {
      const exact = ACTIVATIONS[activation].value(inputs.a[i]);
      const error = Math.abs(out[i] - exact);
      assert.ok(
        error <= 5e-7 * Math.max(1, Math.abs(inputs.a[i])),
        `${activation}(${inputs.a[i]}): ${out[i]}, not ${exact}`,
      );
    }
  }
});

gpuTest("chooseVariant() passes over a wrong candidate", async (base, info) => {
  const device = await familyDevice(base);
  const s = spec(16, 16, 16);
  const right = defaultOf(s, adapterOf(device, info));
  // It would look right, if what a candidate before it has written were still there.
  const wrong: MatmulVariant = {
    ...right,
    name: "wrong",
    build: (given) => ({ ...right.build(given), workgroups: [0, 1, 1] }),
  };
  for (const candidates of [[wrong, right], [right, wrong]]) {
    const found = await chooseVariant(device, { family: MATMUL, spec: s, candidates }, { budgetMs: 1 });
    assert.equal(found.variant, right);
    assert.match(String(found.tried.get("wrong")), /^C\[0 0 0\] must be .*, current value is NaN$/);
  }
  await assert.rejects(chooseVariant(device, { family: MATMUL, spec: s, candidates: [wrong] }), {
    message: /^Cannot choose a kernel of "matmul": .* wrong: C\[0 0 0\] must be /,
  });
  const tried = await chooseVariant(
    device,
    { family: MATMUL, spec: s, candidates: [right, wrong] },
    { budgetMs: 1, limitMs: 0 },
  );
  assert.deepEqual([...tried.tried.keys()], [right.name], "after the deadline only the first one");
});

Deno.test("chosenKernel() is of what was measured, and of the default where a measured one is gone", () => {
  const s = spec(64, 64, 64), candidates = matmulCandidates(s, PLAIN_GPU);
  const key = tuneKey(MATMUL, s, { adapterKey: "//", candidates });
  const chosen = (name: string) => chosenKernel(MATMUL, s, { ...PLAIN_GPU, choices: new Map([[key, name]]) });
  assert.deepEqual(chosen(candidates[1].name), candidates[1].build(s));
  assert.notEqual(candidates[1].build(s).code, candidates[0].build(s).code);
  assert.deepEqual(chosen("gone"), candidates[0].build(s));
  assert.deepEqual(chosenKernel(MATMUL, s, { ...PLAIN_GPU, choices: new Map() }), candidates[0].build(s));
});

Deno.test("equal launches in one environment share a kernel, and every one is told of", () => {
  const told: unknown[] = [], s = spec(64, 64, 64);
  const environment = { ...PLAIN_GPU, onChoice: (_: string, spec: unknown) => void told.push(spec) };
  const first = chosenKernel(MATMUL, s, environment);
  assert.equal(chosenKernel(MATMUL, { ...s }, environment), first);
  const other = chosenKernel(MATMUL, { ...s, bias: true }, environment);
  assert.notEqual(other, first);
  assert.notEqual(chosenKernel(MATMUL, s, { ...environment }), first);
  const wide = spec(64, 128, 64);
  chosenKernel(MATMUL, { ...wide, preactivation: "written" }, environment, { chosenBy: wide });
  assert.deepEqual(told, [s, s, { ...s, bias: true }, s, wide]);
});

gpuTest("a trial names a kernel that does not compile", async (base, info) => {
  const device = await familyDevice(base);
  const s = spec(4, 4, 4);
  const kernel = defaultOf(s, adapterOf(device, info)).build(s);
  const trial = createTrial(device, matmulTrial(s));
  const result = await trial.measure({ ...kernel, code: kernel.code.replace("fn main", "fn main main") }, {
    budgetMs: 1,
  });
  trial.destroy();
  assert.equal(typeof result, "string");
});

gpuTest("a trial has all that a joined product binds, and judges all that it writes", async (base, info) => {
  const device = await familyDevice(base), adapter = adapterOf(device, info);
  const joined = [
    ...EPILOGUES.map((epilogue) => spec(20, 24, 36, epilogue)),
    spec(20, 24, 36, { transposeA: true, sums: true }),
    spec(20, 24, 99, { transposeA: true, sums: true, splitK: 3 }),
  ];
  for (const s of joined) {
    const kernel = defaultOf(s, adapter).build(s), setup = matmulTrial(s);
    const judged = async (spoiled?: string) => {
      const check: typeof setup.check = (outputs) =>
        setup.check(
          spoiled === undefined
            ? outputs
            : { ...outputs, [spoiled]: Array.from(outputs[spoiled], (value) => value + 0.01) },
        );
      const trial = createTrial(device, { ...setup, check });
      try {
        return await trial.measure(kernel, { budgetMs: 1 });
      } finally {
        trial.destroy();
      }
    };
    assert.equal(typeof await judged(), "number", JSON.stringify(s));
    for (const output of Object.keys(setup.outputs)) {
      const told = await judged(output);
      assert.match(String(told), new RegExp(`^${output}\\[.* must be `, "i"), JSON.stringify(s));
    }
    const written = [
      "c",
      ...s.preactivation === "written" ? ["preactivation"] : [],
      ...s.sums ? ["sums"] : [],
    ];
    assert.deepEqual(Object.keys(setup.outputs), written);
  }
  const lacking = createTrial(device, matmulTrial(spec(20, 24, 36)));
  const full = spec(20, 24, 36, { bias: true });
  await assert.rejects(
    () => lacking.measure(defaultOf(full, adapter).build(full), { budgetMs: 1 }),
    /its trial must have a buffer for "bias"/,
  );
  lacking.destroy();
});

Deno.test("a cached choice holds for nearby sizes, and not for other kernel sources", () => {
  const variants = MATMUL_VARIANTS.slice(0, 2);
  const keyOf = (adapterKey: string, s: MatmulSpec, candidates = variants) =>
    tuneKey(MATMUL, s, { adapterKey, candidates });
  const key = keyOf("x", spec(1576, 768, 768));
  assert.equal(keyOf("x", spec(1600, 768, 768)), key);
  assert.notEqual(keyOf("x", spec(64, 768, 768)), key);
  assert.notEqual(keyOf("y", spec(1576, 768, 768)), key);
  const changed = variants.map((variant) => ({
    ...variant,
    build: (s: MatmulSpec) => ({ ...variant.build(s), code: variant.build(s).code + "\n" }),
  }));
  assert.notEqual(keyOf("x", spec(1576, 768, 768), changed), key);
});

Deno.test("the default variant follows the adapter and the shape", () => {
  const features = new Set(["subgroups", "wgpu-shader-int64", "shader-f16"]);
  const software = (bits: number, has = features): KernelAdapter => ({
    ...PLAIN_GPU,
    description: `llvmpipe (LLVM 15.0.6, ${bits} bits)`,
    isSoftware: true,
    features: has,
  });
  const big = spec(1576, 768, 768, { transposeB: true });
  assert.equal(defaultOf(big, software(256)).name, "register-lanes8-wide-64x32");
  assert.match(defaultOf(big, software(128)).name, /^register-lanes4-wide/);
  assert.match(defaultOf(big, software(256, new Set(["subgroups"]))).name, /^register-lanes8-\d/);
  assert.match(defaultOf(big, software(256, new Set())).name, /^register-plain/);
  assert.match(defaultOf(spec(5, 4, 64), software(256)).name, /-8x8$/);
  assert.match(defaultOf(big, PLAIN_GPU).name, /^shared-/);
  assert.match(defaultOf(spec(16, 4, 64), PLAIN_GPU).name, /^rows-/);
  assert.throws(() => defaultOf({ ...big, typeB: "f16" }, PLAIN_GPU), {
    message: /^Cannot choose a kernel of "matmul": .*; f16 needs "shader-f16"$/,
  });
});

Deno.test("a size of zero is refused by name", () => {
  assert.throws(() => MATMUL_VARIANTS[0].build(spec(4, 4, 0)), {
    name: "RangeError",
    message: "Cannot build matmul: k must be a whole number of at least 1, current value is 0",
  });
});
