/**
 * What the matmul generators for GPUs share: operands in pieces of 4 x 4 values, from storage through registers to workgroup
 * memory, and the rows of C that are stored.
 *
 * Workgroup memory holds an operand as [k][place], place being m or n, in vectors of four places, so that a thread reads its tile
 * by vectors whatever the transposition. A piece is four places by four steps of k: four vectors in storage, along k or along the
 * places, and four along the places when they are written. Threads that write together differ in the step or in the place; the
 * vectors of four steps are permuted (exclusive or) such that either way they fall on different banks, without padding. Every
 * vector is written whole by one thread: WGSL lets an implementation write all of a vector for one of its components.
 */

import { biased, epilogue, rowLengths } from "./_matmul_common.ts";
import type { MatmulSpec, Word } from "./_matmul_common.ts";

/** One operand as the workgroup's threads copy it. */
export interface Operand {
  readonly name: "a" | "b";
  /** Whether stored rows run along k, else along m or n. */
  readonly alongK: boolean;
  /** Places of a block. */
  readonly block: number;
  /** First place of the workgroup's block, and the end of the operand's, in WGSL. */
  readonly start: string;
  readonly end: string;
  /** What is read at a time: four elements or one. */
  readonly word: Word;
  /** The type in registers and in workgroup memory. */
  readonly held: "f32" | "f16";
}

/** The word of four elements where all of `lengths` allow it, else of one. */
export function vectorWord(type: "f32" | "f16", lengths: readonly number[]): Word {
  const vector = lengths.every((length) => length % 4 === 0);
  if (type === "f32") return vector ? { type: "vec4f", size: 4 } : { type: "f32", size: 1 };
  return vector ? { type: "vec4<f16>", size: 4 } : { type: "f16", size: 1 };
}

/** What each matrix is read or written by at a time. */
export function wordsOf(spec: MatmulSpec): { a: Word; b: Word; c: Word } {
  const lengths = rowLengths(spec);
  return {
    a: vectorWord(spec.typeA, [lengths.a, spec.strideA]),
    b: vectorWord(spec.typeB, [lengths.b, spec.strideB]),
    c: vectorWord(spec.typeC, [lengths.c, spec.strideC]),
  };
}

/** The operands of a product in blocks of `blockM` and `blockN` places. */
export function operandsOf(
  spec: MatmulSpec,
  block: { blockM: number; blockN: number },
  held: { a: Operand["held"]; b: Operand["held"] },
): { a: Operand; b: Operand } {
  const words = wordsOf(spec);
  return {
    a: {
      name: "a",
      alongK: !spec.transposeA,
      block: block.blockM,
      start: "first_row",
      end: "params.m",
      word: words.a,
      held: held.a,
    },
    b: {
      name: "b",
      alongK: spec.transposeB,
      block: block.blockN,
      start: "first_column",
      end: "params.n",
      word: words.b,
      held: held.b,
    },
  };
}

/** The WGSL type of four values in registers. */
export const vectorOf = (type: "f32" | "f16") => type === "f16" ? "vec4<f16>" : "vec4f";

/** Vectors by which neighbouring quads of k are permuted, so that pieces written together fall on different banks. */
export function permutation(operand: Operand, blockK: number): number {
  // Threads that are served together: eight vectors of 16 bytes, or sixteen of 8.
  const together = Math.min(operand.block / 4, operand.held === "f16" ? 16 : 8);
  return Math.max(1, together / (blockK / 4));
}

/** One piece that a thread copies in every turn; some threads only, under `condition`. */
export interface Piece {
  readonly operand: Operand;
  /** Distinguishes the names of this piece. */
  readonly id: string;
  /** Names of its four vectors; pieces of different threads share them. */
  readonly registers: readonly string[];
  /** Which threads copy it, in WGSL; "": all. */
  readonly condition: string;
  /** First place within the block, and first step within the turn, in WGSL. */
  readonly place: string;
  readonly step: string;
  /** Statements that the two expressions need. */
  readonly setup: string;
}

