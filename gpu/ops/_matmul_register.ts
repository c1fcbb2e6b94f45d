/**
 * Matmul with a tile in registers only, as unrolled text.
 *
 * A workgroup is one subgroup. Each lane owns `columns` columns of C over all `rows` rows of the tile. B is read by the
 * lane that needs it; A is read one word a lane and spread with `subgroupBroadcast` (`spread`), or by every lane.
 *
 * Measured on llvmpipe (Mesa 22.3, LLVM 15, 2 cores of a Zen 4, November 2026): every storage load inside a loop is a
 * loop over eight lanes of about 44 cycles, whatever its width, against 1 cycle for eight multiply-adds. Hence 64-bit
 * words (`wide`), which carry two f32 or four f16.
 */

import {
  activationText,
  biased,
  chooseWord,
  declareBindings,
  epilogue,
  launch,
  packWord,
  rowLengths,
  specLabel,
  tileAddress,
  unpackWord,
} from "./_matmul_common.ts";
import type { MatmulKernel, MatmulSpec, MatmulVariant, Word } from "./_matmul_common.ts";
import { softwareLanes } from "../adapter.ts";

/** Shape of the tile and how it is fed. */
export interface RegisterTile {
  /** Lanes of a subgroup, and size of a workgroup. */
  lanes: number;
  rows: number;
  /** Columns of one lane; the tile has lanes x columns. */
  columns: number;
  /** Spread A by subgroup broadcast. */
  spread: boolean;
  /** Read and write 64-bit words. */
  wide: boolean;
}

/** Steps of k in one turn of the main loop. */
const UNROLL = 4;

interface Words {
  a: Word;
  b: Word;
  c: Word;
}

/** Words that the tile can hold: a word along m or n must not be longer than the rows or columns it feeds. */
function chooseWords(spec: MatmulSpec, tile: RegisterTile): Words {
  const lengths = rowLengths(spec);
  const { wide } = tile;
  const lanesA = tile.spread ? tile.lanes : 1;
  return {
    a: chooseWord(spec.typeA, [lengths.a, spec.strideA], {
      wide,
      limit: spec.transposeA ? tile.rows / lanesA : UNROLL,
    }),
    b: chooseWord(spec.typeB, [lengths.b, spec.strideB], {
      wide,
      limit: spec.transposeB ? UNROLL : tile.columns,
    }),
    c: chooseWord(spec.typeC, [lengths.c, spec.strideC], { wide, limit: tile.columns }),
  };
}

/** Neighbouring columns that one lane owns: enough for a word of C, and of B where B's words run along n. */
function columnRun(spec: MatmulSpec, words: Words): number {
  return Math.max(words.c.size, spec.transposeB ? 1 : words.b.size);
}

/** One register tile as a variant of the family. */
export function registerVariant(tile: RegisterTile): MatmulVariant {
  const name = `register-${tile.spread ? `lanes${tile.lanes}` : "plain"}-${
    tile.wide ? "wide-" : ""
  }${tile.rows}x${tile.columns * tile.lanes}`;
  const needs = [...(tile.spread ? ["subgroups"] : []), ...(tile.wide ? ["wgpu-shader-int64"] : [])];
  return {
    name,
    needs,
    traits: [],
    build: (spec) => build(spec, tile, name),
    // A tile made for a larger subgroup would broadcast from lanes that do not exist.
    suits: (_, adapter) => adapter.isSoftware && (!tile.spread || tile.lanes === softwareLanes(adapter)),
    cost: (spec) => cost(spec, tile),
  };
}

/** Cycles of one llvmpipe core, from the figures in the header; a workgroup too few for the cores counts as idle time. */
function cost(spec: MatmulSpec, tile: RegisterTile): number {
  const words = chooseWords(spec, tile);
  const tiles = Math.ceil(spec.m / tile.rows) * Math.ceil(spec.n / (tile.columns * tile.lanes)) * spec.batch *
    spec.splitK;
  const loadsA = tile.rows / (words.a.size * (tile.spread ? tile.lanes : 1));
  const loadsB = tile.columns / words.b.size;
  // Where every step of k is another stored row, wide tiles miss the cache less than tall ones: measured, as this weight.
  const strided = spec.transposeA || !spec.transposeB;
  const perStep = (strided ? 60 : 44) * loadsA + 44 * loadsB + tile.rows * tile.columns;
  const stores = (spec.residual ? 2 : 1) / words.c.size;
  const perTile = perStep * spec.k / spec.splitK + (44 * stores + 10) * tile.rows * tile.columns + 2000;
  return Math.max(2, tiles) * perTile;
}

