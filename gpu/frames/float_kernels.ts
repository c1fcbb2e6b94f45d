/**
 * DiST's transforms of floats as kernels on unpacked 8-bit frames: one launch reads each output pixel where it lies between those of the frame,
 * changes its colour and normalises it, so nothing is stored in between; a change of contrast takes another before it for the means of the
 * frames. The result is that of `transformClip` in `data/transforms/apply.ts` within `FLOAT_TOLERANCE`.
 */
import floatSource from "./float.wgsl" with { type: "text" };
import {
  bilinearTaps,
  type FloatColour,
  type FloatTransform,
  MOST_FLOAT_COLOURS,
} from "../../pixels/float_transform.ts";
import type { PixelStatistics } from "../../pixels/normalise.ts";
import {
  type Binding,
  createGroup,
  createKernel,
  type Kernel,
  type Launcher,
  pictureGrid,
} from "./kernel.ts";
import type { TablePacker } from "./passes.ts";

/** Launches of a clip at most: the means before each change, and the result. */
export const FLOAT_LAUNCHES = 1 + MOST_FLOAT_COLOURS;

/** Words of a table's row. */
const TAP_WORDS = 3;
/** As in `float.wgsl`. */
const KINDS = { brightness: 0, contrast: 1, saturation: 2, hue: 3 } as const;

/** Bytes of the means of the frames. */
export function meanBytes(frames: number): number {
  return 4 * MOST_FLOAT_COLOURS * frames;
}

/** Where samples of a resized axis from `start` on are read in the source. */
function tapTable(inSize: number, outSize: number, { start, count }: { start: number; count: number }) {
  const rows = new Int32Array(TAP_WORDS * count), bits = new Float32Array(rows.buffer);
  bilinearTaps(inSize, outSize, { start, count }).forEach(({ first, second, weight }, i) => {
    rows[TAP_WORDS * i] = first;
    rows[TAP_WORDS * i + 1] = second;
    bits[TAP_WORDS * i + 2] = weight;
  });
  return { inSize, outSize, filter: `between, from ${start}`, stride: TAP_WORDS, rows };
}

function amountOf(colour: FloatColour | undefined): number {
  if (colour === undefined) return 0;
  return colour.kind === "hue" ? colour.turn : colour.factor;
}

/** Why a transform cannot be carried out; null where it can. */
export function floatRefusal(
  { crop, resizeTo, outputAt, colours }: FloatTransform,
  frame: { width: number; height: number },
  size: number,
): string | null {
  const inside = (at: { x: number; y: number }, of: { width: number; height: number }, side: typeof of) =>
    at.x >= 0 && at.y >= 0 && at.x + side.width <= of.width && at.y + side.height <= of.height;
  const text = ({ width, height }: { width: number; height: number }) => `${width}x${height}`;
  if (crop.width < 1 || crop.height < 1 || !inside(crop, frame, crop)) {
    return `the crop must lie inside ${text(frame)}, current value is ${
      text(crop)
    } at (${crop.x}, ${crop.y})`;
  }
  const output = { width: size, height: size };
  if (!inside(outputAt, resizeTo, output)) {
    return `the output square must lie inside ${text(resizeTo)}, current value is ${text(output)} at ` +
      `(${outputAt.x}, ${outputAt.y})`;
  }
  return colours.length <= MOST_FLOAT_COLOURS
    ? null
    : `its colours must change at most ${MOST_FLOAT_COLOURS} times, current number is ${colours.length}`;
}

/** Writes the finished values of clips that lie in a scratch buffer. The pipelines are made when the first clip comes. */
export class FloatKernels {
  readonly #device: GPUDevice;
  readonly #buffers: { params: GPUBufferBinding; tables: GPUBuffer; values: GPUBuffer; means: GPUBuffer };
  readonly #scratch: readonly GPUBuffer[];
  readonly #shape: { size: number; frames: number };
  readonly #statistics: PixelStatistics;
  #made: { main: Kernel; mean: Kernel; groups: Record<"main" | "mean", GPUBindGroup[]> } | null = null;