/** Shares the blocks of `operands` out among the threads: those of one operand after those of the one before. */
export function sharePieces(
  operands: readonly Operand[],
  { blockK, threads }: { blockK: number; threads: number },
): Piece[] {
  const pieces: Piece[] = [];
  const quads = blockK / 4;
  let begin = 0;
  for (const operand of operands) {
    const count = operand.block / 4 * quads, end = begin + count;
    for (let slot = Math.floor(begin / threads); slot * threads < end; slot++) {
      const first = slot * threads, id = `${operand.name}${slot}`;
      const conditions = [
        ...(first < begin ? [`thread >= ${begin - first}u`] : []),
        ...(first + threads > end ? [`thread < ${end - first}u`] : []),
      ];
      const offset = first - begin;
      const unit = offset === 0 ? "thread" : offset > 0 ? `thread + ${offset}u` : `thread - ${-offset}u`;
      pieces.push({
        operand,
        id,
        registers: [0, 1, 2, 3].map((i) => `${operand.held === "f16" ? "h" : "r"}${slot}_${i}`),
        condition: conditions.join(" && "),
        setup: operand.alongK
          ? `  let quad_${id} = (${unit}) % ${quads}u;\n  let place_${id} = (${unit}) / ${quads}u;`
          : `  let quad_${id} = (${unit}) / ${operand.block / 4}u;\n` +
            `  let place_${id} = (${unit}) % ${operand.block / 4}u;`,
        place: `place_${id} * 4u`,
        step: `quad_${id} * 4u`,
      });
    }
    begin = end;
  }
  return pieces;
}

/** Declares the registers of all pieces. */
export function declareRegisters(pieces: readonly Piece[]): string {
  const lines = pieces.flatMap(({ registers, operand }) =>
    registers.map((name) => `  var ${name} = ${vectorOf(operand.held)}();`)
  );
  return [...new Set(lines)].join("\n");
}

/** Where a piece is read, without k. Places past the edge repeat the last ones: what comes of them is not stored. */
export function addressPiece({ operand, id, place, setup }: Piece): string {
  const { name, alongK, start, end, word } = operand;
  const lines = setup === "" ? [] : [setup];
  const at = (i: number) => `min(${start} + ${place} + ${i}u, ${end} - 1u)`;
  if (!alongK && word.size === 4) {
    lines.push(`  let p0_${id} = (base_${name} + min(${start} + ${place}, ${end} - 4u)) / 4u;`);
  } else {
    for (let i = 0; i < 4; i++) {
      lines.push(
        alongK
          ? `  let p${i}_${id} = (base_${name} + ${at(i)} * params.k) / ${word.size}u;`
          : `  let p${i}_${id} = base_${name} + ${at(i)};`,
      );
    }
  }
  return lines.join("\n");
}

/** Expression of four values along k, from row pointer `p` and step `k` (a multiple of 4) on. Past `k_end` they are 0. */
export function rowAlongK(
  spec: MatmulSpec,
  { operand: { name, word, held }, p, k }: {
    operand: Pick<Operand, "name" | "word" | "held">;
    p: string;
    k: string;
  },
): string {
  const vector = vectorOf(held);
  if (word.size === 4) return `${vector}(${name}[${p} + ${k} / 4u])`;
  const value = (i: number) =>
    spec.k % 4 === 0
      ? `${held}(${name}[${p} + ${k} + ${i}u])`
      : `select(${held}(0), ${held}(${name}[${p} + min(${k} + ${i}u, k_end - 1u)]), ${k} + ${i}u < k_end)`;
  return `${vector}(${[0, 1, 2, 3].map(value).join(", ")})`;
}

/** Reads a piece into its registers, from step `k0` of the turn on. */
export function fetchPiece(spec: MatmulSpec, piece: Piece, k0: string): string {
  const { operand, id, registers, condition, step } = piece;
  const { name, alongK, end, word, held } = operand;
  const k = `k_${id}`, vector = vectorOf(held);
  const reads = registers.map((register, i) => {
    if (alongK) return `${register} = ${rowAlongK(spec, { operand, p: `p${i}_${id}`, k })};`;
    const row = `(${k} + ${i}u) * ${end}`;
    const value = word.size === 4
      ? `${vector}(${name}[p0_${id} + ${row} / 4u])`
      : `${vector}(${[0, 1, 2, 3].map((j) => `${held}(${name}[p${j}_${id} + ${row}])`).join(", ")})`;
    return spec.k % 4 === 0
      ? `${register} = ${value};`
      : `if (${k} + ${i}u < k_end) { ${register} = ${value}; }`;
  });
  const zeros = registers.map((register) => `${register} = ${vector}();`).join(" ");
  const text = `    {
      let ${k} = ${k0} + ${step};
      ${zeros}
      if (${k} < k_end) {
        ${reads.join("\n        ")}
      }${sumsRows(spec, piece) ? `\n      sum_${id} += ${registers.join(" + ")};` : ""}
    }`;
  return condition === "" ? text : `    if (${condition}) {\n${text}\n    }`;
}

/** Whether a thread sums what it copies of a piece. */
const sumsRows = (spec: MatmulSpec, { operand }: Piece) => spec.sums === true && operand.name === "a";

