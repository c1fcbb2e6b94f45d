/**
 * An estimate of what attention's kernels cost, in multiply-adds of one lane; only good for comparing them. Not measured on any GPU.
 *
 * A vector out of workgroup memory is counted as 6 multiply-adds: 16 bytes a lane at 128 bytes a cycle for 128 lanes would be 16, but
 * most lanes of a subgroup read what others read too. Halves take half of that and a conversion. One out of the device's cache (to be
 * staged) is 32: 64 bytes a cycle for the same 128 lanes.
 */

import type { KernelAdapter } from "../op.ts";
import { type Feed, quadsOf } from "./_attention_text.ts";
import { isStagedAsHalves, type Tile, tileSizes, type TileSpec } from "./_attention_tile.ts";
import { type AttentionPass, type AttentionUse, ownRowsOf, streamedRowsOf } from "./_attention_use.ts";

const VECTOR = 6, HALF_VECTOR = 7, REREAD_VECTOR = 9, STAGED_VECTOR = 32, BARRIER = 40, EXP = 8;
/** Guesses about a device: its cores, the least of its subgroups, registers and threads of a core. */
const CORES = 64, LANES = 32, REGISTERS = 65536, BUSY_THREADS = 256;

/** Own and streamed tensors, products of scores, sums, and regions of streamed rows and of weights. */
const PASSES: Readonly<
  Record<
    AttentionPass,
    { own: string[]; streamed: string[]; regions: number; products: number; sums: number }
  >
> = {
  forward: { own: ["q"], streamed: ["kv", "kv"], regions: 1, products: 1, sums: 1 },
  backwardQuery: { own: ["q", "dout"], streamed: ["kv", "kv"], regions: 2, products: 2, sums: 1 },
  backwardKey: { own: ["kv", "kv"], streamed: ["q", "dout"], regions: 2, products: 2, sums: 2 },
};

/** Bytes of workgroup memory. */
export function tileBytes(pass: AttentionPass, spec: TileSpec): number {
  const { quads, ownRows, streamedRows, stride, weightStride } = tileSizes(spec), { tile } = spec;
  const { own, streamed, regions, sums } = PASSES[pass];
  const bytesOf = (tensor: string) => isStagedAsHalves(spec, tensor) ? 8 : 16;
  let bytes = sums * ownRows * weightStride * 16;
  for (const tensor of streamed.slice(0, regions)) bytes += streamedRows * stride * bytesOf(tensor);
  if (tile.own === "staged") { for (const tensor of own) bytes += ownRows * quads * bytesOf(tensor); }
  if (pass === "forward" && tile.compare === "workgroup") bytes += ownRows * tile.threads[1] * 4;
  return bytes * tile.heads;
}

/** Cost of all workgroups, of what one thread does and takes. */
function total(
  { workgroups, threads, work, registers, bytes, adapter }: {
    workgroups: number;
    threads: number;
    work: number;
    registers: number;
    bytes: number;
    adapter: KernelAdapter;
  },
): number {
  const lanes = Math.ceil(threads / LANES) * LANES;
  const coreBytes = 2 * Math.max(32768, adapter.workgroupBytes);
  const resident = Math.min(
    REGISTERS / Math.min(registers, 255),
    Math.min(24, Math.floor(coreBytes / bytes)) * lanes,
  );
  const idle = Math.max(1, BUSY_THREADS / resident) ** 0.7;
  const spills = registers <= 128
    ? 1
    : registers <= 255
    ? 1 + (registers - 128) / 254
    : 1.5 + (registers - 255) / 50;
  return Math.max(workgroups, CORES) * lanes * work * idle * spills;
}

/** Cost of a kernel by tiles. */
export function tileCost(
  pass: AttentionPass,
  use: AttentionUse,
  { tile, adapter }: { tile: Tile; adapter: KernelAdapter },
): number {
  const spec = { headSize: use.headSize, types: use.types, tile };
  const { quads, team, ownRows, streamedRows, share } = tileSizes(spec), { rows, columns, threads } = tile;
  const { own, streamed, products, sums } = PASSES[pass];
  const isHalf = (tensor: string) => use.types[tensor] === "f16";
  const read = (tensor: string) => isStagedAsHalves(spec, tensor) ? HALF_VECTOR : VECTOR;
  const ownRead = (tensor: string) =>
    tile.own === "staged" ? read(tensor) : REREAD_VECTOR + (isHalf(tensor) ? 4 : 0);
  const stage = (tensor: string) => isHalf(tensor) ? STAGED_VECTOR / 2 : STAGED_VECTOR;
  let block = 3 * BARRIER + rows * columns * EXP * products;
  for (let i = 0; i < products; i++) {
    block += quads * (rows * ownRead(own[i]) + columns * read(streamed[i]) + rows * columns * 4);
  }
  block += sums * streamedRows / 4 * (rows * VECTOR + 4 * share * (read(streamed[0]) + rows * 4));
  for (const tensor of streamed) block += streamedRows * quads / team * stage(tensor);
  if (pass === "forward") block += tile.compare === "subgroup" ? 8 * rows : 2 * rows * threads[1];
  const blocks = Math.ceil(streamedRowsOf(pass, use) / streamedRows);
  const once = tile.own === "staged"
    ? own.reduce((sum, tensor) => sum + ownRows * quads / team * stage(tensor), 0)
    : 0;
  return total({
    workgroups: Math.ceil(ownRowsOf(pass, use) / ownRows) *
      Math.ceil(use.batch * use.heads / tile.heads),
    threads: team * tile.heads,
    work: blocks * block + once,
    registers: sums * rows * share * 4 + products * rows * columns + 4 * rows + 40,
    bytes: tileBytes(pass, spec),
    adapter,
  });
}

/** Cost of a kernel that gives an invocation whole rows and shares streamed ones. */
export function rowsCost(
  pass: AttentionPass,
  use: AttentionUse,
  { feed, rows, adapter }: { feed: Feed; rows: number; adapter: KernelAdapter },
): number {
  const quads = quadsOf(use.headSize), { own, streamed, products, sums } = PASSES[pass];
  const each = streamed.length * quads * (VECTOR + STAGED_VECTOR / feed.lanes) +
    rows * ((products * 5 + sums * 4) * quads + EXP) + 2 * BARRIER / 32;
  return total({
    workgroups: Math.ceil(ownRowsOf(pass, use) / (feed.lanes * rows)) * use.heads * use.batch,
    threads: feed.lanes,
    work: streamedRowsOf(pass, use) * each + own.length * quads * 4 * STAGED_VECTOR * rows,
    registers: rows * (own.length + sums) * quads * 4 + feed.step * (4 + products * rows) + 20,
    bytes: 16384,
    adapter,
  });
}
