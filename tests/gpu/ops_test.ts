/** Every op on every case of its table; and that the check sees each kind of wrong kernel. */

import assert from "node:assert/strict";
import { type Dispatch, type Op, OPS, recordOne } from "../../gpu/op.ts";
import "../../gpu/ops/mod.ts";
import { OP_CASES } from "../../gpu/cases/all.ts";
import type { OpCase } from "../../gpu/cases/op_case.ts";
import { engineTest } from "../_util/engine.ts";
import { checkOp } from "../_util/op_check.ts";

Deno.test("every op has a case table, and every table an op", () => {
  const withKernels = [...OPS.values()].filter((op) => !op.view).map((op) => op.name);
  assert.deepEqual(withKernels.filter((name) => !OP_CASES.has(name)), []);
  assert.deepEqual([...OP_CASES.keys()].filter((name) => !OPS.has(name)), []);
});

for (const [name, cases] of OP_CASES) {
  const op = OPS.get(name);
  if (!op) continue;
  engineTest(`${name}() matches its reference, and its gradient finite differences`, async (gpu) => {
    await checkOp(gpu, op, cases);
    // On a software adapter also with the kernels that are for hardware.
    if (gpu.isSoftware) {
      const { device, environment } = gpu;
      await checkOp({ device, environment: { ...environment, isSoftware: false } }, op, cases);
    }
  });
}

/** `scale` with its launch changed. It is not registered. */
function spoilt(change: (dispatch: Dispatch) => Dispatch): Op {
  const scale = OPS.get("scale")!;
  return { ...scale, name: "spoilt", dispatches: (context) => scale.dispatches(context).map(change) };
}

function rewritten(from: string, to: string): Op {
  return spoilt((dispatch) => {
    assert.ok(dispatch.source.includes(from), `the kernel must hold "${from}"`);
    return { ...dispatch, source: dispatch.source.replace(from, to) };
  });
}

/** Wrong kernels by what they do, and how that is reported. */
const WRONG: Record<string, { op: Op; report: RegExp }> = {
  "writes past the end": {
    op: rewritten("i >= params.count", "i > params.count"),
    report: /^spoilt, case "seven elements": a kernel wrote 4 bytes after the window of "spoilt\.out#0"/,
  },
  "writes before the start": {
    op: spoilt((dispatch) => {
      const [x, out] = dispatch.tensors;
      return { ...dispatch, tensors: [x, { ...out, base: out, offset: -64 }] };
    }),
    report: /a kernel wrote 256 bytes before the window of "spoilt\.out#0" of spoilt#0, shape \[7\]/,
  },
  "writes to its input": {
    op: rewritten("out[i] =", "x[i] = x_t(0.0);\n  out[i] ="),
    report: /a kernel changed "x", which its op does not update/,
  },
  "reads past the end": { op: rewritten("x[i]", "x[select(i, i + 1u, i == 6u)]"), report: /out\[6\] is NaN/ },
  "leaves an element unwritten": {
    op: rewritten("i >= params.count", "i + 1u >= params.count"),
    report: /out\[6\] is NaN/,
  },
  "is wrong in one element": {
    op: rewritten("out[i] = out_t(", "out[i] = out_t(f32(i == 3u) + "),
    report: /out\[3\] is /,
  },
};

const seven: OpCase = { name: "seven elements", inputs: { x: [7] }, attrs: { factor: 1 } };

for (const [what, { op, report }] of Object.entries(WRONG)) {
  engineTest(`a kernel that ${what} is caught`, async (gpu) => {
    await assert.rejects(checkOp(gpu, op, [seven]), { message: report });
  });
}

engineTest("a gradient's kernel that writes past the end is caught", async (gpu) => {
  const wrong = WRONG["writes past the end"].op, scale = OPS.get("scale")!;
  const op: Op = {
    ...scale,
    gradient: ({ g, grads, attrs }) => ({ x: recordOne(g, wrong, { x: grads.out }, attrs) }),
  };
  await checkOp(gpu, scale, [seven]);
  await assert.rejects(checkOp(gpu, op, [seven]), {
    message:
      /^scale, case "seven elements": a kernel wrote 4 bytes after the window of "grad\/\/spoilt\.out#1"/,
  });
});

engineTest("a kernel that writes the half beside an odd number of halves is caught", async (gpu) => {
  if (!gpu.features.has("shader-f16")) return;
  const halves: OpCase = { ...seven, dtypes: { x: "f16" } };
  await checkOp(gpu, OPS.get("scale")!, [halves]);
  await assert.rejects(checkOp(gpu, WRONG["writes past the end"].op, [halves]), {
    message: /a kernel wrote 2 bytes after the window of "spoilt\.out#0"/,
  });
});