/** Declares the sums of op(A) over k, four places of every piece. */
export function declareSums(spec: MatmulSpec, pieces: readonly Piece[]): string {
  return pieces.filter((piece) => sumsRows(spec, piece)).map(({ id }) => `\n  var sum_${id} = vec4f();`).join(
    "",
  );
}

/** Adds the sums of all quads of k and writes them, in the blocks that begin a row of blocks. A's block is free by then. */
export function storeSums(
  spec: MatmulSpec,
  pieces: readonly Piece[],
  { blockM, blockK }: { blockM: number; blockK: number },
): string {
  if (!spec.sums) return "";
  const vectors = blockM / 4;
  const puts = pieces.filter((piece) => sumsRows(spec, piece)).map(({ id, condition }) => {
    const put = `block_a[quad_${id} * ${vectors}u + place_${id}] = sum_${id};`;
    return `    ${condition === "" ? put : `if (${condition}) { ${put} }`}`;
  });
  return `
  if (first_column == 0u) { // the same for the whole workgroup
${puts.join("\n")}
    workgroupBarrier();
    if (thread < ${vectors}u) {
      var total = block_a[thread];
      for (var quad = 1u; quad < ${blockK / 4}u; quad++) { total += block_a[quad * ${vectors}u + thread]; }
      for (var i = 0u; i < 4u; i++) {
        let row = first_row + thread * 4u + i;
        if (row < rows_end) { sums[split * params.m + row] = total[i]; }
      }
    }
  }`;
}

/** Four values of neighbouring places at step `j` of a piece. */
export function pieceColumn({ operand, registers }: Piece, j: number): string {
  return operand.alongK
    ? `${vectorOf(operand.held)}(${registers.map((register) => `${register}[${j}]`).join(", ")})`
    : registers[j];
}

/** Writes a piece to workgroup memory; `from` is the first vector of the buffer. */
export function putPiece(piece: Piece, { blockK, from }: { blockK: number; from: string }): string {
  const { operand, id, condition } = piece, vectors = operand.block / 4;
  const shift = permutation(operand, blockK);
  const lines = [0, 1, 2, 3].map((j) =>
    `      block_${operand.name}[at_${id}${j === 0 ? "" : ` + ${j * vectors}u`}] = ${pieceColumn(piece, j)};`
  );
  const text = `      let at_${id} = ${from}quad_${id} * ${
    4 * vectors
  }u + (place_${id} ^ (quad_${id} * ${shift}u));
${lines.join("\n")}`;
  return condition === "" ? `    {\n${text}\n    }` : `    if (${condition}) {\n${text}\n    }`;
}

/** Function that finishes and stores four neighbouring values of one row of C. */
export function storeRow(spec: MatmulSpec, word: Word): string {
  const { residual, preactivation } = spec, reads = preactivation === "read";
  const linear = (i: number) => biased(spec, `v[${i}]`, `bias[column + ${i}u]`);
  const component = (i: number) =>
    epilogue(spec, linear(i), {
      residual: word.size === 4 ? `f32(old[${i}])` : "old",
      preactivation: word.size === 4 ? `f32(saved[${i}])` : "saved",
    });
  const scalar = spec.typeC === "f16" ? "f16" : "f32";
  const four = (value: (i: number) => string) => `${word.type}(vec4f(${[0, 1, 2, 3].map(value).join(", ")}))`;
  const body = word.size === 4
    ? `  if (column >= params.n) { return; }
  let at = (base_c + row * params.n + column) / 4u;
${residual ? "  let old = residual[at];\n" : ""}${reads ? "  let saved = preactivation[at];\n" : ""}${
      preactivation === "written" ? `  preactivation[at] = ${four(linear)};\n` : ""
    }  c[at] = ${four(component)};`
    : `  let at = base_c + row * params.n + column;
${
      [0, 1, 2, 3].map((i) =>
        `  if (column + ${i}u < params.n) {
${residual ? `    let old = f32(residual[at + ${i}u]);\n` : ""}${
          reads ? `    let saved = f32(preactivation[at + ${i}u]);\n` : ""
        }${
          preactivation === "written" ? `    preactivation[at + ${i}u] = ${scalar}(${linear(i)});\n` : ""
        }    c[at + ${i}u] = ${scalar}(${component(i)});
  }`
      ).join("\n")
    }`;
  return `fn store_row(row: u32, rows_end: u32, column: u32, base_c: u32, v: vec4f) {
  if (row >= rows_end) { return; }
${body}
}
`;
}
