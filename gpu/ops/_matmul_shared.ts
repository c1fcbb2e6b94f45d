/**
 * Matmul through workgroup memory: a workgroup makes a block of C, each thread a register tile of it. For GPUs.
 *
 * What a tile costs a thread for each step of k, in vectors of 16 bytes read from workgroup memory:
 *
 *     tile   multiply-adds   vectors   bytes per multiply-add   registers for sums
 *     4 x 4        16           2              2                      16
 *     8 x 4        32           3              1.5                    32
 *     8 x 8        64           4              1                      64
 *
 * A core that does 128 multiply-adds and reads 128 bytes a cycle is fed by any of them, as threads side by side read the same
 * vectors of A; fewer reads leave more of the issue slots to multiply-adds (89 %, 91 %, 94 % of them). 8 x 8 takes about 64
 * registers for sums, 16 for what is multiplied, 16 for the next block's piece and 24 for addresses: at most 128, so that two
 * workgroups of 256 threads share 65,536 registers.
 *
 * With one buffer a turn waits for its block, and other workgroups compute meanwhile. With two, the next block is read into
 * registers before the turn computes and is put into the other buffer after it: one barrier a turn. Operands stored as f16 may
 * lie in workgroup memory as such: half the bytes, for a conversion on every read. A chunk of 4 or 8 steps may be multiplied and
 * summed in f16 (`MatmulSpec.halfProducts`), where the card does that at twice the rate.
 *
 * Untimed on hardware so far: every choice is left to the measurement.
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
  declareSums,
  fetchSlot,
  hasWholeBlocks,
  type Operand,
  operandsOf,
  permutation,
  type Piece,
  putSlot,
  sharePieces,
  slotsOf,
  storeSums,
  wordsOf,
} from "./_matmul_pieces.ts";
import { readBias, storeRow } from "./_matmul_store.ts";

/** Block of one workgroup, tile of one thread, and how it is fed. Everything is a multiple of four, blocks are powers of two. */
export interface SharedTile {
  readonly blockM: number;
  readonly blockN: number;
  readonly blockK: number;
  readonly rows: number;
  readonly columns: number;
  readonly buffers: 1 | 2;
  /** Whether operands stored as f16 lie in workgroup memory as f16. */
  readonly half: boolean;
  /** Steps of k that are multiplied and summed in f16 before they are added to the f32 sum; 0: none. */
  readonly chunk: 0 | 4 | 8;
}

/** Slots of pieces that a thread reads before it writes the first of them: what is under way hides how long each takes. */
const AT_ONCE = 2;

type Held = Record<"a" | "b", Operand["held"]>;

function heldTypes(spec: MatmulSpec, { half, chunk }: SharedTile): Held {
  if (chunk > 0) return { a: "f16", b: "f16" };
  return half ? { a: spec.typeA, b: spec.typeB } : { a: "f32", b: "f32" };
}

const bytesOf = (type: "f32" | "f16") => type === "f16" ? 2 : 4;

const threadsOf = (tile: SharedTile) => tile.blockM / tile.rows * tile.blockN / tile.columns;

/** Bytes of workgroup memory. */
function workgroupBytes(tile: SharedTile, held: Held): number {
  const { blockM, blockN, blockK, buffers } = tile;
  return buffers * blockK * (blockM * bytesOf(held.a) + blockN * bytesOf(held.b));
}

/** One block shape as a variant of the family. */
export function sharedVariant(tile: SharedTile): MatmulVariant {
  const { blockM, blockN, blockK, rows, columns, buffers, half, chunk } = tile;
  const block = `${blockM}x${blockN}x${blockK}`, threads = `${rows}x${columns}`;
  const staging = chunk > 0 ? `chunk${chunk}` : half ? "half" : "full";
  const name = `shared-${block}-${threads}${buffers === 2 ? "-double" : ""}${
    staging === "full" ? "" : `-${staging}`
  }`;
  return {
    name,
    needs: chunk > 0 ? ["shader-f16"] : [],
    traits: [staging, `${blockM}x${blockN}`, threads, `depth ${blockK}`, `buffers ${buffers}`],
    build: (spec) => build(spec, tile, name),
    suits: (spec, adapter) => {
      const anyHalf = spec.typeA === "f16" || spec.typeB === "f16";
      return !adapter.isSoftware && (anyHalf || !half) && (chunk === 0 || !spec.sums) &&
        (chunk === 0 || anyHalf && spec.halfProducts === true) &&
        threadsOf(tile) <= adapter.workgroupInvocations &&
        workgroupBytes(tile, heldTypes(spec, tile)) <= adapter.workgroupBytes;
    },
    cost: (spec, adapter) => estimate(effortOf(spec, tile), adapter),
  };
}

