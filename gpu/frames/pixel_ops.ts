/**
 * The colour and geometry operations of a clip's transform as kernels on unpacked 8-bit frames. Every result equals that of
 * `data/transforms/pixel_ops.ts` to the bit: levels go through tables made on the CPU, positions and interpolated values are decided in
 * integers where f32 could err.
 */
import affineSource from "./affine.wgsl" with { type: "text" };
import blendSource from "./pixel_blend.wgsl" with { type: "text" };
import hueSource from "./hue.wgsl" with { type: "text" };
import histogramSource from "./histogram.wgsl" with { type: "text" };
import levelTablesSource from "./level_tables.wgsl" with { type: "text" };
import tableSource from "./pixel_table.wgsl" with { type: "text" };
import type { AffineMatrix, PixelOp } from "../../pixels/clip_transform.ts";
import { HUE_WORDS, hueBits } from "../../pixels/hue.ts";
import { autoContrastBits, blendProducts, LEVELS, pointTable } from "../../pixels/pixel_tables.ts";
import {
  type Binding,
  createGroup,
  createKernel,
  type Kernel,
  type Launch,
  type Launcher,
  pictureGrid,
} from "./kernel.ts";

/** Launches of one operation at most: count, make tables, apply. */
export const OP_LAUNCHES = 3;
/** Words of one operation's table at most: the products of a blend, rounded up. */
const OP_WORDS = 512;
const CHANNELS = 3;
/** Workgroups of the kernels that take runs of pixels, and pixels of an invocation (of the histogram: about). */
const HISTOGRAM_WG = 256, AFFINE_WG = 64, PIXELS_PER_INVOCATION = 32;

/** Sizes of the two buffers in bytes. */
export function pixelOpBytes(options: { clips: number; frames: number; pixelOps: number }) {
  const { clips, frames, pixelOps } = options;
  if (pixelOps === 0) return { tables: 0, counts: 0 };
  const { starts, bits } = autoContrastBits();
  const perFrame = frames * CHANNELS * LEVELS;
  return {
    tables: 4 * (starts.length + bits.length + HUE_WORDS + perFrame + clips * pixelOps * OP_WORDS),
    counts: 4 * perFrame,
  };
}

/** Numbers of `level_tables.wgsl`. */
const STATISTICS_KINDS = { autoContrast: 0, equalize: 1, contrast: 2 } as const;

const UNIT = 2 ** 32;

/** A number in units of 2^-32 as a 64-bit integer, low word first. */
function fixedWords(value: number): [number, number] {
  const units = Math.round(value * UNIT);
  const high = Math.floor(units / UNIT);
  return [units - high * UNIT, high >>> 0];
}

/** Bits of an f64, low word first. */
function doubleWords(value: number): [number, number] {
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, value, true);
  return [view.getUint32(0, true), view.getUint32(4, true)];
}

/** The words that `affine.wgsl` reads of a matrix. */
export function affineWords([a, b, c, d, e, f]: AffineMatrix): Uint32Array {
  const half = (p: number, q: number, r: number) => p / 2 + q / 2 + r - 0.5;
  const fixed = [a, b, half(a, b, c), d, e, half(d, e, f)].flatMap(fixedWords);
  return Uint32Array.from([...fixed, ...[a, b, c, d, e, f].flatMap(doubleWords)]);
}

/** Bound of the error of a position in units of 2^-32: every entry is half a unit off at most. */
export function positionError(row: readonly number[], frame: { width: number; height: number }): number {
  const [a, b, c] = row;
  // Whole steps and a short fraction are exact, in fixed point as in f64.
  if (Number.isInteger(a) && Number.isInteger(b) && Number.isInteger(c * 2 ** 20)) return 0;
  return Math.ceil((frame.width + frame.height) / 2) + 2;
}

/** Runs operations back and forth between the two scratch buffers. */
export class PixelOpKernels {
  readonly #tables: GPUBuffer;
  readonly #frames: number;
  /** First words of the parts of the table buffer. */
  readonly #at: { starts: number; bits: number; hue: number; perFrame: number; operations: number };
  /** Tables of this batch's operations. */
  readonly #words: Uint32Array<ArrayBuffer>;
  #usedWords = 0;
  readonly #kernels: Record<"table" | "blend" | "hue" | "affine" | "histogram" | "levelTables", Kernel>;
  /** By the scratch buffer that is read. */
  readonly #pictureGroups: Record<"table" | "blend" | "hue" | "affine", GPUBindGroup[]>;
  readonly #histogramGroups: GPUBindGroup[];
  readonly #levelTablesGroup: GPUBindGroup;

