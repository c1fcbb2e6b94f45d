/**
 * Matmul in which a subgroup spreads A: a workgroup of a few subgroups shares a block of B in workgroup memory, each subgroup
 * makes some rows of C over all columns of the block. For GPUs whose subgroups have one known size.
 *
 * Every lane reads four neighbouring steps of one row of A and keeps them in registers; `subgroupBroadcast` from a constant lane
 * gives each value to all. A thus takes no workgroup memory and no reads of it. A broadcast feeds as many multiply-adds as a lane
 * has columns: a win where it is a scalar read (AMD) or a move between registers, less so where it goes by the unit that serves
 * workgroup memory (NVIDIA), so these variants run where they were measured and never by the fixed choice alone. They assume that
 * subgroups are made of neighbouring invocations, as all known drivers do; a measurement checks the results first.
 */

import {
  activationText,
  declareBindings,
  launch,
  specLabel,
  splitLength,
  tileAddress,
} from "./_matmul_common.ts";
import type { MatmulKernel, MatmulSpec, MatmulVariant } from "./_matmul_common.ts";
import { estimate } from "./_matmul_estimate.ts";
import {
  addressPiece,
  declareBlock,
  declareRegisters,
  fetchSlot,
  operandsOf,
  permutation,
  putSlot,
  rowAlongK,
  sharePieces,
  slotsOf,
  wordsOf,
  wordValues,
} from "./_matmul_pieces.ts";
import { readBias, storeRow } from "./_matmul_store.ts";

/** Tile of one lane, which has rows of the whole subgroup; lanes / rows quads of k are held at a time. */
export interface SubgroupTile {
  readonly lanes: number;
  readonly subgroups: number;
  readonly rows: number;
  readonly columns: number;
}

/** What follows from a tile: a turn has as many steps as the lanes hold of every row. */
function sizesOf({ lanes, subgroups, rows, columns }: SubgroupTile) {
  const blockM = subgroups * rows, blockN = lanes * columns, blockK = 4 * lanes / rows;
  return { blockM, blockN, blockK, threads: lanes * subgroups, bytes: 2 * blockK * blockN * 4 };
}

/** One tile as a variant of the family. */
export function subgroupVariant(tile: SubgroupTile): MatmulVariant {
  const { lanes, rows, columns } = tile, { blockM, blockN, blockK, threads, bytes } = sizesOf(tile);
  const name = `subgroup${lanes}-${blockM}x${blockN}-${rows}x${columns}`;
  return {
    name,
    needs: ["subgroups"],
    traits: ["subgroup", `${blockM}x${blockN}`, `${rows}x${columns}`, `depth ${blockK}`, "buffers 2"],
    build: (spec) => build(spec, tile, name),
    suits: (spec, adapter) =>
      !adapter.isSoftware && !spec.sums && adapter.subgroupSizes?.min === lanes &&
      adapter.subgroupSizes.max === lanes &&
      threads <= adapter.workgroupInvocations && bytes <= adapter.workgroupBytes,
    cost: (spec, adapter) => estimate(effortOf(spec, tile), adapter),
  };
}

function effortOf(spec: MatmulSpec, tile: SubgroupTile) {
  const { rows, columns } = tile, { blockM, blockN, blockK, threads, bytes } = sizesOf(tile);
  const turns = Math.ceil(splitLength(spec) / blockK), k = turns * blockK;
  const pieces = blockK * blockN / 16 / threads;
  const size = (type: "f32" | "f16") => type === "f16" ? 2 : 4;
  return {
    workgroups: Math.ceil(spec.m / blockM) * Math.ceil(spec.n / blockN) * spec.batch * spec.splitK,
    threads,
    registers: rows * columns + columns + 8 + 16 * Math.ceil(pieces) + 24,
    bytes,
    instructions: k * (rows * columns + rows + columns / 4) + turns * (pieces * 40 + 8),
    independent: rows * columns,
    // Broadcasts take a turn of 32 lanes each where they share the way to workgroup memory.
    memoryCycles: k * threads / 32 * (rows + columns / 4 * 4),
    traffic: k * (blockM * size(spec.typeA) + blockN * size(spec.typeB)) +
      blockM * blockN * size(spec.typeC) * (spec.residual ? 2 : 1),
    turns,
    hidden: true,
  };
}