/** What the kernel does, for the estimate. */
function effortOf(spec: MatmulSpec, tile: SharedTile) {
  const { blockM, blockN, blockK, rows, columns, buffers, chunk } = tile;
  const held = heldTypes(spec, tile), threads = threadsOf(tile), threadsN = blockN / columns;
  const turns = Math.ceil(splitLength(spec) / blockK), k = turns * blockK;
  // Of 32 threads side by side, `across` read different vectors of B and 32 / across of A.
  const across = Math.min(threadsN, 32);
  const cycles = (distinct: number, type: "f32" | "f16") => Math.max(1, distinct * 4 * bytesOf(type) / 128);
  // Cards convert two values at a time, or for nothing.
  const conversions = chunk > 0 ? 0 : ((held.a === "f16" ? rows : 0) + (held.b === "f16" ? columns : 0)) / 2;
  const products = chunk > 0 ? rows * columns * (1 / 2 + 1 / chunk) : rows * columns;
  const pieces = blockK * (blockM + blockN) / 16 / threads;
  return {
    workgroups: Math.ceil(spec.m / blockM) * Math.ceil(spec.n / blockN) * spec.batch * spec.splitK,
    threads,
    registers: rows * columns * (chunk > 0 ? 1.5 : 1) + rows + columns + 16 * Math.ceil(pieces) + 24,
    bytes: workgroupBytes(tile, held),
    // Reads of the tile's vectors, a share of the loop, and what copies a piece: reads, a transposition, writes.
    instructions: k * (products + (rows + columns) / 4 + conversions + 1) + turns * pieces * 40,
    independent: rows * columns,
    memoryCycles: k * threads / 32 *
      (rows / 4 * cycles(32 / across, held.a) + columns / 4 * cycles(across, held.b)),
    traffic: k * (blockM * bytesOf(spec.typeA) + blockN * bytesOf(spec.typeB)) +
      blockM * blockN * bytesOf(spec.typeC) * (spec.residual ? 2 : 1),
    turns,
    hidden: buffers === 2,
  };
}

function build(spec: MatmulSpec, tile: SharedTile, name: string): MatmulKernel {
  const { blockM, blockN, blockK, rows, columns, buffers } = tile;
  const words = wordsOf(spec), held = heldTypes(spec, tile), threads = threadsOf(tile);
  const { a, b } = operandsOf(spec, tile, held);
  const { text, bindings } = declareBindings(
    spec,
    { a: words.a.type, b: words.b.type, c: words.c.type },
    { usesF16: Object.values(held).includes("f16") },
  );
  const size = { tileM: blockM, tileN: blockN, grouped: true };
  const threadsN = blockN / columns, threadsM = blockM / rows;
  const memory = [a, b].map((operand) => declareBlock(operand, { blockK, buffers })).join("\n");
  const tiles = grid(rows, columns / 4), quads = Array.from({ length: columns / 4 }, (_, quad) => quad);
  const columnOf = (quad: number) => `first_column + (thread_n + ${quad * threadsN}u) * 4u`;
  const code = `// Matmul, workgroup memory: ${name}, ${specLabel(spec)}.
${text}${activationText(spec)}
${memory}

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
${tiles.map(([row, quad]) => `  var c${row}_${quad} = vec4f();`).join("\n")}
${mainLoop(spec, tile, { operands: [a, b], threads, compute: multiply(tile, { a, b }) })}
${readBias(spec, "bias_", quads.map(columnOf))}
${
    tiles.map(([row, quad]) =>
      `  store_row(first_row + thread_m * 4u + ${(row - row % 4) * threadsM + row % 4}u, rows_end, ${
        columnOf(quad)
      }, base_c, c${row}_${quad}${spec.bias ? ` + bias_${quad}` : ""});`
    ).join("\n")
  }${storeSums(spec, sharePieces([a, b], { blockK: tile.blockK, threads }), tile)}
}
`;
  const label = `matmul/${name}/${specLabel(spec)}`;
  return { label, code, entryPoint: "main", bindings, ...launch(spec, size) };
}

/** Every row with every quad of columns of a thread's tile. */
function grid(rows: number, quads: number): [number, number][] {
  return Array.from({ length: rows * quads }, (_, i) => [Math.floor(i / quads), i % quads]);
}

function groupsOf<T>(items: readonly T[], size: number): T[][] {
  return Array.from(
    { length: Math.ceil(items.length / size) },
    (_, i) => items.slice(i * size, (i + 1) * size),
  );
}