function build(spec: MatmulSpec, tile: RegisterTile, name: string): MatmulKernel {
  const words = chooseWords(spec, tile);
  const { text, bindings } = declareBindings(spec, { a: words.a.type, b: words.b.type, c: words.c.type });
  const size = { tileM: tile.rows, tileN: tile.columns * tile.lanes };
  // What is left of k after whole turns: one word at a time when a word runs along k.
  const tail = Math.max(spec.transposeA ? 1 : words.a.size, spec.transposeB ? words.b.size : 1);
  const remainder = spec.k % UNROLL === 0 ? "" : `  for (; k < k_end; k += ${tail}u) {
${step(spec, { tile, words, count: tail })}
  }
`;
  const accumulators = [
    ...grid(tile, (row, column) => `  var c${row}_${column} = 0f;`),
    ...rowSums(spec, tile, words).map(({ name }) => `  var ${name} = 0f;`),
  ];
  const code = `// Matmul, register tile: ${name}, ${specLabel(spec)}.
${text}${activationText(spec)}
@compute @workgroup_size(${tile.lanes})
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
${tileAddress(size)}${pointers(spec, tile, words)}
${accumulators.join("\n")}
  var k = k_begin;
  for (; k + ${UNROLL}u <= k_end; k += ${UNROLL}u) {
${step(spec, { tile, words, count: UNROLL })}
  }
${remainder}${stores(spec, tile, words)}${storeSums(spec, tile, words)}
}
`;
  const label = `matmul/${name}/${specLabel(spec)}`;
  return { label, code, entryPoint: "main", bindings, ...launch(spec, size) };
}

/** One line for each row and column of the tile. */
function grid(tile: RegisterTile, line: (row: number, column: number) => string): string[] {
  const lines: string[] = [];
  for (let row = 0; row < tile.rows; row++) {
    for (let column = 0; column < tile.columns; column++) lines.push(line(row, column));
  }
  return lines;
}

/** First column (in WGSL) of the run that holds a lane's column `column`. */
function runStart(column: number, run: number, lanes: number): string {
  return `first_column + ${Math.floor(column / run) * run * lanes}u + lane * ${run}u`;
}

/** Where each lane reads, as word indices that the loop adds k to. Rows and columns past the edge repeat the last ones. */
function pointers(spec: MatmulSpec, tile: RegisterTile, words: Words): string {
  const lines: string[] = [];
  const lanes = tile.spread ? tile.lanes : 1;
  const lane = tile.spread ? "lane" : "0u";
  const { a, b } = words;
  if (spec.transposeA) {
    for (let first = 0; first < tile.rows; first += lanes * a.size) {
      const row = `min(first_row + ${first}u + ${lane} * ${a.size}u, params.m - ${a.size}u)`;
      lines.push(`  let pa${first} = (base_a + ${row}) / ${a.size}u;`);
    }
    lines.push(`  let row_words_a = params.m / ${a.size}u;`);
  } else {
    for (let first = 0; first < tile.rows; first += lanes) {
      lines.push(
        `  let pa${first} = (base_a + min(first_row + ${first}u + ${lane}, params.m - 1u) * params.k) / ${a.size}u;`,
      );
    }
  }
  const run = columnRun(spec, words);
  if (spec.transposeB) {
    for (let column = 0; column < tile.columns; column++) {
      const index = `min(${runStart(column, run, tile.lanes)} + ${column % run}u, params.n - 1u)`;
      lines.push(`  let pb${column} = (base_b + ${index} * params.k) / ${b.size}u;`);
    }
  } else {
    for (let column = 0; column < tile.columns; column += b.size) {
      const index = `min(${runStart(column, run, tile.lanes)} + ${column % run}u, params.n - ${b.size}u)`;
      lines.push(`  let pb${column} = (base_b + ${index}) / ${b.size}u;`);
    }
    lines.push(`  let row_words_b = params.n / ${b.size}u;`);
  }
  return lines.join("\n");
}

