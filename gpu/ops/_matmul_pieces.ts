/**
 * What the matmul generators for GPUs share: operands in pieces of 4 x 4 values, from storage through registers to workgroup
 * memory.
 *
 * Workgroup memory holds an operand as [k][place], place being m or n, in vectors of four places, so that a thread reads its tile
 * by vectors whatever the transposition. A piece is four places by four steps of k: four vectors in storage, along k or along the
 * places, and four along the places when they are written. Threads that write together differ in the step or in the place; the
 * vectors of four steps are permuted (exclusive or) such that either way they fall on different banks, without padding. Every
 * vector is written whole by one thread: WGSL lets an implementation write all of a vector for one of its components.
 *
 * Its type is nested, [quad of k][step][place]: implementations check every index of workgroup memory that is no constant, and
 * compute it anew, while a constant step costs nothing, because it goes into the instruction that reads.
 */

import { rowLengths, splitLength } from "./_matmul_common.ts";
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
  /** The type in storage and in registers, and the type in workgroup memory. */
  readonly stored: "f32" | "f16";
  readonly held: "f32" | "f16";
}

/** The word of four elements where all of `lengths` allow it, else of one. */
export function vectorWord(type: "f32" | "f16", lengths: readonly number[]): Word {
  if (!lengths.every((length) => length % 4 === 0)) return { type, size: 1 };
  return { type: vectorOf(type), size: 4 };
}

/**
 * What each matrix is read or written by at a time. Four halves are read as two words of 32 bits, which stay whole in registers; single
 * halves would be taken apart where threads' paths meet.
 */
export function wordsOf(spec: MatmulSpec): { a: Word; b: Word; c: Word } {
  const lengths = rowLengths(spec);
  const read = (type: "f32" | "f16", lengths: readonly number[]) => {
    const word = vectorWord(type, lengths);
    return word.type === "vec4<f16>" ? { ...word, type: "vec2u" as const } : word;
  };
  return {
    a: read(spec.typeA, [lengths.a, spec.strideA]),
    b: read(spec.typeB, [lengths.b, spec.strideB]),
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
      stored: spec.typeA,
      held: held.a,
    },
    b: {
      name: "b",
      alongK: spec.transposeB,
      block: block.blockN,
      start: "first_column",
      end: "params.n",
      word: words.b,
      stored: spec.typeB,
      held: held.b,
    },
  };
}

/** The WGSL type of four values in registers. */
export const vectorOf = (type: "f32" | "f16") => type === "f16" ? "vec4<f16>" as const : "vec4f" as const;

/** Vectors by which neighbouring quads of k are permuted, so that pieces written together fall on different banks. */
export function permutation(operand: Operand, blockK: number): number {
  // Threads that are served together: eight vectors of 16 bytes, or sixteen of 8.
  const together = Math.min(operand.block / 4, operand.held === "f16" ? 16 : 8);
  return Math.max(1, together / (blockK / 4));
}

/** Declares the blocks of an operand in workgroup memory, each of `blockK` steps. */
export function declareBlock(
  { name, block, held }: Operand,
  { blockK, buffers }: { blockK: number; buffers: number },
): string {
  const steps = `array<array<${vectorOf(held)}, ${block / 4}>, 4>`;
  return `var<workgroup> block_${name}: array<${steps}, ${
    buffers * blockK / 4
  }>; // [quad of k][step][place]`;
}

/** The type of a vector in registers: as it is read. */
export type RegisterType = "vec4f" | "vec4<f16>" | "vec2u";

/** The type that vectors of an operand have in registers. */
export function registerType({ word, stored }: Operand): RegisterType {
  return word.type === "vec2u" ? "vec2u" : vectorOf(stored);
}

/** One piece that a thread copies in every turn; some threads only, under `condition`. */
export interface Piece {
  readonly operand: Operand;
  /** Distinguishes the names of this piece. */
  readonly id: string;
  /** Pieces of one slot are copied by different threads. */
  readonly slot: number;
  /** Names of its four vectors, and their WGSL type. Pieces of one slot share them where they can. */
  readonly registers: readonly string[];
  readonly type: RegisterType;
  /** Which threads copy it, in WGSL; "": all. */
  readonly condition: string;
  /** First place within the block, and first step within the turn, in WGSL. */
  readonly place: string;
  readonly step: string;
  /** Statements that the two expressions need. */
  readonly setup: string;
}

