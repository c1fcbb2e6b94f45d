/**
 * Matmul for few rows: heads, matrix by vector. A workgroup makes a few rows of 4 or 32 columns of C; its threads share out the
 * steps of k, four at a time, and sum up through workgroup memory. For GPUs.
 *
 * Such a product is bound by reading B once. Where stored rows of B run along k, all threads go along the same four of them;
 * where they run along n, eight threads side by side read 32 neighbouring columns: 128 bytes either way.
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
  declareRegisters,
  fetchSlot,
  operandsOf,
  type Piece,
  pieceColumn,
  registerType,
  rowAlongK,
  wordsOf,
  wordValues,
} from "./_matmul_pieces.ts";
import { readBias, storeRow } from "./_matmul_store.ts";

/** Rows of a workgroup, and its threads, a power of two. */
export interface RowsTile {
  readonly rows: number;
  readonly threads: number;
}

/** Quads of columns of a workgroup. */
const quadsOf = (spec: MatmulSpec) => spec.transposeB ? 1 : 8;

/** More rows than this many tiles of them are work for blocks. */
const MOST_TILES = 8;

/** One tile as a variant of the family. */
export function rowsVariant(tile: RowsTile): MatmulVariant {
  const { rows, threads } = tile;
  const name = `rows-${rows}x${threads}`;
  return {
    name,
    needs: [],
    traits: ["rows", `rows ${rows}`, `threads ${threads}`],
    build: (spec) => build(spec, tile, name),
    suits: (spec, adapter) =>
      !adapter.isSoftware && !spec.sums && spec.m <= MOST_TILES * rows &&
      threads <= adapter.workgroupInvocations &&
      16 * rows * threads <= adapter.workgroupBytes,
    cost: (spec, adapter) => estimate(effortOf(spec, tile), adapter),
  };
}

function effortOf(spec: MatmulSpec, { rows, threads }: RowsTile) {
  const quads = quadsOf(spec), slices = threads / quads, k = splitLength(spec);
  const turns = Math.ceil(k / (4 * slices)), halvings = Math.log2(slices);
  const size = (type: "f32" | "f16") => type === "f16" ? 2 : 4;
  return {
    workgroups: Math.ceil(spec.m / rows) * Math.ceil(spec.n / (4 * quads)) * spec.batch * spec.splitK,
    threads,
    registers: 8 * rows + 32 + 24,
    bytes: 16 * rows * threads,
    instructions: turns * (16 * rows + 4 * rows + 40) + halvings * (8 * rows + 40) + 100,
    independent: 16,
    memoryCycles: threads / 32 * rows * 16,
    traffic: k * (rows * size(spec.typeA) + 4 * quads * size(spec.typeB)),
    turns: turns + 1,
    hidden: false,
  };
}

function build(spec: MatmulSpec, tile: RowsTile, name: string): MatmulKernel {
  const { rows, threads } = tile, quads = quadsOf(spec), step = 4 * threads / quads;
  const words = wordsOf(spec);
  const { a, b } = operandsOf(spec, { blockM: rows, blockN: 4 * quads }, { a: "f32", b: "f32" });
  const { text, bindings } = declareBindings(spec, { a: words.a.type, b: words.b.type, c: words.c.type });
  const size = { tileM: rows, tileN: 4 * quads };
  const every = Array.from({ length: rows }, (_, row) => row);
  const piece: Piece = {
    operand: b,
    id: "b",
    slot: 0,
    registers: [0, 1, 2, 3].map((i) => `r${i}`),
    type: registerType(b),
    condition: "",
    place: `thread % ${quads}u * 4u`,
    step: `thread / ${quads}u * 4u`,
    setup: "",
  };
  const pointers = every.map((row) => {
    const at = `min(first_row + ${row}u, params.m - 1u)`;
    return `  let row${row} = ${
      a.alongK ? `(base_a + ${at} * params.k) / ${a.word.size}u` : `base_a + ${at}`
    };`;
  });
  // Words of four hold neighbouring rows where A is stored along m: one value of each is used.
  const element = (row: number, j: number) =>
    a.word.size === 4
      ? `${wordValues(a, `(row${row} + (k + ${j}u) * params.m) / 4u`)}[row${row} % 4u]`
      : wordValues(a, `row${row} + (k + ${j}u) * params.m`);
  const valuesA = (row: number) =>
    a.alongK
      ? rowAlongK(spec, { operand: a, p: `row${row}`, k: "k" })
      : `vec4f(${
        [0, 1, 2, 3].map((j) =>
          spec.k % 4 === 0
            ? element(row, j)
            : `select(0f, ${
              element(row, j).replace(`k + ${j}u`, `min(k + ${j}u, k_end - 1u)`)
            }, k + ${j}u < k_end)`
        ).join(", ")
      })`;
  const code = `// Matmul, few rows: ${name}, ${specLabel(spec)}.
${text}${activationText(spec)}
var<workgroup> partial: array<vec4f, ${rows * threads}>; // [row][slice of k][quad of columns]

${storeRow(spec, words.c)}
@compute @workgroup_size(${threads})
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
${tileAddress(size)}
${pointers.join("\n")}
${addressPiece(piece)}
${declareRegisters([piece])}
${every.map((row) => `  var c${row} = vec4f();`).join("\n")}
  for (var k0 = k_begin; k0 < k_end; k0 += ${step}u) {
    let k = k0 + ${piece.step};
    if (k < k_end) {
${fetchSlot(spec, [piece], { k0: "k0" })}
${[0, 1, 2, 3].map((j) => `      let b${j} = ${pieceColumn(piece, j)};`).join("\n")}
${
    every.map((row) =>
      `      {
        let v = ${valuesA(row)};
${
        [0, 1, 2, 3].map((j) =>
          `        c${row} = fma(vec4f(v[${j}]), b${j}, c${row});`
        ).join("\n")
      }
      }`
    ).join("\n")
  }
    }
  }
${every.map((row) => `  partial[thread + ${row * threads}u] = c${row};`).join("\n")}
  workgroupBarrier();
  for (var half = ${threads / 2}u; half >= ${quads}u; half /= 2u) {
    if (thread < half) {
${
    every.map((row) =>
      `      partial[thread + ${row * threads}u] += partial[thread + half + ${row * threads}u];`
    ).join("\n")
  }
    }
    workgroupBarrier();
  }
  if (thread < ${rows * quads}u) {
    let row = thread / ${quads}u;
    let quad = thread % ${quads}u;
${readBias(spec, "bias_", ["first_column + quad * 4u"])}
    store_row(first_row + row, rows_end, first_column + quad * 4u, base_c, partial[row * ${threads}u + quad]${
    spec.bias ? " + bias_0" : ""
  });
  }
}
`;
  const label = `matmul/${name}/${specLabel(spec)}`;
  return { label, code, entryPoint: "main", bindings, ...launch(spec, size) };
}