  constructor(
    device: GPUDevice,
    options: {
      params: GPUBufferBinding;
      scratch: readonly GPUBuffer[];
      tables: GPUBuffer;
      counts: GPUBuffer;
      frames: number;
    },
  ) {
    const { params, scratch, tables, counts, frames } = options;
    this.#tables = tables;
    this.#frames = frames;
    const { starts, bits } = autoContrastBits();
    const hue = starts.length + bits.length, perFrame = hue + HUE_WORDS;
    const operations = perFrame + frames * CHANNELS * LEVELS;
    this.#at = { starts: 0, bits: starts.length, hue, perFrame, operations };
    this.#words = new Uint32Array(tables.size / 4 - operations);
    device.queue.writeBuffer(tables, 0, Uint32Array.of(...starts, ...bits, ...hueBits()));

    const picture: Binding[][] = [["uniform", "storage", "storage", "storage"]];
    const statistics: Binding[][] = [["uniform", "storage", "storage"]];
    const create = (name: string, source: string, bindings: Binding[][]) =>
      createKernel(device, `frames.${name}`, { source, bindings });
    this.#kernels = {
      table: create("table", tableSource, picture),
      blend: create("blend", blendSource, picture),
      hue: create("hue", hueSource, picture),
      affine: create("affine", affineSource, picture),
      histogram: create("histogram", histogramSource, statistics),
      levelTables: create("levelTables", levelTablesSource, statistics),
    };
    const group = (kernel: Kernel, buffers: GPUBuffer[]) =>
      createGroup(device, kernel, { group: 0, buffers: [params, ...buffers.map((buffer) => ({ buffer }))] });
    const pictureGroups = (kernel: Kernel) =>
      [0, 1].map((from) => group(kernel, [tables, scratch[from], scratch[1 - from]]));
    const { table, blend, hue: hueKernel, affine, histogram, levelTables } = this.#kernels;
    this.#pictureGroups = {
      table: pictureGroups(table),
      blend: pictureGroups(blend),
      hue: pictureGroups(hueKernel),
      affine: pictureGroups(affine),
    };
    this.#histogramGroups = scratch.map((buffer) => group(histogram, [counts, buffer]));
    this.#levelTablesGroup = group(levelTables, [counts, tables]);
  }

  /** Forgets the tables of the previous batch. */
  clear(): void {
    this.#usedWords = 0;
  }

  /** Records the operations on a clip in scratch buffer 0; returns the buffer that holds the result. */
  encode(
    ops: readonly PixelOp[],
    frame: { width: number; height: number },
    launch: Launcher,
  ): 0 | 1 {
    let from: 0 | 1 = 0;
    for (const op of ops) {
      this.#encodeOne(op, frame, { from, launch });
      from = from === 0 ? 1 : 0;
    }
    return from;
  }

  /** Queues the upload of the batch's tables. */
  upload(queue: GPUQueue): void {
    if (this.#usedWords === 0) return;
    queue.writeBuffer(this.#tables, this.#at.operations * 4, this.#words, 0, this.#usedWords);
  }

  #encodeOne(
    op: PixelOp,
    frame: { width: number; height: number },
    { from, launch }: { from: 0 | 1; launch: Launcher },
  ): void {
    const { width, height } = frame;
    const grid: Launch["grid"] = op.kind === "affine"
      ? [Math.ceil(width * height / (AFFINE_WG * PIXELS_PER_INVOCATION)), 1, this.#frames]
      : pictureGrid(width, height, this.#frames);
    const launchOn = (name: "table" | "blend" | "hue" | "affine", params: Record<string, number>) =>
      launch(this.#kernels[name], { width, height, ...params }, {
        group: this.#pictureGroups[name][from],
        grid,
      });
    switch (op.kind) {
      case "autoContrast":
      case "equalize":
      case "contrast":
        this.#encodeStatistics(op, width * height, { from, launch });
        return launchOn("table", {
          table: this.#at.perFrame,
          table_channel: LEVELS,
          table_frame: CHANNELS * LEVELS,
        });
      case "color":
      case "sharpness":
        return launchOn("blend", {
          products: this.#addProducts(op.factor),
          soften: op.kind === "color" ? 0 : 1,
        });
      case "hue":
        return launchOn("hue", { bits: this.#at.hue, shift: op.shift });
      case "affine":
        return launchOn("affine", {
          table: this.#add(affineWords(op.matrix)),
          error_x: positionError(op.matrix.slice(0, 3), frame),
          error_y: positionError(op.matrix.slice(3), frame),
        });
      default:
        return launchOn("table", { table: this.#add(pointTable(op)!), table_channel: 0, table_frame: 0 });
    }
  }

  /** Makes the tables of an operation that depends on each frame's levels. */
  #encodeStatistics(
    op: PixelOp & { kind: keyof typeof STATISTICS_KINDS },
    pixels: number,
    { from, launch }: { from: 0 | 1; launch: Launcher },
  ): void {
    const { histogram, levelTables } = this.#kernels;
    const groups = Math.ceil(pixels / (HISTOGRAM_WG * PIXELS_PER_INVOCATION));
    launch(histogram, { pixels, grey: op.kind === "contrast" ? 1 : 0 }, {
      group: this.#histogramGroups[from],
      grid: [groups, 1, this.#frames],
    });
    launch(levelTables, {
      pixels,
      kind: STATISTICS_KINDS[op.kind],
      tables: this.#at.perFrame,
      starts: this.#at.starts,
      bits: this.#at.bits,
      products: op.kind === "contrast" ? this.#addProducts(op.factor) : 0,
    }, { group: this.#levelTablesGroup, grid: [this.#frames, 1, 1] });
  }

  #addProducts(factor: number): number {
    return this.#add(new Uint32Array(blendProducts(factor).buffer as ArrayBuffer));
  }

  /** Puts a table into the batch's words; returns its place in the buffer. */
  #add(words: ArrayLike<number>): number {
    const start = this.#usedWords;
    this.#words.set(words, start);
    this.#usedWords += words.length;
    return this.#at.operations + start;
  }
}