  constructor(
    device: GPUDevice,
    options: {
      params: GPUBufferBinding;
      scratch: readonly GPUBuffer[];
      tables: GPUBuffer;
      values: GPUBuffer;
      means: GPUBuffer;
      size: number;
      frames: number;
      statistics: PixelStatistics;
    },
  ) {
    const { params, scratch, tables, values, means, size, frames, statistics } = options;
    this.#device = device;
    this.#buffers = { params, tables, values, means };
    this.#scratch = scratch;
    this.#shape = { size, frames };
    this.#statistics = statistics;
  }

  /** Records the launches of a clip. */
  encode(
    transform: FloatTransform,
    clip: {
      width: number;
      height: number;
      /** Scratch buffer that holds its frames. */
      buffer: 0 | 1;
      packer: TablePacker;
      planesOrigin: number;
      output: GPUBindGroup;
    },
    launch: Launcher,
  ): void {
    const { main, mean, groups } = this.#kernels(), { size, frames } = this.#shape;
    const { width, height, buffer, packer, planesOrigin, output } = clip;
    const { mirrorFrames, crop, resizeTo, outputAt, grey, colours, mirrorResult, erase } = transform;
    const [red, green, blue] = [0, 1, 2] as const, { mean: means, std } = this.#statistics;
    const box = erase?.box ?? { x: 0, y: 0, width: 0, height: 0 };
    const params = {
      size,
      frames,
      source_origin: crop.y * width + (mirrorFrames ? width - 1 - crop.x : crop.x),
      source_step: mirrorFrames ? -1 : 1,
      source_row: width,
      source_frame: width * height,
      columns: packer.add(
        tapTable(crop.width, resizeTo.width, { start: outputAt.x, count: size }),
        0,
        size,
      ),
      rows: packer.add(
        tapTable(crop.height, resizeTo.height, { start: outputAt.y, count: size }),
        0,
        size,
      ),
      mirror: mirrorResult ? 1 : 0,
      grey: grey ? 1 : 0,
      ...Object.fromEntries(
        Array.from({ length: MOST_FLOAT_COLOURS }, (_, i) => [
          [`kind_${i}`, colours[i] === undefined ? 0 : KINDS[colours[i].kind]],
          [`amount_${i}`, amountOf(colours[i])],
        ]).flat(),
      ),
      mean_red: means[red],
      mean_green: means[green],
      mean_blue: means[blue],
      std_red: std[red],
      std_green: std[green],
      std_blue: std[blue],
      planes_origin: planesOrigin,
      erase_left: box.x,
      erase_top: box.y,
      erase_right: box.x + box.width,
      erase_bottom: box.y + box.height,
      erase_seed: erase ? erase.seed >>> 0 : 0,
    };
    colours.forEach(({ kind }, changes) => {
      if (kind !== "contrast") return;
      launch(mean, { ...params, changes }, { group: groups.mean[buffer], grid: [1, 1, frames] });
    });
    launch(main, { ...params, changes: colours.length }, {
      group: groups.main[buffer],
      grid: pictureGrid(size, size, frames),
      output,
    });
  }

  #kernels() {
    if (this.#made) return this.#made;
    const { params, tables, values, means } = this.#buffers;
    const shared: Binding[] = ["uniform", "storage", "storage", "storage", "storage"];
    const main = createKernel(this.#device, "frames.float", {
      source: floatSource,
      bindings: [shared, ["storage"]],
    });
    const mean = createKernel(this.#device, "frames.float/mean", {
      source: floatSource,
      bindings: [shared],
      entryPoint: "mean",
    });
    const groupsOf = (kernel: Kernel) =>
      this.#scratch.map((source) =>
        createGroup(this.#device, kernel, {
          group: 0,
          buffers: [params, ...[tables, source, values, means].map((buffer) => ({ buffer }))],
        })
      );
    return this.#made = { main, mean, groups: { main: groupsOf(main), mean: groupsOf(mean) } };
  }
}