/** `count` steps of k: loads, then the multiply-adds row by row, so that a row of C meets all steps in registers. */
function step(
  spec: MatmulSpec,
  { tile, words, count }: { tile: RegisterTile; words: Words; count: number },
): string {
  const lines: string[] = [];
  const lanes = tile.spread ? tile.lanes : 1;
  const { a, b } = words;
  const load = (name: string, index: string, word: Word, type: "f32" | "f16", values: string[]) => {
    lines.push(`    let ${name} = ${index};`);
    unpackWord(word, type, name).forEach((value, i) => lines.push(`    let ${values[i]} = ${value};`));
  };
  // Values are named a<first row of the group>_<k>_<place in the word>, b<column>_<k>.
  if (spec.transposeA) {
    for (let u = 0; u < count; u++) {
      lines.push(`    let ka${u} = (k + ${u}u) * row_words_a;`);
      for (let first = 0; first < tile.rows; first += lanes * a.size) {
        const values = Array.from({ length: a.size }, (_, i) => `a${first}_${u}_${i}`);
        load(`wa${first}_${u}`, `a[pa${first} + ka${u}]`, a, spec.typeA, values);
        if (spec.sums) lines.push(...values.map((value, i) => `    sum${first}_${i} += ${value};`));
      }
    }
  } else {
    lines.push(`    let ka = k / ${a.size}u;`);
    for (let first = 0; first < tile.rows; first += lanes) {
      for (let u = 0; u < count; u += a.size) {
        const values = Array.from({ length: a.size }, (_, i) => `a${first}_${u + i}_0`);
        load(`wa${first}_${u}`, `a[pa${first} + ka + ${u / a.size}u]`, a, spec.typeA, values);
      }
    }
  }
  if (spec.transposeB) {
    lines.push(`    let kb = k / ${b.size}u;`);
    for (let column = 0; column < tile.columns; column++) {
      for (let u = 0; u < count; u += b.size) {
        const values = Array.from({ length: b.size }, (_, i) => `b${column}_${u + i}`);
        load(`wb${column}_${u}`, `b[pb${column} + kb + ${u / b.size}u]`, b, spec.typeB, values);
      }
    }
  } else {
    for (let u = 0; u < count; u++) {
      lines.push(`    let kb${u} = (k + ${u}u) * row_words_b;`);
      for (let column = 0; column < tile.columns; column += b.size) {
        const values = Array.from({ length: b.size }, (_, i) => `b${column + i}_${u}`);
        load(`wb${column}_${u}`, `b[pb${column} + kb${u}]`, b, spec.typeB, values);
      }
    }
  }
  const perGroup = spec.transposeA ? lanes * a.size : lanes;
  const perLane = spec.transposeA ? a.size : 1;
  for (let row = 0; row < tile.rows; row++) {
    const first = row - row % perGroup;
    for (let u = 0; u < count; u++) {
      const value = `a${first}_${u}_${row % perLane}`;
      const source = Math.floor((row - first) / perLane);
      lines.push(
        `    let s${row}_${u} = ${tile.spread ? `subgroupBroadcast(${value}, ${source}u)` : value};`,
      );
    }
    for (let column = 0; column < tile.columns; column++) {
      const terms = Array.from({ length: count }, (_, u) => ` + s${row}_${u} * b${column}_${u}`);
      lines.push(`    c${row}_${column} = c${row}_${column}${terms.join("")};`);
    }
  }
  return lines.join("\n");
}

/** Where sums of A's rows are: in the lanes that read them. `row` is the first lane's, and `step` that from lane to lane. */
function rowSums(
  spec: MatmulSpec,
  tile: RegisterTile,
  { a }: Words,
): { name: string; row: number; step: number }[] {
  if (!spec.sums) return [];
  const lanes = tile.spread ? tile.lanes : 1, sums = [];
  for (let first = 0; first < tile.rows; first += lanes * a.size) {
    for (let i = 0; i < a.size; i++) sums.push({ name: `sum${first}_${i}`, row: first + i, step: a.size });
  }
  return sums;
}

/** Writes the sums of A's rows, in the tiles that begin a row of tiles. */
function storeSums(spec: MatmulSpec, tile: RegisterTile, words: Words): string {
  const sums = rowSums(spec, tile, words);
  if (sums.length === 0) return "";
  const lines = sums.map(({ name, row, step }) => {
    const at = `first_row + ${row}u + ${tile.spread ? "lane" : "0u"} * ${step}u`;
    return `    if (${at} < rows_end) { sums[split * params.m + ${at}] = ${name}; }`;
  });
  return `\n  if (first_column == 0u${tile.spread ? "" : " && lane == 0u"}) {\n${lines.join("\n")}\n  }`;
}

/** Writes the tile. Unrolled too: an array of the sums, to be walked by a loop, took llvmpipe four times as long to compile. */
function stores(spec: MatmulSpec, tile: RegisterTile, words: Words): string {
  const lines: string[] = [];
  const run = columnRun(spec, words);
  const { c } = words;
  for (let column = 0; column < tile.columns; column += c.size) {
    lines.push(`  let column${column} = ${runStart(column, run, tile.lanes)} + ${column % run}u;`);
    for (let i = 0; spec.bias && i < c.size; i++) {
      lines.push(`  let bias${column + i} = bias[min(column${column} + ${i}u, params.n - 1u)];`);
    }
  }
  const residual = unpackWord(c, spec.typeC, "old"), saved = unpackWord(c, spec.typeC, "saved");
  for (let row = 0; row < tile.rows; row++) {
    lines.push(`  if (first_row + ${row}u < rows_end) {`);
    lines.push(`    let row_c = base_c + (first_row + ${row}u) * params.n;`);
    for (let column = 0; column < tile.columns; column += c.size) {
      lines.push(
        `    if (column${column} < params.n) {`,
        `      let at = (row_c + column${column}) / ${c.size}u;`,
      );
      if (spec.residual) lines.push(`      let old = residual[at];`);
      if (spec.preactivation === "read") lines.push(`      let saved = preactivation[at];`);
      const values = Array.from({ length: c.size }, (_, i) => `v${i}`);
      const linear = values.map((_, i) => biased(spec, `c${row}_${column + i}`, `bias${column + i}`));
      if (spec.preactivation === "written") {
        lines.push(`      preactivation[at] = ${packWord(c, spec.typeC, linear)};`);
      }
      values.forEach((value, i) => {
        const operands = { residual: residual[i], preactivation: saved[i] };
        lines.push(`      let ${value} = ${epilogue(spec, linear[i], operands)};`);
      });
      lines.push(`      c[at] = ${packWord(c, spec.typeC, values)};`, "    }");
    }
    lines.push("  }");
  }
  return lines.join("\n");
}