/**
 * Shares the blocks of `operands` out among the threads: those of one operand after those of the one before, in a slot of their own where
 * registers of the one cannot hold the other.
 */
export function sharePieces(
  operands: readonly Operand[],
  { blockK, threads }: { blockK: number; threads: number },
): Piece[] {
  const pieces: Piece[] = [];
  const quads = blockK / 4, areMixed = new Set(operands.map(registerType)).size > 1;
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
      // Threads beyond the last piece of the slot read one that another writes: for less than what not reading would cost.
      const own = Math.min(count, end - first), isPart = first + threads > end;
      const unit = offset < 0
        ? `(thread - ${-offset}u)${isPart ? ` % ${own}u` : ""}`
        : `${isPart ? `thread % ${own}u` : "thread"}${offset > 0 ? ` + ${offset}u` : ""}`;
      pieces.push({
        operand,
        id,
        slot,
        registers: [0, 1, 2, 3].map((i) => `r${slot}_${i}`),
        type: registerType(operand),
        condition: conditions.join(" && "),
        setup: operand.alongK
          ? `  let quad_${id} = (${unit}) % ${quads}u;\n  let place_${id} = (${unit}) / ${quads}u;`
          : `  let quad_${id} = (${unit}) / ${operand.block / 4}u;\n` +
            `  let place_${id} = (${unit}) % ${operand.block / 4}u;`,
        place: `place_${id} * 4u`,
        step: `quad_${id} * 4u`,
      });
    }
    begin = areMixed ? Math.ceil(end / threads) * threads : end;
  }
  return pieces;
}

/** Declares the registers of all pieces. */
export function declareRegisters(pieces: readonly Piece[]): string {
  const lines = pieces.flatMap(({ registers, type }) =>
    registers.map((name) => `  var ${name} = ${type}();`)
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

/** Expression of the four halves, in two words of 32 bits, as f32. */
const unpacked = (words: string) => `vec4f(unpack2x16float(${words}.x), unpack2x16float(${words}.y))`;

/** Expression of the values of one word of storage as f32. */
export function wordValues({ word, name }: Pick<Operand, "name" | "word">, at: string): string {
  const read = `${name}[${at}]`;
  if (word.type === "vec2u") return unpacked(read);
  return word.size === 4 || word.type === "f32" ? read : `f32(${read})`;
}

/** Expression of four words of one value each, from row pointer `p` and step `k` on. Past `k_end` they are 0. */
function singlesAlongK(
  spec: MatmulSpec,
  { operand: { name, stored }, p, k }: { operand: Pick<Operand, "name" | "stored">; p: string; k: string },
): string {
  const value = (i: number) =>
    spec.k % 4 === 0
      ? `${name}[${p} + ${k} + ${i}u]`
      : `select(${stored}(0), ${name}[${p} + min(${k} + ${i}u, k_end - 1u)], ${k} + ${i}u < k_end)`;
  return `${vectorOf(stored)}(${[0, 1, 2, 3].map(value).join(", ")})`;
}

/** Expression of four values along k as f32, from row pointer `p` and step `k` (a multiple of 4) on. Past `k_end` they are 0. */
export function rowAlongK(
  spec: MatmulSpec,
  { operand, p, k }: { operand: Operand; p: string; k: string },
): string {
  return operand.word.size === 4
    ? wordValues(operand, `${p} + ${k} / 4u`)
    : `vec4f(${singlesAlongK(spec, { operand, p, k })})`;
}

/** Whether every part of k is made of whole blocks, so that no step needs a check. */
export function hasWholeBlocks(spec: MatmulSpec, blockK: number): boolean {
  return spec.k % blockK === 0 && splitLength(spec) % blockK === 0;
}

/** Pieces by slot. */
export function slotsOf(pieces: readonly Piece[]): Piece[][] {
  return [...Map.groupBy(pieces, ({ slot }) => slot).values()];
}

/**
 * Reads the pieces of a slot into their registers, from step `k0` of the turn on; all of it exists where blocks are `whole`.
 *
 * Registers are set on every path, and to values as they are stored. A register that kept what it held on some path would be copied
 * behind the read, and a value that is converted waits for the read too, so that nothing could be computed meanwhile.
 */
export function fetchSlot(
  spec: MatmulSpec,
  pieces: readonly Piece[],
  { k0, whole = false }: { k0: string; whole?: boolean },
): string {
  const zeros = pieces[0].registers.map((name) => `${name} = ${pieces[0].type}();`);
  const [first, second] = pieces.map((piece) => {
    const k = `k_${piece.id}`, reads = readPiece(spec, piece, k);
    return `{
      let ${k} = ${k0} + ${piece.step};
${whole ? reads : `      if (${k} < k_end) {\n${reads}\n      }`}
    }`;
  });
  return `${whole ? "" : `    ${zeros.join(" ")}\n`}    ${
    second ? `if (${pieces[0].condition}) ${first} else ${second}` : first
  }`;
}

/** Reads a piece from step `k` on. */
function readPiece(spec: MatmulSpec, { operand, id, registers, type }: Piece, k: string): string {
  const { name, alongK, end, word } = operand, wide = word.size === 4;
  const reads = registers.map((register, i) => {
    if (alongK) {
      const p = `p${i}_${id}`;
      return `${register} = ${wide ? `${name}[${p} + ${k} / 4u]` : singlesAlongK(spec, { operand, p, k })};`;
    }
    const row = `(${k} + ${i}u) * ${end}`;
    const value = wide
      ? `${name}[from_${id}${i === 0 ? "" : ` + ${i}u * (${end} / 4u)`}]`
      : `${type}(${[0, 1, 2, 3].map((j) => `${name}[p${j}_${id} + ${row}]`).join(", ")})`;
    return spec.k % 4 === 0
      ? `${register} = ${value};`
      : `if (${k} + ${i}u < k_end) { ${register} = ${value}; }`;
  });
  return [...(wide && !alongK ? [`let from_${id} = p0_${id} + ${k} * (${end} / 4u);`] : []), ...reads]
    .map((line) => `        ${line}`).join("\n");
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
    const put = `block_a[quad_${id}][0][place_${id}] = sum_${id};`;
    return `    ${condition === "" ? put : `if (${condition}) { ${put} }`}`;
  });
  return `
  if (first_column == 0u) { // the same for the whole workgroup
${puts.join("\n")}
    workgroupBarrier();
    if (thread < ${vectors}u) {
      var total = block_a[0][0][thread];
      for (var quad = 1u; quad < ${blockK / 4}u; quad++) { total += block_a[quad][0][thread]; }
      for (var i = 0u; i < 4u; i++) {
        let row = first_row + thread * 4u + i;
        if (row < rows_end) { sums[split * params.m + row] = total[i]; }
      }
    }
  }`;
}