function build(spec: MatmulSpec, tile: SubgroupTile, name: string): MatmulKernel {
  const { lanes, rows, columns } = tile, { blockM, blockN, blockK, threads } = sizesOf(tile);
  const words = wordsOf(spec);
  const { a, b } = operandsOf(spec, { blockM, blockN }, { a: "f32", b: "f32" });
  const { text, bindings } = declareBindings(spec, { a: words.a.type, b: words.b.type, c: words.c.type });
  const size = { tileM: blockM, tileN: blockN, grouped: true };
  const quads = Array.from({ length: columns / 4 }, (_, i) => i);
  const columnOf = (quad: number) => `first_column + (lane + ${quad * lanes}u) * 4u`;
  const every = Array.from({ length: rows }, (_, i) => i);
  const pieces = sharePieces([b], { blockK, threads });
  const slots = slotsOf(pieces);
  const puts = (from: string) => slots.map((slot) => putSlot(spec, slot, { blockK, from })).join("\n");
  const fetches = (k0: string) => slots.map((slot) => fetchSlot(spec, slot, { k0 })).join("\n");
  // What this lane reads of A: quad `lane_quad` of row `lane_row`; a stored row runs along k or along m.
  const fetchA = (k0: string) => {
    const k = "k_a";
    const values = a.alongK
      ? rowAlongK(spec, { operand: a, p: "row_a", k })
      : `vec4f(${
        [0, 1, 2, 3].map((i) => {
          // Words of four hold neighbouring rows: the lane's is one of them.
          const at = (step: string) =>
            a.word.size === 4
              ? `${wordValues(a, `(row_a + (${step}) * params.m) / 4u`)}[row_a % 4u]`
              : wordValues(a, `row_a + (${step}) * params.m`);
          return spec.k % 4 === 0
            ? at(`${k} + ${i}u`)
            : `select(0f, ${at(`min(${k} + ${i}u, k_end - 1u)`)}, ${k} + ${i}u < k_end)`;
        }).join(", ")
      })`;
    return `    {
      let ${k} = ${k0} + lane_quad * 4u;
      next = vec4f();
      if (${k} < k_end) { next = ${values}; }
    }`;
  };
  const rowIndex = "min(first_row + subgroup * " + `${rows}u + lane_row, params.m - 1u)`;
  const rowPointer = a.alongK
    ? `(base_a + ${rowIndex} * params.k) / ${a.word.size}u`
    : `base_a + ${rowIndex}`;
  const code = `// Matmul, A spread by subgroups: ${name}, ${specLabel(spec)}.
${text}${activationText(spec)}
${declareBlock(b, { blockK, buffers: 2 })}

${storeRow(spec, words.c)}
@compute @workgroup_size(${threads})
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
${tileAddress(size)}
  let subgroup = thread / ${lanes}u;
  let lane = thread % ${lanes}u;
  let lane_row = lane / ${blockK / 4}u;
  let lane_quad = lane % ${blockK / 4}u;
  let row_a = ${rowPointer};
  var next = vec4f();
${every.flatMap((row) => quads.map((quad) => `  var c${row}_${quad} = vec4f();`)).join("\n")}
${pieces.map(addressPiece).join("\n")}
${declareRegisters(pieces)}
${fetchA("k_begin")}
${fetches("k_begin")}
${puts("")}
  workgroupBarrier();
  var buffer = 0u;
  for (var k0 = k_begin; k0 < k_end; k0 += ${blockK}u) {
    let held = next;
${fetchA(`k0 + ${blockK}u`)}
${fetches(`k0 + ${blockK}u`)}
    let first_quad = buffer * ${blockK / 4}u;
${multiply(tile, permutation(b, blockK))}
    buffer = 1u - buffer;
${puts(`buffer * ${blockK / 4}u + `)}
    workgroupBarrier();
  }
${readBias(spec, "bias_", quads.map(columnOf))}
${
    every.flatMap((row) =>
      quads.map((quad) =>
        `  store_row(first_row + subgroup * ${rows}u + ${row}u, rows_end, ${
          columnOf(quad)
        }, base_c, c${row}_${quad}${spec.bias ? ` + bias_${quad}` : ""});`
      )
    ).join("\n")
  }
}
`;
  const label = `matmul/${name}/${specLabel(spec)}`;
  return { label, code, entryPoint: "main", bindings, ...launch(spec, size) };
}

/** Multiplies what the lanes hold of A with the block of B. Unrolled: a broadcast is from a constant lane. */
function multiply(tile: SubgroupTile, shift: number): string {
  const { lanes, rows, columns } = tile, { blockK } = sizesOf(tile), lines: string[] = [];
  for (let step = 0; step < blockK; step++) {
    const quad = Math.floor(step / 4);
    lines.push("    {");
    for (let i = 0; i < columns / 4; i++) {
      lines.push(
        `      let b${i} = block_b[first_quad + ${quad}u][${step % 4}][(lane + ${i * lanes}u) ^ ${
          quad * shift
        }u];`,
      );
    }
    for (let row = 0; row < rows; row++) {
      lines.push(
        `      let a${row} = vec4f(subgroupBroadcast(held[${step % 4}], ${row * blockK / 4 + quad}u));`,
      );
      for (let i = 0; i < columns / 4; i++) {
        lines.push(`      c${row}_${i} = fma(a${row}, b${i}, c${row}_${i});`);
      }
    }
    lines.push("    }");
  }
  return lines.join("\n");
}
