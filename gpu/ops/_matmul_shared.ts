/**
 * Matmul through workgroup memory: a workgroup makes a block of C, each thread a register tile of it. For GPUs.
 *
 * Both operands lie in workgroup memory as [k][m] and [k][n], so that the inner loop reads vectors whatever the
 * transposition; rows are padded by one vector against bank conflicts.
 */

import {
  activationText,
  declareBindings,
  epilogue,
  launch,
  rowLengths,
  specLabel,
  tileAddress,
} from "./_matmul_common.ts";
import type { MatmulKernel, MatmulSpec, MatmulVariant, Word } from "./_matmul_common.ts";

/** Block of one workgroup and tile of one thread. `rows` is a multiple of 4 and `columns` is 4. */
export interface SharedTile {
  blockM: number;
  blockN: number;
  blockK: number;
  rows: number;
  columns: number;
}

/** One block shape as a variant of the family. */
export function sharedVariant(tile: SharedTile): MatmulVariant {
  const name = `shared-${tile.blockM}x${tile.blockN}`;
  return {
    name,
    needs: [],
    build: (spec) => build(spec, tile, name),
    cost: (spec) => cost(spec, tile),
  };
}

/** Larger blocks reuse more and smaller ones fill the device; the device is guessed to run 256 workgroups at once. */
function cost(spec: MatmulSpec, tile: SharedTile): number {
  const total = Math.ceil(spec.m / tile.blockM) * Math.ceil(spec.n / tile.blockN) * spec.batch * spec.splitK;
  const efficiency = 1 / (1 + 24 / tile.blockM + 24 / tile.blockN);
  return Math.ceil(total / 256) * tile.blockM * tile.blockN * spec.k / spec.splitK / efficiency;
}

function vectorWord(type: "f32" | "f16", lengths: number[]): Word {
  const vector = lengths.every((length) => length % 4 === 0);
  if (type === "f32") return vector ? { type: "vec4f", size: 4 } : { type: "f32", size: 1 };
  return vector ? { type: "vec4<f16>", size: 4 } : { type: "f16", size: 1 };
}

function build(spec: MatmulSpec, tile: SharedTile, name: string): MatmulKernel {
  const lengths = rowLengths(spec);
  const words = {
    a: vectorWord(spec.typeA, [lengths.a, spec.strideA]),
    b: vectorWord(spec.typeB, [lengths.b, spec.strideB]),
    c: vectorWord(spec.typeC, [lengths.c, spec.strideC]),
  };
  const { text, bindings } = declareBindings(spec, { a: words.a.type, b: words.b.type, c: words.c.type });
  const size = { tileM: tile.blockM, tileN: tile.blockN };
  const threadsN = tile.blockN / tile.columns;
  const threadsM = tile.blockM / tile.rows;
  const vectorsA = tile.blockM / 4 + 1;
  const vectorsB = tile.blockN / 4 + 1;
  const threads = threadsM * threadsN;
  const rows = Array.from({ length: tile.rows }, (_, row) => row);
  const quads = rows.filter((row) => row % 4 === 0);
  const code = `// Matmul, workgroup memory: ${name}, ${specLabel(spec)}.
${text}${activationText(spec)}
var<workgroup> block_a: array<vec4f, ${tile.blockK * vectorsA}>; // [k][m], rows of ${vectorsA} vectors
var<workgroup> block_b: array<vec4f, ${tile.blockK * vectorsB}>; // [k][n]

${storeRow(spec, words.c)}
@compute @workgroup_size(${threads})
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
${tileAddress(size)}
  let thread_m = thread / ${threadsN}u;
  let thread_n = thread % ${threadsN}u;
${rows.map((row) => `  var c${row} = vec4f();`).join("\n")}
  for (var k0 = k_begin; k0 < k_end; k0 += ${tile.blockK}u) {
${
    loadBlock({
      name: "a",
      alongK: !spec.transposeA,
      block: tile.blockM,
      start: "first_row",
      end: "params.m",
      word: words.a,
      vectors: vectorsA,
      blockK: tile.blockK,
      threads,
    })
  }
${
    loadBlock({
      name: "b",
      alongK: spec.transposeB,
      block: tile.blockN,
      start: "first_column",
      end: "params.n",
      word: words.b,
      vectors: vectorsB,
      blockK: tile.blockK,
      threads,
    })
  }
    workgroupBarrier();
    for (var kk = 0u; kk < ${tile.blockK}u; kk++) {
      let b0 = block_b[kk * ${vectorsB}u + thread_n];
${
    quads.map((row) => `      let a${row} = block_a[kk * ${vectorsA}u + thread_m + ${row / 4 * threadsM}u];`)
      .join("\n")
  }
${rows.map((row) => `      c${row} = fma(vec4f(a${row - row % 4}[${row % 4}]), b0, c${row});`).join("\n")}
    }
    workgroupBarrier(); // the next turn overwrites the blocks
  }
  let column = first_column + thread_n * 4u;
${
    rows.map((row) =>
      `  store_row(first_row + thread_m * 4u + ${
        (row - row % 4) * threadsM + row % 4
      }u, rows_end, column, base_c, c${row});`
    ).join("\n")
  }
}
`;
  const label = `matmul/${name}/${specLabel(spec)}`;
  return { label, code, entryPoint: "main", bindings, ...launch(spec, size) };
}