/** Turns over k: blocks are copied and multiplied. `first_quad` is the first one of the buffers to multiply. */
function mainLoop(
  spec: MatmulSpec,
  { blockK, buffers }: Pick<SharedTile, "blockK" | "buffers">,
  { operands, threads, compute }: { operands: readonly Operand[]; threads: number; compute: string },
): string {
  const pieces = sharePieces(operands, { blockK, threads });
  const setup = [...pieces.map(addressPiece), declareRegisters(pieces)].join("\n") +
    declareSums(spec, pieces);
  const slots = slotsOf(pieces), whole = hasWholeBlocks(spec, blockK);
  const put = (slot: readonly Piece[], from: string) => putSlot(spec, slot, { blockK, from });
  if (buffers === 1) {
    const copies = groupsOf(slots, AT_ONCE).flatMap((group) => [
      ...group.map((slot) => fetchSlot(spec, slot, { k0: "k0", whole })),
      ...group.map((slot) => put(slot, "")),
    ]);
    return `${setup}
  for (var k0 = k_begin; k0 < k_end; k0 += ${blockK}u) {
${copies.join("\n")}
    workgroupBarrier();
    let first_quad = 0u;
${compute}
    workgroupBarrier(); // the next turn overwrites the blocks
  }`;
  }
  // Behind the last block that one is read again, and not used; sums of what is written would have it twice.
  const repeats = whole && spec.sums !== true;
  const fetches = (k0: string) =>
    slots.map((slot) => fetchSlot(spec, slot, { k0, whole: repeats })).join("\n");
  const next = `k0 + ${blockK}u`;
  return `${setup}
${fetches("k_begin")}
${slots.map((slot) => put(slot, "")).join("\n")}
  workgroupBarrier();
  var buffer = 0u;
  for (var k0 = k_begin; k0 < k_end; k0 += ${blockK}u) {
${fetches(repeats ? `min(${next}, k_end - ${blockK}u)` : next)}
    let first_quad = buffer * ${blockK / 4}u;
${compute}
    buffer = 1u - buffer;
${slots.map((slot) => put(slot, `buffer * ${blockK / 4}u + `)).join("\n")}
    workgroupBarrier();
  }`;
}

/** Multiplies the blocks: four steps of k a turn, as many as a chunk has. */
function multiply(tile: SharedTile, operands: { a: Operand; b: Operand }): string {
  const { blockM, blockN, blockK, rows, columns, chunk } = tile;
  const sides = [
    { operand: operands.a, quads: rows / 4, threads: blockM / rows, thread: "thread_m" },
    { operand: operands.b, quads: columns / 4, threads: blockN / columns, thread: "thread_n" },
  ];
  const tiles = grid(rows, columns / 4);
  const group = Math.max(1, chunk / 4);
  const lines: string[] = [];
  if (chunk > 0) lines.push(...tiles.map(([row, quad]) => `      var h${row}_${quad} = vec4<f16>();`));
  for (let part = 0; part < group; part++) {
    const quad = part === 0 ? "quad" : `quad + ${part}u`;
    for (const { operand, quads, threads, thread } of sides) {
      const shift = permutation(operand, blockK);
      for (let i = 0; i < quads; i++) {
        lines.push(
          `      let ${operand.name}${i}_at${part} = ` +
            `(${thread}${i === 0 ? "" : ` + ${i * threads}u`}) ^ ((${quad}) * ${shift}u);`,
        );
      }
    }
    for (let j = 0; j < 4; j++) {
      lines.push("      {");
      for (const { operand, quads } of sides) {
        const convert = operand.held === "f16" && chunk === 0;
        for (let i = 0; i < quads; i++) {
          const read = `block_${operand.name}[first_quad + ${quad}][${j}][${operand.name}${i}_at${part}]`;
          lines.push(`        let ${operand.name}${i} = ${convert ? `vec4f(${read})` : read};`);
        }
      }
      for (const [row, quad] of tiles) {
        const value = `a${Math.floor(row / 4)}[${row % 4}]`;
        const [sum, vector] = chunk > 0 ? ["h", "vec4<f16>"] : ["c", "vec4f"];
        lines.push(
          `        ${sum}${row}_${quad} = fma(${vector}(${value}), b${quad}, ${sum}${row}_${quad});`,
        );
      }
      lines.push("      }");
    }
  }
  if (chunk > 0) {
    lines.push(...tiles.map(([row, quad]) => `      c${row}_${quad} += vec4f(h${row}_${quad});`));
  }
  return `    for (var quad = 0u; quad < ${blockK / 4}u; quad += ${group}u) {
${lines.join("\n")}
    }`;
}