/** The vectors of a piece: of f32, but for halves that were read one by one. */
const vectorsOf = ({ registers, type }: Piece) => type === "vec2u" ? registers.map(unpacked) : registers;

/** Four values of neighbouring places at step `j` of a piece, as they lie in workgroup memory. */
export function pieceColumn(piece: Piece, j: number): string {
  const { alongK, held } = piece.operand, vectors = vectorsOf(piece);
  const type = piece.type === "vec4<f16>" ? "f16" : "f32";
  const column = alongK ? `${vectorOf(type)}(${vectors.map((v) => `${v}[${j}]`).join(", ")})` : vectors[j];
  return type === held ? column : `${vectorOf(held)}(${column})`;
}

/**
 * Writes the pieces of a slot to workgroup memory, each by its threads; `from` is the first quad of the buffer, with a plus behind it,
 * or "". Adds to the sums of rows what is written.
 */
export function putSlot(
  spec: MatmulSpec,
  pieces: readonly Piece[],
  { blockK, from }: { blockK: number; from: string },
): string {
  return pieces.map((piece) => {
    const { operand, id, condition } = piece;
    const lines = [
      `let put_${id} = ${from}quad_${id};`,
      `let at_${id} = place_${id} ^ (quad_${id} * ${permutation(operand, blockK)}u);`,
      ...[0, 1, 2, 3].map((j) =>
        `block_${operand.name}[put_${id}][${j}][at_${id}] = ${pieceColumn(piece, j)};`
      ),
      ...(sumsRows(spec, piece) ? [`sum_${id} += ${vectorsOf(piece).join(" + ")};`] : []),
    ];
    return `    ${condition === "" ? "" : `if (${condition}) `}{
${lines.map((line) => `      ${line}`).join("\n")}
    }`;
  }).join("\n");
}