/** Copies one operand's block to workgroup memory; what lies past an edge becomes 0. */
function loadBlock(operand: {
  name: "a" | "b";
  /** Whether stored rows run along k (else along m or n). */
  alongK: boolean;
  /** Block length along m or n. */
  block: number;
  start: string;
  end: string;
  word: Word;
  /** Vectors of a row in workgroup memory. */
  vectors: number;
  blockK: number;
  threads: number;
}): string {
  const { name, alongK, block, start, end, word, vectors, blockK, threads } = operand;
  const perRow = (alongK ? blockK : block) / word.size;
  const count = block * blockK / word.size;
  const outer = `(i / ${perRow}u)`;
  const inner = `(i % ${perRow}u * ${word.size}u)`;
  const [place, k] = alongK ? [outer, inner] : [inner, outer];
  const index = alongK ? `at * params.k + k` : `k * ${end} + at`;
  const value = word.size === 4 ? "vec4f" : "f32";
  const target = `block_${name}`;
  let write: string;
  if (word.size === 4 && !alongK) {
    write = `${target}[${k} * ${vectors}u + ${place} / 4u] = value;`;
  } else if (word.size === 4) {
    write = [0, 1, 2, 3].map((j) =>
      `${target}[(${k} + ${j}u) * ${vectors}u + ${place} / 4u][${place} % 4u] = value[${j}];`
    ).join("\n      ");
  } else {
    write = `${target}[${k} * ${vectors}u + ${place} / 4u][${place} % 4u] = value;`;
  }
  return `    for (var i = thread; i < ${count}u; i += ${threads}u) {
      let at = ${start} + ${place};
      let k = k0 + ${k};
      var value = ${value}();
      if (at < ${end} && k < k_end) { value = ${value}(${name}[(base_${name} + ${index}) / ${word.size}u]); }
      ${write}
    }`;
}

/** Function that finishes and stores four neighbouring values of one row of C. */
function storeRow(spec: MatmulSpec, word: Word): string {
  const component = (i: number) =>
    epilogue(spec, `v[${i}]`, {
      bias: `bias[column + ${i}u]`,
      residual: word.size === 4 ? `f32(old[${i}])` : "old",
    });
  const scalar = spec.typeC === "f16" ? "f16" : "f32";
  const body = word.size === 4
    ? `  if (column >= params.n) { return; }
  let at = (base_c + row * params.n + column) / 4u;
${spec.residual ? "  let old = residual[at];\n" : ""}  c[at] = ${word.type}(vec4f(${
      [0, 1, 2, 3].map(component).join(", ")
    }));`
    : `  let at = base_c + row * params.n + column;
${
      [0, 1, 2, 3].map((i) =>
        `  if (column + ${i}u < params.n) {
${spec.residual ? `    let old = f32(residual[at + ${i}u]);\n` : ""}    c[at + ${i}u] = ${scalar}(${
          component(i)
        });
  }`
      ).join("\n")
    }`;
  return `fn store_row(row: u32, rows_end: u32, column: u32, base_c: u32, v: vec4f) {
  if (row >= rows_end) { return; }
${body}
}
`;
}
